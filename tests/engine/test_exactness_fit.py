"""Tests that `fit`, `evaluate` and `predict` keep in every mode what Keras promises of them: steps,
callbacks, progress, validation, one epoch going on where another stopped.

The reference is stock Keras. What a step computes is in test_exactness.py.
"""

import functools
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from seeds import set_seed

from kerasmodes.engine import with_modes

MODES = ("eager", "graph", "xla", "fused")
# One mode runs single steps, one whole blocks; the sweep has the others.
TWO_MODES = ["graph", "fused", *(pytest.param(m, marks=pytest.mark.sweep) for m in MODES[::2])]
FUSED = ["fused", *(pytest.param(m, marks=pytest.mark.sweep) for m in MODES[:3])]
RAN_OUT = "ignore:Your input ran out of data:UserWarning"  # as stock Keras says it
GENERATOR = np.random.default_rng(0)
# Ten batches of four; when fused, blocks of four, four and two steps.
X = GENERATOR.normal(size=(40, 3)).astype("float32")
Y = X.sum(axis=1, keepdims=True) + GENERATOR.normal(size=(40, 1)).astype("float32")
BLOCK_ENDS = {mode: [*range(10)] for mode in MODES} | {"fused": [3, 7, 9]}
# With the steps_per_execution of fused. As in Keras, the last execution counts as a whole one.
BLOCKWISE = "graph in blocks"
BLOCK_ENDS[BLOCKWISE] = [3, 7, 11]
IN_BLOCKS = pytest.param(BLOCKWISE, marks=pytest.mark.sweep)


