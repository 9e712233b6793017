"""Tests of what a search leaves and shows: trials put back, atomic writes, the display's lines."""

import gc
import json
import pathlib
import shutil
import threading
from concurrent import futures

import grpc
import keras_tuner
import pytest
from keras_tuner.src import protos
from tiny_searches import Formula, list_scores, search_sums

import kerasmodes as km
from kerasmodes import atomic_files
from kerasmodes.tuning import search_display, serving, shared_search, workers


def read_states(folder):
    paths = [folder / "oracle.json", *sorted(folder.glob("trial_*/trial.json"))]
    return [json.loads(path.read_text()) for path in paths]


def search_formula(directory, **arguments):
    """Runs three trials without training, or others."""
    defaults = {"max_trials": 3, "epochs": 1, "seed": 0, "verbose": 0}
    return km.tuning.search(Formula(), "random", directory=directory, **{**defaults, **arguments})


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    return search_formula(tmp_path_factory.mktemp("searched"))


@pytest.fixture
def stopped(searched, tmp_path):
    """A folder as two workers leave it that were stopped in trials 1 and 2."""
    shutil.copytree(searched.directory, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "random"
    state = json.loads((folder / "oracle.json").read_text())
    state["ongoing_trials"] = {"worker_1": "1", "worker_0": "2"}
    state["end_order"] = ["0"]
    (folder / "oracle.json").write_text(json.dumps(state))
    for name in ("1", "2"):
        path = folder / f"trial_{name}" / "trial.json"
        trial = json.loads(path.read_text())
        path.write_text(json.dumps({**trial, "status": "RUNNING", "score": None}))
    return tmp_path


# One trial that was left is in the two tests below.
@pytest.mark.sweep
def test_trials_that_were_left_are_run_once_in_their_order(stopped, searched):
    resumed = search_formula(stopped)
    assert list_scores(resumed) == list_scores(searched)
    assert resumed.oracle.end_order == ["0", "1", "2"]
    assert not resumed.oracle.ongoing_trials


def test_a_trial_that_the_oracle_does_not_know_is_drawn_again(stopped):
    path = stopped / "random" / "oracle.json"
    state = json.loads(path.read_text())
    state |= {"ongoing_trials": {"worker_1": "1"}, "start_order": ["0", "1"]}
    hashed = state["id_to_hash"].pop("2")
    state["tried_so_far"].remove(hashed)
    path.write_text(json.dumps(state))
    resumed = search_formula(stopped)
    assert resumed.oracle.start_order == ["0", "1", "2"]
    assert set(resumed.oracle.end_order) == {"0", "1", "2"}
    assert len(list_scores(resumed)) == 3


def test_a_trial_that_had_ended_is_not_repeated(stopped):
    path = stopped / "random" / "trial_0" / "trial.json"
    state = json.loads((stopped / "random" / "oracle.json").read_text())
    # As in the moment after the end of a trial.
    state["ongoing_trials"] = {"worker_0": "0", "worker_1": "1"}
    (stopped / "random" / "oracle.json").write_text(json.dumps(state))
    before = path.stat().st_mtime_ns
    assert sorted(search_formula(stopped).oracle.end_order) == ["0", "1", "2"]
    assert path.stat().st_mtime_ns == before


class FormulaOfTwo(Formula):
    def build(self, hp):
        hp.Choice("width", [2, 3])
        hp.Choice("more", [0, 3])
        return super().build(hp)


def search_grid(directory, max_trials):
    fixed = {"max_trials": max_trials, "epochs": 1, "seed": 0, "verbose": 0}
    return km.tuning.search(FormulaOfTwo(), "grid", directory=directory, **fixed)


def test_a_grid_is_resumed_where_it_stopped(tmp_path):
    search_grid(tmp_path, 2)
    resumed = search_grid(tmp_path, 10)
    values = [trial.hyperparameters.values for trial in resumed.oracle.trials.values()]
    assert len(values) == 4
    assert len({(one["width"], one["more"]) for one in values}) == 4


@pytest.mark.slow
def test_a_process_that_ends_while_it_writes_leaves_whole_files(searched, monkeypatch):
    tuner, folder = searched, pathlib.Path(searched.directory) / "random"
    before = read_states(folder)

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(atomic_files.os, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        tuner.oracle.save()
    with pytest.raises(KeyboardInterrupt):
        tuner.oracle._save_trial(tuner.oracle.trials["0"])
    assert read_states(folder) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verbose", "num_lines"),
    [(2, 2), *(pytest.param(one, 1, marks=pytest.mark.sweep) for one in (1, "auto"))],
)
def test_verbose_says_how_much_is_shown(verbose, num_lines, tmp_path, capsys):
    search_sums(tmp_path, max_trials=1, epochs=1, verbose=verbose)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == num_lines
    assert sum(line.startswith("trial ") for line in lines) == 1


def test_a_search_may_show_nothing(tmp_path, capsys):
    search_formula(tmp_path, max_trials=1, verbose=0)
    assert not capsys.readouterr().out


def test_a_terminal_has_one_line(searched, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    oracle = searched.oracle
    with search_display.SearchDisplay(oracle) as display:
        monkeypatch.setattr(oracle.trials["0"], "score", 0.012345)
        display.on_trial_end(oracle.trials["0"])
    out = capsys.readouterr().out
    last = out.rpartition("\x1b[2K")[2]
    assert "3 of 3 done, 0 running, 0 failed, best val_loss 0.012345" in last
    assert last.count("\n") == 1
    assert "trial 0:" not in out


def test_the_time_left_is_that_of_the_trials_left(tmp_path):
    oracle = keras_tuner.oracles.RandomSearchOracle(
        keras_tuner.Objective("val_loss", "min"), max_trials=10
    )
    display = search_display.SearchDisplay(oracle, is_shown=False)
    display.began -= 7200
    assert display.describe_time() == "2:00:00"
    display.num_ended, oracle.end_order = 2, ["0", "1", "2", "3", "4"]
    assert display.describe_time() == "2:00:00, 5:00:00 left"


def test_a_chief_that_never_answers_is_an_error(searched, monkeypatch):
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", "9")
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker_0")
    monkeypatch.setattr(shared_search, "SECONDS_FOR_FIRST_ANSWER", 0)
    with pytest.raises(RuntimeError, match="chief must answer within 0 seconds. .* 127.0.0.1:9"):
        searched.pre_create_trial()


@pytest.fixture
def thawed(monkeypatch):
    monkeypatch.setattr(gc, "collect", lambda: 0)  # Of all that was imported: a second.
    gc.unfreeze()
    yield
    gc.freeze()


def test_a_search_spares_what_was_there_its_garbage_collections(thawed):
    with shared_search.freeze_garbage_collection():
        assert gc.get_freeze_count() > 10_000
        with shared_search.freeze_garbage_collection():
            pass
        assert gc.get_freeze_count() > 10_000
    assert gc.get_freeze_count() == 0


class CountingServicer(serving.Servicer):
    def __init__(self, oracle):
        super().__init__(oracle, 60)
        self.reports = threading.Semaphore(0)

    def GetTrial(self, request, context):  # noqa: N802
        response = super().GetTrial(request, context)
        self.reports.release()
        return response


class WaitingTuner(shared_search.SharedSearch, keras_tuner.Tuner):
    """Runs trials that last until the chief has been asked twice."""

    def __init__(self, reports, **arguments):
        super().__init__(**arguments)
        self.reports = reports

    def run_trial(self, trial, **arguments):
        return float(sum(self.reports.acquire(timeout=60) for _ in range(2)))


def make_oracle(directory):
    space = keras_tuner.HyperParameters()
    space.Int("units", 1, 100)
    objective = keras_tuner.Objective("val_loss", "min")
    oracle = keras_tuner.oracles.RandomSearchOracle(objective, max_trials=1, hyperparameters=space)
    oracle._set_project_dir(directory, "search")
    oracle.verbose = 0
    return oracle


def test_a_worker_reports_to_its_chief_in_the_middle_of_a_trial(tmp_path, monkeypatch):
    monkeypatch.setattr(shared_search, "SECONDS_FOR_REPORT", 0.01)
    servicer = CountingServicer(make_oracle(tmp_path))
    server = grpc.server(futures.ThreadPoolExecutor(1))
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        with workers.take_role(join=address, worker_id="a"):
            place = {"directory": tmp_path, "project_name": "search"}
            tuner = WaitingTuner(servicer.reports, oracle=make_oracle(tmp_path), **place)
            tuner.search(verbose=0)
    finally:
        server.stop(grace=0).wait()
    assert [trial.score for trial in servicer.oracle.trials.values()] == [2.0]
