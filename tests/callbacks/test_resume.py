"""Tests of `Resume`: a fit that was stopped ends as one that never was."""

import contextlib
import datetime
import functools
import hashlib
import json
import os
import random
import shutil
import signal
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from seeds import set_seed

import kerasmodes as km
from kerasmodes.engine import model_state, random_states

# `pytest.warns` repeats what it did not look for.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

MODES = ("eager", "graph", "xla", "fused")
EPOCHS, STEPS = 3, 7
X = np.random.default_rng(0).normal(size=(28, 3)).astype("float32")
Y = X.sum(axis=1, keepdims=True)
NUM_UNEVEN = 26  # Examples of as many steps, the last of which has a smaller batch.


class StoppedError(Exception):
    pass


class StopAt(keras.callbacks.Callback):
    """Raises after so many executions, counted over all epochs."""

    def __init__(self, count):
        super().__init__()
        self.left = count

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise StoppedError


class Shuffled(keras.utils.PyDataset):
    """Takes another order after each epoch, as users write it."""

    def __init__(self):
        super().__init__()
        self.generator = np.random.default_rng(3)
        self.order = np.arange(NUM_UNEVEN)

    def __len__(self):
        return STEPS

    def __getitem__(self, index):
        rows = self.order[4 * index : 4 * index + 4]
        return X[rows], Y[rows]

    def on_epoch_end(self):
        self.order = self.generator.permutation(NUM_UNEVEN)


class Rows:
    """Examples by their numbers; it counts those that were read."""

    def __init__(self):
        self.count = 0

    def __len__(self):
        return NUM_UNEVEN

    def __getitem__(self, index):
        self.count += 1
        return X[index], Y[index]


def add_noise(example, generator):
    return example[0] + generator.normal(size=3), example[1]


class ShuffledByNumPy(Shuffled):
    """Draws its orders, and noise, from numbers that the whole program shares."""

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x + np.random.normal(size=x.shape).astype("float32"), y

    def on_epoch_end(self):
        np.random.shuffle(self.order)
        random.shuffle(self.order)


def make_data_set():
    uneven = X[:NUM_UNEVEN], Y[:NUM_UNEVEN]
    return tf.data.Dataset.from_tensor_slices(uneven).shuffle(NUM_UNEVEN, seed=2)


def generate():
    while True:
        for start in range(0, 24, 4):
            yield X[start : start + 4], Y[start : start + 4]


DATA = {
    "arrays": lambda: {"x": X, "y": Y, "batch_size": 4},
    "uneven arrays": lambda: {"x": X[:NUM_UNEVEN], "y": Y[:NUM_UNEVEN], "batch_size": 4},
    "arrays, steps": lambda: {"x": X, "y": Y, "batch_size": 4, "steps_per_epoch": 3},
    "data set": lambda: {"x": make_data_set().batch(4)},
    "full batches": lambda: {"x": make_data_set().batch(4, drop_remainder=True).prefetch(2)},
    "unknown length": lambda: {"x": make_data_set().filter(lambda x, y: x[0] > -1).batch(4)},
    "endless": lambda: {"x": make_data_set().repeat().batch(4), "steps_per_epoch": 5},
    "PyDataset": lambda: {"x": Shuffled()},
    "PyDataset, NumPy": lambda: {"x": ShuffledByNumPy()},
    "generator": lambda: {"x": generate(), "steps_per_epoch": 4},
    "source": lambda: {"x": km.data.from_source(Rows(), 4, add_noise)},
}
READ_AGAIN = (
    "data set",
    "full batches",
    "unknown length",
    "PyDataset",
    "PyDataset, NumPy",
    "generator",
)


def make_unbuilt_regressor(mode="graph", rate=0.001, units=4, **settings):
    """Starts as a program does: the same seed, the same model."""
    set_seed(0)
    model = km.SumRegressor(units=(units,))
    model.compile(keras.optimizers.SGD(rate, momentum=0.9), mode=mode, **settings)
    return model


def make_regressor(mode="graph", rate=0.001, units=4, **settings):
    """Makes the same one, whose first step is traced once: it is built."""
    model = make_unbuilt_regressor(mode, rate, units, **settings)
    model.build((None, 3))
    model.optimizer.build(model.trainable_variables)
    return model


def make_noisy_network(mode="graph"):
    """Has all that a checkpoint must hold: dropout, moving averages, metrics, averaged weights."""
    set_seed(0)
    inputs = keras.Input((3,))
    hidden = km.random.Dropout(0.3)(keras.layers.Dropout(0.2)(inputs))
    hidden = keras.layers.BatchNormalization()(hidden)
    model = km.Model(inputs, keras.layers.Dense(1)(hidden))
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9, use_ema=True)
    model.compile(optimizer, "mean_squared_error", metrics=["mae"], mode=mode)
    return model


