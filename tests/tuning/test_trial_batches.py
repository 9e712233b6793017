"""Tests of a `keras.utils.PyDataset` in a search: each trial has a copy, and some continue."""

import pickle
import threading

import keras
import numpy as np
import pytest
from tiny_searches import NUM_FEATURES, list_statuses

import kerasmodes as km
from kerasmodes.engine import packing
from kerasmodes.tuning import search_arguments
from kerasmodes.tuning.trial_batches import TrialBatches

X, Y = km.data.sums(12, NUM_FEATURES, seed=0)


class Batches(keras.utils.PyDataset):
    """Takes another order after each epoch, and half of the examples.

    Args:
        draws: Where random numbers come from: `"own"`, a generator of its own, which moves the
            examples too when they are read; or `"global"`, NumPy's.
    """

    def __init__(self, draws="own"):
        super().__init__()
        self.x, self.y = X.copy(), Y.copy()
        self.rng = np.random.default_rng(0) if draws == "own" else None
        self.rows = np.arange(6)
        self.shift = lambda x: x + 1  # No pickle holds it.

    def __len__(self):
        return 3

    def __getitem__(self, index):
        rows = self.rows[2 * index : 2 * index + 2]
        noise = 0 if self.rng is None else self.rng.normal(size=(2, NUM_FEATURES))
        return self.shift(self.x[rows] + noise).astype("float32"), self.y[rows]

    def on_epoch_end(self):
        rng = np.random if self.rng is None else self.rng
        self.rows = rng.permutation(len(self.x))[:6]


class Plain(keras.utils.PyDataset):
    """Its order stays; Keras shuffles its batches by Python's random numbers."""

    def __init__(self, draws=None):
        super().__init__()
        self.x, self.y = X, Y
        self.rows = self.rng = None

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return self.x[2 * index : 2 * index + 2], self.y[2 * index : 2 * index + 2]


def make_builder(mode):
    def build(hp):
        model = km.SumRegressor(())
        optimizer = keras.optimizers.SGD(hp.Float("rate", 0.001, 0.02), momentum=0.9)
        model.compile(optimizer, "mean_squared_error", mode=mode)
        return model

    return build


@pytest.mark.slow
def test_a_promoted_trial_is_bit_equal_to_one_that_was_never_interrupted(tmp_path):
    check_trials(Batches, "eager", "own", 3, tmp_path, num_checked=1)


@pytest.mark.slow
@pytest.mark.sweep
@pytest.mark.parametrize("mode", ["eager", "graph", "xla", "fused", "auto"])
@pytest.mark.parametrize(("draws", "epochs"), [("own", 6), ("global", 3)])
def test_each_trial_is_bit_equal_to_one_alone_and_never_interrupted(mode, draws, epochs, tmp_path):
    check_trials(Batches, mode, draws, epochs, tmp_path)


@pytest.mark.slow
@pytest.mark.sweep
@pytest.mark.parametrize("mode", ["eager", "fused"])
def test_batches_that_keras_shuffles_continue_where_a_trial_ended(mode, tmp_path):
    check_trials(Plain, mode, None, 3, tmp_path)


def check_trials(cls, mode, draws, epochs, directory, num_checked=None):
    build, x = make_builder(mode), cls(draws)
    tuner = km.tuning.search(
        build,
        "hyperband",
        max_trials=4 if epochs == 3 else 6,
        epochs=epochs,
        seed=0,
        directory=directory,
        x=x,
        validation_data=cls(draws),
        verbose=0,
    )
    for name in ("rows", "rng"):  # What is given stays as it was.
        assert pickle.dumps(getattr(x, name)) == pickle.dumps(getattr(cls(draws), name))
    trials = list(tuner.oracle.trials.values())
    assert list_statuses(tuner) == ["COMPLETED"] * len(trials)
    assert trials[-1].hyperparameters["tuner/initial_epoch"] > 0
    for trial in trials[::-1][:num_checked]:
        hp = trial.hyperparameters
        keras.utils.set_random_seed(0)
        model = build(hp)
        arguments = {"epochs": hp["tuner/epochs"], "validation_data": cls(draws), "verbose": 0}
        losses = model.fit(cls(draws), **arguments).history["val_loss"]
        assert trial.score == min(losses[hp["tuner/initial_epoch"] :])


def test_data_that_a_trial_does_not_read_stand_where_they_stood():
    given = {"validation_data": Batches()}
    first, second = TrialBatches(given), TrialBatches(given)
    first.copies["validation_data"].on_epoch_end()
    changes = first.find_changes()
    assert sorted(changes["validation_data"]) == ["rng", "rows"]
    second.restore_changes(changes)
    assert pack(second.find_changes()) == pack(changes)
    second.copies["validation_data"].on_epoch_end()  # That of a validation begins.
    first.copies["validation_data"].on_epoch_end()
    rows = [one.copies["validation_data"].rows for one in (first, second)]
    np.testing.assert_array_equal(*rows)


