"""Searches that several files look at."""

import pytest
import tiny_searches


@pytest.fixture(scope="session")
def random_search(tmp_path_factory):
    return tiny_searches.search_sums(tmp_path_factory.mktemp("random"))


@pytest.fixture(scope="session")
def hyperband_search(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hyperband")
    return tiny_searches.search_sums(folder, "hyperband", max_trials=4, epochs=3)
