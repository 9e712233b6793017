"""Tests of roles in a search of several processes, and of shares of the machine."""

import os

import pytest

import kerasmodes as km
from kerasmodes.tuning import workers


@pytest.mark.parametrize("address", ["host", ":80", "host:", "host:0", "host:70000", "host:x"])
def test_an_address_has_a_port(address):
    with pytest.raises(ValueError, match="`join` must be ADDRESS:PORT"):
        workers.make_environment("a", "join", address)


def test_a_role_lasts_as_long_as_it_is_open(monkeypatch):
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "mine")
    assert km.tuning.find_role() is None
    with workers.take_role(chief="0.0.0.0:9000") as role:
        assert role == km.tuning.find_role() == "chief"
    with workers.take_role(join="10.0.0.1:9000", worker_id="a") as role:
        assert (role, os.environ["KERASTUNER_TUNER_ID"]) == ("worker", "a")
        assert os.environ["KERASTUNER_ORACLE_IP"] == "10.0.0.1"
    assert km.tuning.find_role() is None
    assert os.environ["KERASTUNER_TUNER_ID"] == "mine"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"chief": "a:1", "join": "a:1"}, "`join` must be left out with `chief`"),
        ({"worker_id": "a"}, "`worker_id` must be .* be given with `join`"),
        ({"join": "a:1", "worker_id": "chief_1"}, "`worker_id` must be a name without 'chief'"),
    ],
    ids=str,
)
def test_a_contradiction_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words), workers.take_role(**arguments):
        pass


def test_workers_share_cores_and_gpus(monkeypatch):
    for name in workers.THREADS:
        monkeypatch.delenv(name, raising=False)

    def share(num_workers, num_cores, gpus):
        shares = [
            workers.share_devices(n, num_workers, num_cores, gpus) for n in range(num_workers)
        ]
        return [(one["TF_NUM_INTRAOP_THREADS"], one.get("CUDA_VISIBLE_DEVICES")) for one in shares]

    assert share(2, 2, []) == [("1", None)] * 2
    assert share(3, 2, []) == [("1", None)] * 3
    assert share(2, 9, ["0", "1", "2"]) == [("4", "0,2"), ("4", "1")]
    assert share(3, 6, ["a", "b"]) == [("2", "a"), ("2", "b"), ("2", "a")]
    assert "TF_FORCE_GPU_ALLOW_GROWTH" in workers.share_devices(0, 3, 6, ["a", "b"])
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert workers.share_devices(0, 2, 2, [])["OMP_NUM_THREADS"] == "7"