def pack(changes):
    arrays = []
    return packing.pack(changes, arrays), [one.tolist() for one in arrays]


class Shared(Batches):
    """Draws from a generator that it shares with other data."""

    def __init__(self, rng):
        super().__init__()
        self.rng = self.other = rng


def test_data_that_share_a_generator_share_it_where_they_continue():
    rng = np.random.default_rng(1)
    given = {"x": Shared(rng), "validation_data": Shared(rng)}
    trials = TrialBatches(given), TrialBatches(given)
    first, second = (list(one.copies.values()) for one in trials)
    for one in first:
        one[0]
        one.on_epoch_end()
    trials[1].restore_changes(trials[0].find_changes())
    second[1][0]  # To see shapes.
    for x, validation_data in (first, second):
        x.on_epoch_end()
        validation_data.on_epoch_end()
        assert x.rng is x.other is validation_data.rng
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.rows, other.rows)


class Seeds(Batches):
    def __init__(self):
        super().__init__()
        self.rng = keras.random.SeedGenerator(0)

    def on_epoch_end(self):
        self.rows = keras.ops.convert_to_numpy(keras.random.shuffle(np.arange(6), seed=self.rng))


def test_generators_of_keras_are_copied_and_continue():
    given = {"x": Seeds()}
    first, second = TrialBatches(given), TrialBatches(given)
    first.copies["x"].on_epoch_end()
    second.restore_changes(first.find_changes())
    for trial in (first, second):
        trial.copies["x"].on_epoch_end()
    assert first.copies["x"].rows.tolist() == second.copies["x"].rows.tolist()
    assert given["x"].rng.state.numpy().tolist() == Seeds().rng.state.numpy().tolist()


class Changing(Batches):
    """Keeps where it is in an object of its own."""

    def on_epoch_end(self):
        super().on_epoch_end()
        self.orders = {self.rows.tobytes()}


def test_what_changes_and_cannot_be_kept_is_named_before_the_trials(tmp_path):
    words = "`x` must be a PyDataset whose attributes that change.*Received: Changing.orders, a set"
    arguments = {"objective": "loss", "directory": tmp_path, "x": Changing()}
    with pytest.raises(TypeError, match=words):
        km.tuning.search(make_builder("eager"), "hyperband", **arguments)
    assert not list(tmp_path.glob("**/trial.json"))


class Locked(Batches):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()


def test_one_that_cannot_be_copied_is_named_before_the_search(tmp_path):
    words = "`x` must be a PyDataset that `copy.deepcopy` can copy.*Received: a Locked, cannot"
    with pytest.raises(TypeError, match=words):
        km.tuning.search(make_builder("eager"), objective="loss", directory=tmp_path, x=Locked())
    assert not list(tmp_path.iterdir())


class LockedPlain(Plain):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()


def test_one_without_an_order_of_its_own_need_not_be_copied():
    given = {"x": LockedPlain()}
    search_arguments.check_batches(given, continues=True)
    assert TrialBatches(given).copies["x"] is given["x"]


def test_one_that_draws_by_itself_and_cannot_be_copied_is_named():
    batches = LockedPlain()
    batches.rng = np.random.default_rng(0)
    with pytest.raises(TypeError, match="or draws random numbers.*Received: a LockedPlain"):
        TrialBatches({"x": batches})


class Copied(LockedPlain):
    def __deepcopy__(self, memo):
        return Copied()


def test_what_a_file_cannot_hold_is_named_before_hyperband(tmp_path):
    words = "`validation_data` must be a PyDataset whose attributes.*Received: Copied.lock, cannot"
    arguments = {"x": X, "y": Y, "validation_data": Copied(), "directory": tmp_path}
    with pytest.raises(TypeError, match=words):
        km.tuning.search(make_builder("eager"), "hyperband", **arguments)
    assert not list(tmp_path.iterdir())


def test_hyperband_refuses_a_pass_that_is_longer_than_an_epoch(tmp_path):
    words = "`steps_per_epoch` must be None, or 3.*Received: steps_per_epoch=2"
    arguments = {"x": Batches(), "objective": "loss", "directory": tmp_path, "steps_per_epoch": 2}
    with pytest.raises(ValueError, match=words):
        km.tuning.search(make_builder("eager"), "hyperband", **arguments)
    assert not list(tmp_path.iterdir())
