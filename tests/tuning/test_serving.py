"""Tests of the chief's answers to its workers, without processes."""

import pathlib
import threading
from concurrent import futures

import grpc
import keras_tuner
import pytest
from keras_tuner.src import protos
from keras_tuner.src.distribute import oracle_client

from kerasmodes.launching import find_free_ports
from kerasmodes.tuning import serving, workers

OBJECTIVE = keras_tuner.Objective("val_loss", "min")
TIMEOUT = 60
GONE = "gone"


@pytest.fixture
def oracle(tmp_path):
    space = keras_tuner.HyperParameters()
    space.Int("units", 1, 100)
    oracle = keras_tuner.oracles.RandomSearchOracle(
        OBJECTIVE, max_trials=2, hyperparameters=space, max_consecutive_failed_trials=2
    )
    oracle._set_project_dir(tmp_path, "search")
    oracle.verbose = 0
    return oracle


def run_worker(client, run, ended):
    """Runs trials by `run(client, trial)` until the chief has none, or it returns `GONE`."""
    trial = client.create_trial(client.tuner_id)
    while trial.status == "RUNNING":
        if run(client, trial) == GONE:
            return
        trial = client.create_trial(client.tuner_id)
    ended.append(trial.status)


def serve(oracle, run, timeout=TIMEOUT, num_workers=1):
    """Serves workers, each in a thread; returns the statuses with which they have ended."""
    address = f"127.0.0.1:{find_free_ports(1)[0]}"
    threads, ended = [], []
    for tuner_id in "abc"[:num_workers]:
        with workers.take_role(join=address, worker_id=tuner_id):
            client = oracle_client.OracleClient(oracle)
        threads.append(threading.Thread(target=run_worker, args=(client, run, ended), daemon=True))
        threads[-1].start()
    serving.serve(oracle, address, timeout)
    for thread in threads:
        thread.join()
    return ended


def complete(client, trial):
    client.update_trial(trial.trial_id, {"val_loss": 1.0})
    trial.status = "COMPLETED"
    client.end_trial(trial)


def test_the_chief_ends_when_its_worker_has_been_told(oracle):
    assert serve(oracle, complete) == ["STOPPED"]
    assert [trial.score for trial in oracle.trials.values()] == [1.0, 1.0]


def test_two_workers_share_the_trials(oracle):
    both_have_one, ran = threading.Barrier(2, timeout=60), []

    def run(client, trial):
        both_have_one.wait()
        ran.append((client.tuner_id, trial.trial_id))
        complete(client, trial)

    assert serve(oracle, run, num_workers=2) == ["STOPPED"] * 2
    assert {name for name, _ in ran} == {"a", "b"}
    assert sorted(trial_id for _, trial_id in ran) == ["0", "1"]


def test_a_finished_search_needs_no_worker(oracle):
    serve(oracle, complete)
    serving.serve(oracle, f"127.0.0.1:{find_free_ports(1)[0]}", TIMEOUT)


def test_the_error_of_a_trial_is_read_from_its_folder(oracle):
    def fail(client, trial):
        folder = pathlib.Path(oracle._get_trial_dir(trial.trial_id))
        (folder / serving.TRACEBACK).write_text("ValueError: too wide")
        if trial.trial_id == "1":  # Two failures in a row would end the search.
            complete(client, trial)
            return
        trial.status = "FAILED"
        client.end_trial(trial)

    serve(oracle, fail)
    messages = [trial.message for trial in oracle.trials.values()]
    assert messages == ["ValueError: too wide", None]


def test_too_many_failures_in_a_row_end_the_chief(oracle):
    servicer = serving.Servicer(oracle, TIMEOUT)
    service = protos.get_service()
    for _ in range(2):
        assert not servicer.is_finished()
        servicer.CreateTrial(service.CreateTrialRequest(tuner_id="a"), None)
        (trial,) = oracle.ongoing_trials.values()
        request = service.EndTrialRequest(trial=trial.to_proto())
        request.trial.status = protos.get_proto().TrialStatus.FAILED
        try:
            servicer.EndTrial(request, None)
        except RuntimeError as error:
            assert "exceeded the limit of 2" in str(error)
    with pytest.raises(RuntimeError, match="exceeded the limit of 2"):
        servicer.is_finished()


def test_a_repeated_trial_forgets_what_its_killed_worker_has_reported(oracle):
    servicer = serving.Servicer(oracle, TIMEOUT)
    request = protos.get_service().CreateTrialRequest(tuner_id="a")
    first = servicer.CreateTrial(request, None).trial
    oracle.update_trial(first.trial_id, {"val_loss": 5.0})
    second = servicer.CreateTrial(request, None).trial
    assert second.trial_id == first.trial_id
    assert not second.metrics.metrics
    assert len(oracle.trials) == 1