def compile_once(make_model):
    """Returns a function that makes a model as another one does, and compiles its steps once.

    It is the same model each time, back at its start.
    """
    model = make_model()
    if model.optimizer is not None and not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    state = model_state.ModelState(model)
    start, numbers = state.copy(), random_states.read()

    def renew():
        state.restore(start)
        set_seed(0)
        random_states.restore(numbers)  # Some were drawn when the model was made.
        return model

    return renew


@functools.cache
def _compile_regressor(mode, place):
    return compile_once(lambda: make_regressor(mode))


def renew_regressor(mode="graph", place=0):
    """Returns what `make_regressor` does, with steps that other tests have compiled already.

    Models of different places are different ones.
    """
    return _compile_regressor(mode, place)()


class OwnOptimizer(km.Model):
    """Builds its optimizer and weights in its step, and draws numbers of its own."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.own_optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
        self.noise = km.random.SeedGenerator(3)
        self.mean = keras.metrics.Mean(name="error")
        self.count = tf.Variable(0.0, trainable=False)  # One that Keras does not know.

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            noisy = self.dense(x) + km.random.normal(tf.shape(y), seed=self.noise)
            loss = km.average_loss(tf.abs(y - noisy)) * (1 + self.count.assign_add(0.1))
        gradients = tape.gradient(loss, self.dense.trainable_variables)
        self.own_optimizer.apply(gradients, self.dense.trainable_variables)
        self.mean.update_state(loss)
        return {"error": self.mean.result()}

    @property
    def metrics(self):
        return [self.mean]


def make_own_optimizer(mode="graph"):
    set_seed(0)
    model = OwnOptimizer()
    model.compile(optimizer=None, mode=mode)
    return model


def fit(model, data, *callbacks, epochs=EPOCHS, **arguments):
    return model.fit(**data, epochs=epochs, verbose=0, callbacks=[*callbacks], **arguments)


def stop(model, data, count, *callbacks, **arguments):
    with pytest.raises(StoppedError):
        fit(model, data, *callbacks, StopAt(count), **arguments)


def read_variables(model):
    return [(variable.path, variable.numpy()) for variable in model.variables]


def assert_same(history, variables, expected_history, expected_variables):
    assert history.epoch == expected_history.epoch
    assert history.history == expected_history.history
    for (path, value), (_, other) in zip(variables, expected_variables, strict=True):
        np.testing.assert_array_equal(value, other, err_msg=path)


def assert_resumes(folder, make_model, make_data, counts, every=2, renew=None, **arguments):
    """Asserts that a fit which was stopped after so many executions ends as one that never was.

    Where `renew` is given, it makes all models but the one that ends what others have begun. Both
    may be one function that returns one model, back at its start.
    """
    renew = renew or make_model
    for count in counts:
        stop(renew(), make_data(), count, km.callbacks.Resume(folder, every), **arguments)
    model = make_model()
    history = fit(model, make_data(), km.callbacks.Resume(folder, every), **arguments)
    variables = read_variables(model)
    expected = renew()
    expected_history = fit(expected, make_data(), **arguments)
    assert_same(history, variables, expected_history, read_variables(expected))
    return model, expected


def list_pairs(modes, others, first):
    """Returns all pairs; those that are not among the first are a sweep."""
    return [
        pytest.param(mode, other, marks=() if (mode, other) in first else pytest.mark.sweep)
        for mode in modes
        for other in others
    ]


# Data in mid-epoch: each kind once, some batch by batch, some many at once. Data sets of unknown
# length are read again as others are.
FIRST = [
    *[("graph", name) for name in ("data set", "PyDataset, NumPy")],
    *[("fused", name) for name in ("arrays", "arrays, steps", "endless")],
    ("fused", "generator"),
    ("graph", "source"),
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")
@pytest.mark.parametrize(("mode", "data"), list_pairs(("graph", "fused"), DATA, FIRST))
def test_a_fit_stopped_in_mid_epoch_ends_as_one_that_was_never_stopped(tmp_path, mode, data):
    if data in READ_AGAIN:
        warnings.filterwarnings("ignore", ".*batches were read again to resume")
    # Of each way to keep the place in the data, one is stopped twice: in two epochs.
    is_stopped_twice = data in ("arrays", "data set", "PyDataset, NumPy")
    later = 5 if data == "arrays, steps" else 9  # In the second epoch.
    twice, once = ((3, 7), (later,)) if mode == "graph" else ((3, 3), (4,))
    renew = functools.partial(renew_regressor, mode)
    # Of each mode, one kind of data is resumed by another model, as in another program.
    place = int(data in ("data set", "endless"))
    make_model = functools.partial(renew_regressor, mode, place=place)
    counts = twice if is_stopped_twice else once
    assert_resumes(tmp_path, make_model, DATA[data], counts, renew=renew)


@pytest.mark.slow
@pytest.mark.sweep
@pytest.mark.parametrize("mode", ["graph", pytest.param("fused", marks=pytest.mark.sweep)])
def test_a_model_that_its_first_step_builds_resumes(tmp_path, mode):
    make_model = functools.partial(make_unbuilt_regressor, mode)
    assert_resumes(tmp_path, make_model, DATA["uneven arrays"], counts=(3,), epochs=2)


NOISY = [("graph", make_noisy_network), ("eager", make_own_optimizer)]  # Loops: above.


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "make_model"), list_pairs(MODES, (make_noisy_network, make_own_optimizer), NOISY)
)
def test_noise_averages_and_running_means_continue_in_each_mode(tmp_path, mode, make_model):
    make_model = functools.partial(make_model, mode)
    if make_model.func is make_noisy_network:  # Built before its first step: one does for all.
        make_model = compile_once(make_model)
    assert_resumes(tmp_path, make_model, DATA["arrays"], counts=(5,), every=3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "every", [1, *(pytest.param(every, marks=pytest.mark.sweep) for every in (STEPS, "epoch"))]
)
def test_a_fit_stopped_after_its_last_step_resumes_with_what_ends_the_epoch(tmp_path, every):
    class StopInValidation(keras.callbacks.Callback):
        def on_test_begin(self, logs=None):
            raise StoppedError

    data = {**DATA["arrays"](), "validation_data": (X[:8], Y[:8])}
    with pytest.raises(StoppedError):
        fit(renew_regressor(), data, km.callbacks.Resume(tmp_path, every), StopInValidation())
    model = renew_regressor(place=1)
    history = fit(model, data, km.callbacks.Resume(tmp_path, every), epochs=2)
    expected = renew_regressor()
    expected_history = fit(expected, data, epochs=2)
    assert_same(history, read_variables(model), expected_history, read_variables(expected))


CALLBACKS = {
    "EarlyStopping": lambda folder: keras.callbacks.EarlyStopping(
        "loss", patience=3, min_delta=1.0, restore_best_weights=True
    ),
    "ReduceLROnPlateau": lambda folder: keras.callbacks.ReduceLROnPlateau(
        "loss", patience=2, min_delta=1.0
    ),
    "LearningRateScheduler": lambda folder: keras.callbacks.LearningRateScheduler(
        lambda epoch, rate: 0.7 * rate
    ),
    "ModelCheckpoint": lambda folder: keras.callbacks.ModelCheckpoint(
        folder / "model_{epoch}.keras", save_freq=5
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "is_first"),
    [
        ("EarlyStopping", True),
        pytest.param("ReduceLROnPlateau", False, marks=pytest.mark.sweep),
        pytest.param("LearningRateScheduler", True, marks=pytest.mark.sweep),
        ("ModelCheckpoint", False),
    ],
)
def test_what_callbacks_count_continues(tmp_path, name, is_first):
    def list_callbacks(folder, with_resume=True):
        folder.mkdir(exist_ok=True)
        own = CALLBACKS[name](folder)
        resume = [km.callbacks.Resume(tmp_path / "progress", every=5)] if with_resume else []
        return [*resume, own] if is_first else [own, *resume]

    data, one, other = DATA["arrays"](), tmp_path / "one", tmp_path / "other"
    for count in (17, 8):
        stop(renew_regressor(), data, count, *list_callbacks(other), epochs=6)
    model = renew_regressor(place=1)
    history = fit(model, data, *list_callbacks(other), epochs=6)
    expected = renew_regressor()
    expected_history = fit(expected, data, *list_callbacks(one, with_resume=False), epochs=6)
    variables = read_variables(model)
    assert_same(history, variables, expected_history, read_variables(expected))
    assert sorted(p.name for p in one.iterdir()) == sorted(p.name for p in other.iterdir())
    # It is over, also where a callback had stopped it.
    again = renew_regressor()
    history = fit(again, data, *list_callbacks(other), epochs=6)
    assert_same(history, read_variables(again), expected_history, variables)


@pytest.mark.slow
@pytest.mark.parametrize("every", ["epoch", 2])
def test_a_callback_of_ones_own_takes_part(tmp_path, every):
    class Count(keras.callbacks.Callback):
        executions, first = 0, None

        def on_train_batch_end(self, batch, logs=None):
            self.executions += 1
            self.first = self.first if self.first is not None else np.float32(logs["loss"])

            self.drawn = random.random()

        def on_epoch_begin(self, epoch, logs=None):
            self.drawn_first = np.random.random()

        def on_epoch_end(self, epoch, logs=None):
            logs.update(drawn=self.drawn, drawn_first=self.drawn_first)

        def get_state(self):
            return {"executions": self.executions, "first": self.first, "seen": np.arange(2)}

        def set_state(self, state):
            self.executions, self.first = state["executions"], state["first"]
            assert state["seen"].tolist() == [0, 1]

    stop(renew_regressor(), DATA["arrays"](), 9, Count(), km.callbacks.Resume(tmp_path, every))
    counts = Count(), Count()
    resume = km.callbacks.Resume(tmp_path, every)
    resumed = fit(renew_regressor(), DATA["arrays"](), counts[0], resume)
    expected = fit(renew_regressor(), DATA["arrays"](), counts[1])
    assert resumed.history == expected.history
    assert vars(counts[0])["executions"] == EPOCHS * STEPS
    assert counts[0].first == counts[1].first


@pytest.mark.slow
@pytest.mark.parametrize("append", [pytest.param(True, marks=pytest.mark.sweep), False])
def test_a_csv_file_has_each_epoch_once(tmp_path, append):
    class StopAfterRow(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise StoppedError

    def log(name):
        return keras.callbacks.CSVLogger(tmp_path / name, append=append)

    fit(renew_regressor(), DATA["arrays"](), log("expected.csv"))
    resume, logger = km.callbacks.Resume(tmp_path / "progress"), log("log.csv")
    with pytest.raises(StoppedError):
        fit(renew_regressor(), DATA["arrays"](), logger, StopAfterRow(), resume)
    logger.csv_file.close()
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 3  # The second is there.
    resume = km.callbacks.Resume(tmp_path / "progress")
    fit(renew_regressor(), DATA["arrays"](), log("log.csv"), resume)
    assert (tmp_path / "log.csv").read_text() == (tmp_path / "expected.csv").read_text()


@pytest.mark.sweep
def test_a_gan_resumes_with_both_scales_of_its_losses_and_its_noise(tmp_path):
    """In mixed precision; `tests/test_contract.py` has the other presets and modes."""
    images = np.random.default_rng(0).uniform(-1, 1, (8, 8, 8, 1)).astype("float32")
    data = {"x": images, "batch_size": 4}

    def make_gan():
        set_seed(0)
        preset = km.presets.Paper(4, 4)
        gan = km.MSGGAN((8, 8, 1), 2, 4, preset=preset, seed=1, dtype="mixed_float16")
        gan.compile(mode="eager")
        return gan

    renew = compile_once(make_gan)
    assert_resumes(tmp_path, make_gan, lambda: data, counts=(2,), every=1, renew=renew, epochs=1)


@pytest.mark.slow
def test_the_scale_of_losses_continues(tmp_path):
    def make_model():
        set_seed(0)
        model = km.SumRegressor(units=())
        inner = keras.optimizers.SGD(0.001)
        # It is doubled in step 6; in none if the steps before it were not counted.
        optimizer = keras.optimizers.LossScaleOptimizer(inner, dynamic_growth_steps=6)
        model.compile(optimizer, mode="eager")
        model.build((None, 3))
        return model

    renew = compile_once(make_model)
    pair = assert_resumes(tmp_path, make_model, DATA["arrays"], (4,), renew=renew, epochs=1)
    scale, expected = (float(one.optimizer.dynamic_scale.numpy()) for one in pair)
    assert scale == expected == 2.0**16


@pytest.mark.slow
def test_a_fit_without_a_seed_keeps_the_order_of_its_data(tmp_path):
    model, data = renew_regressor(), DATA["arrays"]()
    random.seed()
    stop(model, data, 4, km.callbacks.Resume(tmp_path / "one", every=3))
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    results = []
    for folder in (tmp_path / "one", tmp_path / "other"):
        random.seed()  # As in another program.
        results.append(fit(model, data, km.callbacks.Resume(folder, every=3)).history)
    assert results[0] == results[1]


@pytest.mark.slow
@pytest.mark.sweep
def test_two_replicas_resume_with_their_own_running_means(tmp_path, two_replicas):
    def make_model():
        set_seed(0)
        with two_replicas.scope():
            model = km.SumRegressor(units=())
            model.build((None, 3))
            model.compile("sgd", mode="graph")
        return model

    renew = compile_once(make_model)
    assert_resumes(tmp_path, make_model, DATA["arrays"], counts=(9,), renew=renew, epochs=2)


@pytest.mark.slow
def test_examples_of_a_source_are_not_read_again_to_resume(tmp_path):
    stop(renew_regressor(), DATA["source"](), 4, km.callbacks.Resume(tmp_path, every=3))
    source = Rows()
    data = km.data.from_source(source, 4, add_noise)
    fit(renew_regressor(), {"x": data}, km.callbacks.Resume(tmp_path, every=3), epochs=1)
    assert source.count == 1 + NUM_UNEVEN - 3 * 4  # The first one tells what they are like.


@pytest.mark.slow
def test_reading_again_says_how_long_it_took_and_why(tmp_path):
    data = DATA["PyDataset"]
    stop(renew_regressor(), data(), 4, km.callbacks.Resume(tmp_path, every=3))
    words = r"3 batches were read again to resume, in \d+\.\d s: tf.data cannot save its place"
    with pytest.warns(UserWarning, match=words):
        fit(renew_regressor(), data(), km.callbacks.Resume(tmp_path, every=3))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("every", "names"),
    [
        ("epoch", ["epoch_0001_step_000000", "epoch_0002_step_000000"]),
        (5, ["epoch_0001_step_000003", "epoch_0002_step_000000"]),
        (datetime.timedelta(hours=1), ["epoch_0002_step_000000"]),
        (datetime.timedelta(0), ["epoch_0001_step_000007", "epoch_0002_step_000000"]),
    ],
)
def test_checkpoints_are_written_as_often_as_asked(tmp_path, every, names):
    fit(renew_regressor(), DATA["arrays"](), km.callbacks.Resume(tmp_path, every), epochs=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == names


@pytest.mark.slow
def test_a_loop_ends_where_a_checkpoint_is_due(tmp_path):
    model = renew_regressor("fused")
    fit(model, DATA["arrays"](), km.callbacks.Resume(tmp_path, 5, keep=3), epochs=2)
    names = ["epoch_0000_step_000005", "epoch_0001_step_000003", "epoch_0002_step_000000"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_a_fused_execution_ends_where_a_checkpoint_is_due(tmp_path):
    seen = []
    note = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    fit(
        renew_regressor("fused"), DATA["arrays"](), note, km.callbacks.Resume(tmp_path, 3), epochs=1
    )
    assert seen[-1] == STEPS - 1
    assert max(np.diff([-1, *seen])) <= 3


@pytest.mark.slow
def test_so_many_checkpoints_are_kept(tmp_path):
    fit(
        renew_regressor(),
        DATA["arrays"](),
        km.callbacks.Resume(tmp_path, every=1, keep=4),
        epochs=1,
    )
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_a_checkpoint_and_is_passed_on(tmp_path, number):
    ended = []

    class Signal(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 3:
                signal.raise_signal(number)

        def on_train_batch_end(self, batch, logs=None):
            ended.append(batch)

    def receive(number, frame):
        raise StoppedError

    before = signal.signal(number, receive)
    try:
        with pytest.raises(StoppedError):
            fit(renew_regressor(), DATA["arrays"](), Signal(), km.callbacks.Resume(tmp_path))
        assert signal.getsignal(number) is receive
    finally:
        signal.signal(number, before)
    assert ended == [0, 1, 2, 3]  # The execution in which it came has ended, and no more ran.
    assert [path.name for path in tmp_path.iterdir()] == ["epoch_0000_step_000004"]
    expected = fit(renew_regressor(), DATA["arrays"]()).history
    assert (
        fit(renew_regressor(), DATA["arrays"](), km.callbacks.Resume(tmp_path)).history == expected
    )


def test_a_signal_after_the_last_checkpoint_is_passed_on(tmp_path):
    def receive(number, frame):
        raise StoppedError

    late = keras.callbacks.LambdaCallback(
        on_train_end=lambda logs: signal.raise_signal(signal.SIGTERM)
    )
    before = signal.signal(signal.SIGTERM, receive)
    try:
        with pytest.raises(StoppedError):
            fit(renew_regressor(), DATA["arrays"](), late, km.callbacks.Resume(tmp_path))
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_part_of_a_program_of_the_same_number_is_removed(tmp_path):
    # In a container, a program that is started again has the number of the one that was killed.
    part = tmp_path / f".{os.getpid()}.part.epoch_0001_step_000000"
    part.mkdir()
    (part / "state.json").touch()
    os.utime(part, (0, 0))
    fit(renew_regressor(), DATA["arrays"](), km.callbacks.Resume(tmp_path))
    assert not part.exists()


# A state of a layer, as the moving averages above are.
@pytest.mark.sweep
@pytest.mark.slow
def test_states_of_recurrent_layers_continue(tmp_path):
    def make_model():
        set_seed(0)
        inputs = keras.Input(batch_shape=(4, 3, 1))
        hidden = keras.layers.SimpleRNN(2, stateful=True)(inputs)
        model = km.Model(inputs, keras.layers.Dense(1)(hidden))
        model.compile("sgd", "mean_squared_error", mode="eager")
        return model

    data = {"x": X[..., None], "y": Y, "batch_size": 4, "shuffle": False}
    model, expected = assert_resumes(
        tmp_path, make_model, lambda: data, counts=(4,), renew=compile_once(make_model), epochs=1
    )
    np.testing.assert_array_equal(model.layers[1].states[0], expected.layers[1].states[0])


@pytest.mark.slow
def test_shuffled_validation_data_continue(tmp_path):
    def make_data():
        validation = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(28, seed=5).batch(4)
        return {**DATA["arrays"](), "validation_data": validation, "validation_steps": 2}

    make_model = functools.partial(renew_regressor, place=1)
    assert_resumes(tmp_path, make_model, make_data, counts=(17,), renew=renew_regressor)


@pytest.mark.parametrize("state", [np.array(["a"]), {1: 2}, np.datetime64("2020"), object()])
def test_a_state_that_cannot_be_read_again_is_not_written(tmp_path, state):
    class Odd(keras.callbacks.Callback):
        def get_state(self):
            return state

    with pytest.raises(TypeError, match="must be made of numbers, strings and arrays of numbers"):
        fit(renew_regressor(), DATA["arrays"](), Odd(), km.callbacks.Resume(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_model_without_modes_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mean_squared_error")
    with pytest.raises(TypeError, match="Resume must be given to the `fit` of a km.Model"):
        model.fit(X, Y, verbose=0, callbacks=[km.callbacks.Resume(tmp_path)])


@pytest.fixture(scope="module")
def stopped_folder(tmp_path_factory):
    """Checkpoints after 8 and 10 steps, of a fit of arrays that was stopped in its second epoch."""
    folder = tmp_path_factory.mktemp("stopped")
    stop(renew_regressor(), DATA["arrays"](), 11, km.callbacks.Resume(folder, every=2))
    return folder


@pytest.fixture
def stopped(stopped_folder, tmp_path):
    """A copy of it, to be changed."""
    return shutil.copytree(stopped_folder, tmp_path / "stopped")


@pytest.mark.slow
def test_what_is_resumed_is_said(stopped, capsys):
    for words in ("after 1 epoch and 3 steps", "has ended, after 3 epochs"):
        model = renew_regressor()
        callbacks = [km.callbacks.Resume(stopped, every=2)]
        model.fit(**DATA["arrays"](), epochs=EPOCHS, verbose=2, callbacks=callbacks)
        assert words in capsys.readouterr().out


@pytest.mark.slow
def test_a_checkpoint_that_cannot_be_written_is_said(tmp_path):
    class Replace(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                shutil.rmtree(tmp_path / "progress")
                (tmp_path / "progress").touch()

    resume = km.callbacks.Resume(tmp_path / "progress")
    with pytest.raises(
        OSError, match="Resume could not write a checkpoint. Received: .* make room"
    ):
        fit(renew_regressor(), DATA["arrays"](), Replace(), resume)


@pytest.mark.slow
def test_a_file_sets_nothing_but_what_a_callback_counts(stopped):
    checkpoint = max(stopped.iterdir())
    content = json.loads((checkpoint / "state.json").read_text())
    for one in content["state"]["callbacks"]:
        if one["class"] == "History":
            one["state"]["params"] = "elsewhere"
    (checkpoint / "state.json").write_text(json.dumps(content))
    write_checksums(checkpoint)
    history = fit(renew_regressor(), DATA["arrays"](), km.callbacks.Resume(stopped))
    assert history.params["epochs"] == EPOCHS


def test_a_checkpoint_of_another_format_is_refused(stopped):
    checkpoint = max(stopped.iterdir())
    (checkpoint / "state.json").write_text("{}")
    write_checksums(checkpoint)
    with pytest.raises(ValueError, match=r"must have format 1, .* Received: format=None"):
        fit(make_regressor(), DATA["arrays"](), km.callbacks.Resume(stopped))


def damage(path):
    content = path.read_bytes()
    path.write_bytes(content[:40] + bytes([content[40] ^ 1]) + content[41:])


@pytest.fixture(scope="module")
def expected_history():
    """The numbers of a fit of arrays that was never stopped."""
    return fit(renew_regressor(), DATA["arrays"]()).history


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "arrays.npz",
        pytest.param("SHA256SUMS", marks=pytest.mark.sweep),
        pytest.param("model.weights.h5", marks=pytest.mark.sweep),
        pytest.param("state.json", marks=pytest.mark.sweep),
    ],
)
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_is_used(
    stopped, name, expected_history
):
    latest = max(stopped.iterdir())
    damage(latest / name)
    with pytest.warns(UserWarning, match=f"{latest.name} is damaged, and not used"):
        history = fit(renew_regressor(), DATA["arrays"](), km.callbacks.Resume(stopped, every=2))
    assert history.history == expected_history
    assert (stopped / f"damaged_{latest.name}").is_dir()


@pytest.mark.filterwarnings("ignore:The checkpoint .* is damaged:UserWarning")
def test_a_fit_does_not_begin_again_where_all_checkpoints_are_damaged(stopped):
    checkpoints = list(stopped.iterdir())
    for checkpoint in checkpoints:
        (checkpoint / "arrays.npz").unlink()
    with pytest.raises(ValueError, match="must hold a checkpoint that is whole"):
        fit(make_regressor(), DATA["arrays"](), km.callbacks.Resume(stopped))
    assert all(checkpoint.is_dir() for checkpoint in checkpoints)


@pytest.mark.parametrize(
    ("make_other", "data", "words"),
    [
        (lambda: make_regressor(units=5), "arrays", r"model\.config\.units\.0=5 instead of 4"),
        (lambda: make_regressor(rate=0.1), "arrays", r"optimizers\.optimizer\.learning_rate=0\.1"),
        (make_regressor, "arrays, steps", r"data\.num_batches=3 instead of 7"),
        (make_noisy_network, "arrays", "class='Functional' instead of 'SumRegressor'"),
        (lambda: make_regressor(loss="mae"), "arrays", "compile.loss='mae' instead of"),
        (
            lambda: make_regressor(gradient_dtype="bfloat16"),
            "arrays",
            "compile.gradient_dtype='bfloat16' instead of None",
        ),
        (lambda: make_regressor(metrics=["mae"]), "arrays", r"compile\.metrics"),
        (make_regressor, "other arrays", r"data\.checksums\.0="),
    ],
)
def test_another_fit_is_refused_with_what_differs(stopped, make_other, data, words):
    others = {**DATA, "other arrays": lambda: {"x": X + 1, "y": Y, "batch_size": 4}}
    before = {path: path.stat().st_mtime_ns for path in stopped.rglob("*")}
    with pytest.raises(ValueError, match=f"must be resumed with what it was begun with.*{words}"):
        fit(make_other(), others[data](), km.callbacks.Resume(stopped))
    assert {path: path.stat().st_mtime_ns for path in stopped.rglob("*")} == before


def test_other_versions_are_said(stopped):
    checkpoint = max(stopped.iterdir())
    content = json.loads((checkpoint / "state.json").read_text())
    content["made_with"]["versions"]["keras"] = "3.1"
    (checkpoint / "state.json").write_text(json.dumps(content))
    write_checksums(checkpoint)
    with pytest.warns(UserWarning, match=r"began with keras 3\.1, .* the last digits may differ"):
        fit(renew_regressor(), DATA["arrays"](), km.callbacks.Resume(stopped))


def write_checksums(checkpoint):
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in checkpoint.iterdir()
        if path.name != "SHA256SUMS"
    ]
    (checkpoint / "SHA256SUMS").write_text("".join(lines))


@pytest.mark.slow
def test_a_finished_fit_is_continued_by_the_same_model_for_more_epochs(tmp_path):
    expected = fit(renew_regressor(), DATA["arrays"](), epochs=5).history
    model = renew_regressor()
    plateau = keras.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=1.0)
    fit(model, DATA["arrays"](), km.callbacks.Resume(tmp_path), epochs=2)
    history = fit(model, DATA["arrays"](), km.callbacks.Resume(tmp_path), epochs=5)
    assert history.epoch == [0, 1, 2, 3, 4]
    assert history.history == expected
    # A rate that a callback has changed in this program is not another setting.
    fit(model, DATA["arrays"](), plateau, km.callbacks.Resume(tmp_path), epochs=8)
    fit(model, DATA["arrays"](), plateau, km.callbacks.Resume(tmp_path), epochs=9)


@pytest.mark.parametrize("directory", ["", None, 3])
def test_resuming_needs_the_name_of_a_folder(directory):
    with pytest.raises(ValueError, match="`directory` must name a folder. Received: directory="):
        km.callbacks.Resume(directory)


@pytest.mark.parametrize("every", ["step", np.int64(0), 2.5, True, datetime.timedelta(seconds=-1)])
def test_every_must_be_an_interval(every):
    with pytest.raises(ValueError, match="`every` must .* Received: every="):
        km.callbacks.Resume("progress", every)


def test_resuming_in_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="`directory` must be a folder. Received: the file"):
        km.callbacks.Resume(tmp_path / "file")


@pytest.mark.filterwarnings("ignore:No checkpoint of epoch 2, step 0:UserWarning")
def test_a_checkpoint_of_finite_weights_is_not_replaced_by_one_of_nan(tmp_path):
    class Break(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                self.model.layers[0].kernel.assign(np.full((3, 4), np.nan))

    fit(renew_regressor(), DATA["arrays"](), Break(), km.callbacks.Resume(tmp_path), epochs=2)
    assert [path.name for path in tmp_path.iterdir()] == ["epoch_0001_step_000000"]


def test_a_folder_that_cannot_be_made_is_noticed_before_the_first_epoch(tmp_path):
    (tmp_path / "file").touch()
    resume = km.callbacks.Resume(tmp_path / "file" / "folder")
    seen = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: pytest.fail("began"))
    with pytest.raises(
        ValueError, match=r"`directory` must be a folder. Received: .*file. is a file"
    ):
        fit(renew_regressor(), DATA["arrays"](), resume, seen)


def test_a_mask_may_hold_infinity_on_purpose(tmp_path):
    inputs = keras.Input((3,))
    mask = keras.layers.BatchNormalization(
        moving_mean_initializer=keras.initializers.Constant(-np.inf), trainable=False
    )
    mask(inputs)
    model = km.Model(inputs, keras.layers.Dense(1)(inputs))
    model.mask = mask
    model.compile("sgd", "mse", mode="eager")
    model.fit(X, Y, verbose=0, callbacks=[km.callbacks.Resume(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["epoch_0001_step_000000"]


class DrawsByTensorFlow(km.Model):
    """A step with noise from TensorFlow's generator, which Keras does not save."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.generator = tf.random.Generator.from_seed(1, alg="philox")

    def build(self, input_shape):
        self.dense.build(input_shape)
        self.built = True

    def call(self, x):
        return self.dense(x)

    def train_step(self, data):
        x, y = data
        return super().train_step((x, y + self.generator.normal(tf.shape(y))))


