"""Tests of what is kept of a fit; what it is for is tested with `NaNGuard`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km
from kerasmodes.engine import recent_steps, super_batches


def make_model():
    model = km.SumRegressor(units=())
    model.build((None, 2))
    model.compile("sgd", mode="graph")
    model.optimizer.build(model.trainable_variables)
    return model


def make_ranges(number):
    """Returns ranges of a super-batch of 4,000 bytes."""
    return [super_batches.BatchRange(tf.fill([500, 1, 2], float(number)), 0, 500)]


def test_batches_are_let_go_beyond_a_bound(monkeypatch):
    monkeypatch.setattr(recent_steps, "SHARE", 1e-9)  # So rare that only the bound counts.
    monkeypatch.setattr(recent_steps, "MOST_BYTES", 10_000)
    steps, copied = recent_steps.RecentSteps(make_model()), []
    for number in range(9):
        steps.begin_execution(0, number, make_ranges(number))
        copied.append(steps.copied_at)
    # The first two come at once: the time of the first one does not count.
    assert [step for _, step in copied] == [0, 1, 1, 1, 4, 4, 4, 7, 7]


def test_an_iterator_gives_what_is_kept_and_its_end():
    steps = recent_steps.RecentSteps(make_model())
    batches = iter([1, 2])
    assert list(steps.begin_execution(0, 0, batches)) == [1]
    assert list(steps.begin_execution(0, 1, batches)) == [2]
    assert list(steps.begin_execution(0, 2, batches)) == []


def test_a_state_is_restored_from_the_copy():
    model = make_model()
    steps = recent_steps.RecentSteps(model)
    assert not steps.restore()
    before = model.get_weights()
    steps.begin_execution(0, 0, make_ranges(0))
    model.set_weights([weight + np.nan for weight in before])
    assert len(steps.find_broken()) == 2
    assert steps.restore()
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_copy_is_never_one_of_a_broken_state():
    model = make_model()
    steps = recent_steps.RecentSteps(model)
    steps.begin_execution(0, 0, make_ranges(0))
    model.trainable_variables[0].assign([[np.inf], [0.0]])
    steps.begin_execution(0, 1, make_ranges(1))
    assert steps.copied_at == (0, 0)


def test_a_model_without_weights_has_no_state():
    model = keras.Sequential([keras.layers.Dense(1)])
    model = km.with_modes(model)
    model.compile("sgd", "mean_squared_error")
    steps = recent_steps.RecentSteps(model)
    steps.begin_execution(0, 0, make_ranges(0))
    assert steps.state is None and steps.find_broken() == [] and not steps.restore()


def test_broken_weights_are_refused():
    model = make_model()
    model.trainable_variables[0].assign([[np.inf], [0.0]])
    with pytest.raises(ValueError, match="All weights must be finite when a fit begins"):
        recent_steps.RecentSteps(model).begin_execution(0, 0, make_ranges(0))


class Clocks:
    """Stands for the module `time`."""

    def __init__(self):
        self.wall = self.cpu = 1.0

    def perf_counter(self):
        return self.wall

    def process_time(self):
        return self.cpu

    def wait(self, wall, cpu):
        self.wall, self.cpu = self.wall + wall, self.cpu + cpu


@pytest.mark.parametrize(("wall", "cpu"), [(1e4, 100.0), (100.0, 1e4)], ids=["busy", "threads"])
def test_a_look_is_a_share_of_the_wall_time_and_of_the_cpu_time(monkeypatch, wall, cpu):
    clocks = Clocks()
    monkeypatch.setattr(recent_steps, "time", clocks)
    steps = recent_steps.RecentSteps(make_model())
    for _ in range(2):  # The first one does not count.
        assert steps.is_look_due()
        with steps._look_timer:
            clocks.wait(1.0, 1.0)  # 0.5 % of 200 seconds.
    clocks.wait(wall, cpu)
    assert not steps.is_look_due()
    clocks.wait(101.0, 101.0)
    assert steps.is_look_due()