class Counting(keras.Model):
    """A linear model that counts its steps, and how often Python ran through one."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.train_steps, self.test_steps = (
            self.add_weight(shape=(), dtype="int32", trainable=False) for _ in range(2)
        )
        self.num_runs = 0

    def call(self, x):
        return self.dense(x)

    def train_step(self, data):
        self.num_runs += 1
        self.train_steps.assign_add(1)
        return super().train_step(data)

    def test_step(self, data):
        self.num_runs += 1
        self.test_steps.assign_add(1)
        return super().test_step(data)

    def predict_step(self, data):
        self.num_runs += 1
        return super().predict_step(data)


class Record(keras.callbacks.Callback):
    """Keeps what Keras tells a callback."""

    def __init__(self):
        super().__init__()
        self.begins, self.ends = ({"train": [], "test": [], "predict": []} for _ in range(2))
        self.batch_logs, self.epoch_logs = {}, {}

    def on_train_batch_begin(self, batch, logs=None):
        self.begins["train"].append(batch)

    def on_train_batch_end(self, batch, logs=None):
        self.ends["train"].append(batch)
        self.batch_logs[batch] = {name: float(value) for name, value in logs.items()}

    def on_test_batch_begin(self, batch, logs=None):
        self.begins["test"].append(batch)

    def on_test_batch_end(self, batch, logs=None):
        self.ends["test"].append(batch)

    def on_predict_batch_begin(self, batch, logs=None):
        self.begins["predict"].append(batch)

    def on_predict_batch_end(self, batch, logs=None):
        self.ends["predict"].append(batch)

    def on_epoch_end(self, epoch, logs=None):
        self.epoch_logs[epoch] = {name: float(value) for name, value in logs.items()}


class AfterSteps(keras.callbacks.Callback):
    """Calls a function of the model after some steps, all of them ends of blocks."""

    def __init__(self, function, steps=(3, 7)):
        super().__init__()
        self.function, self.steps = function, steps

    def on_train_batch_end(self, batch, logs=None):
        if batch in self.steps:
            self.function(self.model)


@functools.cache
def compiled(mode):
    """Returns one model a mode ("keras" is stock): each fit after the first finds it compiled."""
    model = Counting()
    in_blocks = mode == "fused" or mode.endswith("in blocks")
    arguments = {"steps_per_execution": 4 if in_blocks else 1}
    if mode.startswith("keras"):
        arguments["jit_compile"] = False  # Quicker for a few steps.
    else:
        with_modes(model)
        arguments["mode"] = mode.split()[0]
    model.compile(keras.optimizers.SGD(0.05), "mse", metrics=["mae"], **arguments)
    model(X[:1])
    model.optimizer.build(model.trainable_variables)
    return model


def fresh(mode):
    model = compiled(mode)
    model.set_weights([np.zeros(()), np.zeros(()), np.full((3, 1), 0.1), np.zeros(1)])
    model.optimizer.iterations.assign(0)
    model.optimizer.learning_rate = 0.05
    return model


def batches(number=10):
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(4).take(number)


def fit(mode, **arguments):
    """Returns a model trained in a mode with these arguments of `fit`, by default on arrays."""
    model = fresh(mode)
    set_seed(0)
    data = {} if "x" in arguments else {"x": X, "y": Y, "batch_size": 4}
    model.fit(**({"shuffle": False, "verbose": 0} | data | arguments))
    return model


def set_rate(model):
    model.optimizer.learning_rate = 0.5 * model.optimizer.learning_rate


def with_callback(make_callback):
    return lambda: {"epochs": 3, "callbacks": [make_callback()]}


def going_on(steps_per_epoch, epochs, make_data=None):
    data = {"steps_per_epoch": steps_per_epoch, "epochs": epochs}
    return lambda: data | ({"x": make_data()} if make_data else {})


VALIDATION = {"epochs": 2, "validation_data": (X[:24], Y[:24])}
CASES = {
    "initial epoch": lambda: {"initial_epoch": 3, "epochs": 5},
    # An epoch goes on in the data where the last one stopped.
    "7 of repeating": going_on(7, 3, lambda: batches().repeat()),
    "3 of finite": going_on(3, 3, batches),  # one step is left over
    "5 of finite": going_on(5, 2, batches),  # used up exactly
    "7 of finite": going_on(7, 3, batches),  # the second epoch runs out, the third starts again
    "12 of finite": going_on(12, 2, batches),  # each runs out
    "7 of unknown": going_on(7, 2, lambda: batches().repeat(2).filter(lambda x, y: True)),
    "7 of arrays": going_on(7, 3),
    "7 of shuffled": lambda: {"shuffle": True, "steps_per_epoch": 7, "epochs": 3},
    "shuffled": lambda: {"shuffle": True, "epochs": 2},
    "shuffled batches": lambda: {"shuffle": "batch", "epochs": 2},
    "reshuffled": lambda: {"x": batches().shuffle(10, seed=3), "epochs": 3},
    "reshuffled, of unknown length": lambda: {
        "x": batches().shuffle(10, seed=3).filter(lambda x, y: True),
        "epochs": 4,
    },
    "validation_split": lambda: {"validation_split": 0.2, "epochs": 2},
    "validation_freq": lambda: {**VALIDATION, "validation_freq": 2},
    "validation_steps": lambda: {**VALIDATION, "validation_steps": 5},
    "validation_batch_size": lambda: {**VALIDATION, "validation_batch_size": 8},
    # What a callback does to the model counts.
    "scheduler": with_callback(
        lambda: keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.5 * rate)
    ),
    "plateau": with_callback(
        lambda: keras.callbacks.ReduceLROnPlateau("loss", 0.1, patience=1, min_delta=100.0)
    ),
    "early stopping": with_callback(
        lambda: keras.callbacks.EarlyStopping(
            "loss", mode="max", patience=1, restore_best_weights=True
        )
    ),
    "rate": with_callback(lambda: AfterSteps(set_rate)),
    "evaluate": with_callback(lambda: AfterSteps(lambda m: m.evaluate(X[:8], Y[:8], 4, 0))),
    "predict": with_callback(lambda: AfterSteps(lambda m: m.predict(X[:8], 4, 0))),
}


def numbers(model):
    """Returns all that training left behind."""
    return {
        "history": model.history.history,
        "epoch": model.history.epoch,
        "steps": [int(model.train_steps.numpy()), int(model.optimizer.iterations.numpy())],
        "rate": float(model.optimizer.learning_rate.numpy()),
        "weights": model.dense.get_weights(),
    }


def check_equal(found, expected):
    for key in ("epoch", "steps", "rate"):
        assert found[key] == expected[key], key
    assert found["history"].keys() == expected["history"].keys()
    for name, values in expected["history"].items():
        np.testing.assert_allclose(found["history"][name], values, rtol=1e-5, err_msg=name)
    for one, other in zip(found["weights"], expected["weights"], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4)


@functools.cache
def keras_numbers(case, mode="keras"):
    return numbers(fit(mode, **CASES[case]()))


# Each in one mode, most in a loop; the sweep has the others. What the first 18 are about
# (steps, order and validation of epochs) Keras's own blocks have, too.
DEFAULT_MODES = ("fused", "graph", "fused", "eager", "fused", "fused")
# Also in other tests: of validation here, and of states; or much as the ones beside them.
RARE = ("validation_steps", "validation_batch_size", "evaluate", "predict", "plateau", "reshuffled")
WAYS = [
    pytest.param(
        case,
        mode,
        marks=[] if mode == DEFAULT_MODES[i % 6] and case not in RARE else pytest.mark.sweep,
    )
    for i, case in enumerate(CASES)
    for mode in [*MODES, *[BLOCKWISE] * (i < 18)]
]


@pytest.mark.filterwarnings(RAN_OUT)
@pytest.mark.parametrize(("case", "mode"), WAYS)
def test_fit_ends_as_in_keras(case, mode):
    # Where a seed is set, Keras repeats one order of the examples; the modes have one an epoch.
    reference = "eager" if case in ("shuffled", "7 of shuffled") else "keras"
    in_blocks = " in blocks" if mode == BLOCKWISE else ""
    expected = keras_numbers(case, reference + in_blocks)
    if case == "reshuffled, of unknown length":
        # In stock Keras what does not depend on the batch runs once more where the data end.
        expected = expected | {"steps": [40, 40]}
    check_equal(numbers(fit(mode, **CASES[case]())), expected)


@functools.cache
def compiled_in_blocks(mode, steps_per_execution):
    """Returns one model for each number of steps and mode; "keras" is stock."""
    model, arguments = Counting(), {"run_eagerly": True}  # Quicker than to trace a few steps.
    model(X[:1])
    if mode != "keras":
        with_modes(model)
        arguments = {"mode": mode, "jit_compile": False}
    model.compile("sgd", "mse", steps_per_execution=steps_per_execution, **arguments)
    return model


STEPS = [{}, {"steps_per_epoch": 5}, {"x": "unknown"}]
BLOCK_WAYS = [(STEPS[2], None, 2)]  # Of a known length: the next test.
OTHER_BLOCK_WAYS = [
    *((arguments, None, 2) for arguments in STEPS[:2]),
    (STEPS[2], "graph", 2),
    *((arguments, "graph", 3) for arguments in STEPS),
]


@pytest.mark.filterwarnings(RAN_OUT)
@pytest.mark.parametrize(
    ("arguments", "mode", "steps_per_execution"),
    [*BLOCK_WAYS, *(pytest.param(*way, marks=pytest.mark.sweep) for way in OTHER_BLOCK_WAYS)],
)
def test_callbacks_are_called_as_in_keras_to_the_last_index(mode, arguments, steps_per_execution):
    calls = []
    for name in ("keras", mode):
        model, record = compiled_in_blocks(name, steps_per_execution), Record()
        model.train_steps.assign(0)
        model.test_steps.assign(0)
        data = batches(7).repeat() if arguments else batches(7)
        if arguments.get("x"):
            data = batches(7).filter(lambda x, y: True)
        steps = {name: value for name, value in arguments.items() if name != "x"}
        model.fit(data, epochs=2, shuffle=False, verbose=0, callbacks=[record], **steps)
        model.evaluate(batches(7), verbose=0, callbacks=[record])
        model.predict(batches(7), verbose=0, callbacks=[record])
        ran = int(model.train_steps.numpy()), int(model.test_steps.numpy())
        calls.append((record.begins, record.ends, record.params["steps"], ran))
    assert calls[1] == calls[0]


@pytest.mark.parametrize("mode", [*TWO_MODES, IN_BLOCKS])
def test_callbacks_see_each_blocks_first_and_last_step(mode):
    record = Record()
    model = fit(mode, epochs=2, callbacks=[record])
    assert record.params["steps"] == 10
    assert record.params["epochs"] == 2
    model.evaluate(X, Y, batch_size=4, verbose=0, callbacks=[record])
    assert record.params["steps"] == 10
    model.predict(X, batch_size=4, verbose=0, callbacks=[record])
    assert record.ends["train"] == 2 * BLOCK_ENDS[mode]
    assert record.ends["test"] == BLOCK_ENDS[mode]
    assert record.ends["predict"][-1] == BLOCK_ENDS[mode][-1]
    for kind, ends in record.ends.items():
        expected = [0 if end >= 9 else end + 1 for end in [9, *ends[:-1]]]
        assert record.begins[kind] == expected, kind


@pytest.mark.parametrize("mode", [*FUSED, IN_BLOCKS])
def test_logs_are_those_of_keras_after_the_same_step(mode):
    record, expected = Record(), Record()
    fit(mode, epochs=2, callbacks=[record], validation_data=(X[:8], Y[:8]))
    fit("keras", epochs=2, callbacks=[expected], validation_data=(X[:8], Y[:8]))
    assert list(record.batch_logs) == BLOCK_ENDS[mode]
    for step, logs in record.batch_logs.items():
        assert logs == pytest.approx(expected.batch_logs[min(step, 9)], rel=1e-5), step
    for epoch, logs in expected.epoch_logs.items():
        assert record.epoch_logs[epoch] == pytest.approx(logs, rel=1e-5)


@pytest.mark.parametrize("mode", FUSED)
def test_progress_bars_end_at_the_number_of_steps(mode, capsys):
    model = fit(mode, epochs=2, verbose=1)
    in_fit = capsys.readouterr().out
    model.evaluate(X, Y, batch_size=4, verbose=1)
    in_evaluate = capsys.readouterr().out
    model.predict(X, batch_size=4, verbose=1)
    for output in (in_fit.split("Epoch 2/2")[1], in_evaluate, capsys.readouterr().out):
        shown = re.findall(r"(\d+)/10\b", output)
        assert shown[-1] == "10"
        assert max(map(int, shown)) == 10


@pytest.mark.parametrize("mode", FUSED)
def test_validation_leaves_the_training_alone(mode):
    without = fit(mode, epochs=2)
    history, weights = without.history.history, without.dense.get_weights()
    model = fit(mode, epochs=2, validation_data=(X[:8], Y[:8]), validation_batch_size=4)
    assert model.history.history.items() > history.items()
    assert int(model.test_steps.numpy()) == 4
    for one, other in zip(model.dense.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("mode", [*TWO_MODES, IN_BLOCKS])
def test_training_stops_at_the_end_of_a_block(mode):
    stop = AfterSteps(lambda model: setattr(model, "stop_training", True))
    model = fit(mode, epochs=3, callbacks=[stop], validation_data=(X[:8], Y[:8]))
    assert numbers(model)["steps"] == [4, 4]
    assert model.history.epoch == [0]
    model.fit(X, Y, batch_size=4, verbose=0)
    assert numbers(model)["steps"] == [14, 14]


@pytest.mark.parametrize("mode", FUSED)
def test_a_broken_off_epoch_harms_no_later_one(mode):
    def fail(model):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        fit(mode, callbacks=[AfterSteps(fail)])
    assert int(compiled(mode).train_steps.numpy()) == 4
    check_equal(
        numbers(fit(mode, **CASES["validation_split"]())), keras_numbers("validation_split")
    )


@pytest.mark.filterwarnings("ignore:Limiting")
@pytest.mark.parametrize("mode", FUSED)
def test_a_dry_run_ends_early_and_the_next_run_is_whole(mode):
    keras.config.set_max_steps_per_epoch(3)
    keras.config.set_max_epochs(2)
    try:
        model = fit(mode, epochs=5, validation_data=(X, Y))
        assert int(model.train_steps.numpy()) == int(model.test_steps.numpy()) == 6
        assert model.predict(X, batch_size=4, verbose=0).shape == (12, 1)
    finally:
        keras.config.set_max_steps_per_epoch(None)
        keras.config.set_max_epochs(None)
    check_equal(
        numbers(fit(mode, **CASES["validation_split"]())), keras_numbers("validation_split")
    )
    assert model.predict(X, batch_size=4, verbose=0).shape == (40, 1)


@pytest.mark.parametrize("mode", TWO_MODES)
def test_python_does_not_run_through_a_step_again_after_the_first_epoch(mode):
    model = fit(mode, validation_data=(X[:8], Y[:8]), validation_batch_size=4)
    model.predict(X, batch_size=4, verbose=0)
    num_runs = model.num_runs
    fit(mode, epochs=2, validation_data=(X[:8], Y[:8]), validation_batch_size=4)
    model.evaluate(X, Y, batch_size=4, verbose=0)
    model.predict(X, batch_size=4, verbose=0)
    executions = 2 * (10 + 2) + 10 + 10
    assert model.num_runs - num_runs == (executions if mode == "eager" else 0)
