"""Searches that several files look at, and less garbage for keras-tuner to collect."""

import gc

import pytest
import tiny_searches


@pytest.fixture(scope="session", autouse=True)
def _quick_collection():
    """Spares keras-tuner's two `gc.collect` a trial all that was there before (0.7 s a trial)."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def random_search(tmp_path_factory):
    return tiny_searches.search_sums(tmp_path_factory.mktemp("random"))


@pytest.fixture(scope="session")
def hyperband_search(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hyperband")
    return tiny_searches.search_sums(folder, "hyperband", max_trials=4, epochs=3)
