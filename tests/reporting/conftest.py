"""A run's folder with every file that a report shows."""

import pytest
from written_runs import CONFIG, write_run

from kerasmodes.reporting import read_run


@pytest.fixture
def folder(tmp_path):
    return write_run(tmp_path / "my run")


@pytest.fixture
def run(folder):
    return read_run(folder, CONFIG)
