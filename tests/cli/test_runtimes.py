"""Tests of the formats of `kerasmodes export` that need no file. Files are run in
`test_exporting.py`."""

import pathlib
import re

import numpy as np

import kerasmodes
from kerasmodes.cli import runtimes


def test_outputs_are_sorted_by_their_number():
    outputs = {f"output_{place}": np.array(place) for place in (10, 2, 0, 1)}
    assert [int(one) for one in runtimes._sort_outputs(outputs)] == [0, 1, 2, 10]


def test_what_is_installed_is_not_asked_for():
    for name, runtime in runtimes.RUNTIMES.items():
        runtime.check_packages(name)


def test_the_extras_install_what_the_formats_need():
    text = (pathlib.Path(kerasmodes.__file__).parents[1] / "setup.cfg").read_text("utf-8")
    (block,) = re.findall(r"^export =\n((?:    .*\n)+)", text, re.MULTILINE)
    needed = {pip for runtime in runtimes.RUNTIMES.values() for pip in runtime.packages.values()}
    assert needed <= set(re.findall(r"^    ([\w-]+)", block, re.MULTILINE))
    assert "\n    kerasmodes[export]\n" in text  # for tests


def test_the_size_of_a_folder_is_that_of_all_files_in_it(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "one").write_bytes(b"123")
    (tmp_path / "inner" / "other").write_bytes(b"45")
    assert runtimes.measure_size(tmp_path) == 5