class TrainsInner(km.Model):
    """A step that uses the optimizer of a model within."""

    def __init__(self):
        super().__init__()
        self.inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        self.inner.compile(keras.optimizers.Adam(0.1))
        self.built = True

    def compile(self, optimizer, loss, **kwargs):
        super().compile(optimizer=None, **kwargs)

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(self.inner(x) - y))
        weights = self.inner.trainable_variables
        self.inner.optimizer.apply(tape.gradient(loss, weights), weights)
        return {"loss": loss}


class Unlabelled(keras.utils.PyDataset):
    """Batches that are arrays, not tuples of them."""

    def __len__(self):
        return STEPS

    def __getitem__(self, index):
        return X[4 * index : 4 * index + 4]


class TakesOne(km.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)

    def call(self, x):
        return self.dense(x)

    def train_step(self, data):
        (x,) = data
        return super().train_step((x, x[:, :1]))


def fit_stopped(make_model, data, path, stop, **arguments):
    """Returns the weights after a fit; with `stop`, of one that was stopped and is resumed."""
    for callbacks in ([StopAt(5)], []) if stop else ([],):
        set_seed(0)
        model = make_model()
        model.compile("sgd", "mse", mode="eager")
        callbacks = [*callbacks, km.callbacks.Resume(path, every=2)]
        with contextlib.suppress(StoppedError):
            model.fit(*data, verbose=0, callbacks=callbacks, **arguments)
    return model.get_weights()