def test_the_points_of_a_grid_are_handed_out_at_once(tmp_path):
    space = keras_tuner.HyperParameters()
    space.Choice("units", [1, 2, 3])
    oracle = keras_tuner.oracles.GridSearchOracle(OBJECTIVE, hyperparameters=space)
    oracle._set_project_dir(tmp_path, "search")
    oracle.verbose = 0
    servicer = serving.Servicer(oracle, TIMEOUT)
    requests = [protos.get_service().CreateTrialRequest(tuner_id=name) for name in "abcd"]
    statuses = [servicer.CreateTrial(one, None).trial.status for one in requests]
    status = protos.get_proto().TrialStatus
    assert statuses == [status.RUNNING] * 3 + [status.IDLE]
    assert [t.hyperparameters["units"] for t in oracle.trials.values()] == [1, 2, 3]


def test_two_chiefs_cannot_have_one_address(oracle):
    other = grpc.server(futures.ThreadPoolExecutor(1))
    address = f"127.0.0.1:{other.add_insecure_port('127.0.0.1:0')}"
    other.start()
    try:
        with pytest.raises(RuntimeError, match=f"address must be .*free. Received: .*{address}"):
            serving.serve(oracle, address, TIMEOUT)
    finally:
        other.stop(grace=0).wait()


def test_conditions_are_sent_in_silence(capsys):
    serving.silence_messages()
    space = keras_tuner.HyperParameters()
    space.Int("layers", 1, 3)
    with space.conditional_scope("layers", [2, 3]):
        space.Int("units", 1, 3)
    space.to_proto()
    assert capsys.readouterr().out == ""


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def servicer(oracle, clock):
    return serving.Servicer(oracle, 10, clock)


def ask_for_trial(servicer, tuner_id):
    return servicer.CreateTrial(protos.get_service().CreateTrialRequest(tuner_id=tuner_id), None)


def test_the_trial_of_a_silent_worker_is_given_to_another(servicer, clock, capsys):
    lost = ask_for_trial(servicer, "a").trial.trial_id
    clock.now = 6
    other = ask_for_trial(servicer, "b").trial.trial_id
    servicer.give_up_silent_workers()
    clock.now = 11
    servicer.give_up_silent_workers()
    shown = capsys.readouterr().out
    assert shown == "Worker a was silent for 10 seconds: trial 0 is given to another.\n"
    assert [one.trial_id for one in servicer.oracle.ongoing_trials.values()] == [other]
    assert ask_for_trial(servicer, "c").trial.trial_id == lost


def test_a_worker_that_reports_keeps_its_trial(servicer, clock):
    trial_id = ask_for_trial(servicer, "a").trial.trial_id
    for clock.now in (6, 12):
        servicer.give_up_silent_workers()
        servicer.GetTrial(protos.get_service().GetTrialRequest(trial_id=trial_id), None)
    servicer.give_up_silent_workers()
    assert list(servicer.oracle.ongoing_trials) == ["a"]


def test_the_time_in_which_the_chief_draws_a_trial_is_no_silence(servicer, clock, monkeypatch):
    draw = servicer.oracle.populate_space

    def draw_slowly(trial_id):
        clock.now += 100
        return draw(trial_id)

    monkeypatch.setattr(servicer.oracle, "populate_space", draw_slowly)
    for tuner_id in "ab":
        ask_for_trial(servicer, tuner_id)
    servicer.give_up_silent_workers()
    assert sorted(servicer.oracle.ongoing_trials) == ["a", "b"]


def test_a_worker_that_was_given_up_ends_its_trial_in_vain(servicer, clock):
    ask_for_trial(servicer, "a")
    clock.now = 6
    ask_for_trial(servicer, "b")
    clock.now = 11
    trial = servicer.oracle.trials["0"]
    servicer.give_up_silent_workers()
    servicer.EndTrial(protos.get_service().EndTrialRequest(trial=trial.to_proto()), None)
    assert servicer.oracle.end_order == []
    assert ask_for_trial(servicer, "c").trial.trial_id == "0"


def test_a_chief_without_workers_ends_with_the_reason(servicer, clock):
    clock.now = 1_000
    servicer.give_up_silent_workers()  # None has come yet.
    ask_for_trial(servicer, "a")
    clock.now = 1_011
    with pytest.raises(RuntimeError, match="within worker_timeout=10 seconds.*trials: 0. The same"):
        servicer.give_up_silent_workers()


def test_a_chief_whose_worker_has_died_ends(oracle):
    with pytest.raises(RuntimeError, match="worker_timeout=0.2 seconds. Received: no call"):
        serve(oracle, lambda client, trial: GONE, timeout=0.2)