@pytest.mark.filterwarnings("ignore:.*batches were read again to resume:UserWarning")
@pytest.mark.parametrize(
    ("make_model", "data", "arguments"),
    [
        (DrawsByTensorFlow, (X, Y), {"batch_size": 4}),
        (TrainsInner, (X, Y), {"batch_size": 4}),
        (TakesOne, (Unlabelled(),), {"shuffle": False}),
    ],
)
def test_what_only_a_step_knows_continues(make_model, data, arguments, tmp_path):
    weights = [
        fit_stopped(make_model, data, tmp_path / str(stop), stop, **arguments)
        for stop in (False, True)
    ]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_examples_may_be_empty(tmp_path):
    class Counts(km.Model):
        def train_step(self, data):
            return {"number": tf.shape(data)[0]}

    model = Counts()
    model.built = True
    model.compile(optimizer=None, mode="eager")
    model.fit(np.zeros((4, 0)), verbose=0, callbacks=[km.callbacks.Resume(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["epoch_0001_step_000000"]


def test_each_of_two_callbacks_writes_at_its_own_steps(tmp_path):
    callbacks = [km.callbacks.Resume(tmp_path / str(every), every, keep=9) for every in (3, 4)]
    fit(renew_regressor("fused"), {"x": X, "y": Y, "batch_size": 2}, *callbacks, epochs=1)
    three, four = ([path.name for path in sorted((tmp_path / n).glob("epoch_*"))] for n in "34")
    assert [name[-2:] for name in three] == ["03", "06", "09", "12", "00"]
    assert [name[-2:] for name in four] == ["04", "08", "12", "00"]
