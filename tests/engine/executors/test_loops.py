"""Tests of loops over super-batches: for any data, they do what one step at a time does."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from seeds import set_seed

import kerasmodes as km
from kerasmodes.engine.executors import programs

X, Y = km.data.sums(num_samples=22, num_features=3, seed=1)
HALF = keras.initializers.Constant(0.5)  # of the sums: there is something to learn
WEIGHT = np.linspace(0, 2, 22, dtype="float32")
RAN_OUT = "ignore:Your input ran out of data:UserWarning"  # Keras says it of unknown lengths too


class Counting(km.Model):
    """A linear model that counts its steps, and how often its step is traced."""

    def __init__(self, takes=lambda x: x, **kwargs):
        super().__init__(**kwargs)
        self.takes = takes
        self.dense = keras.layers.Dense(1, kernel_initializer=HALF)
        self.train_steps, self.test_steps = (
            self.add_weight(shape=(), dtype="int32", trainable=False) for _ in range(2)
        )
        self.num_traces = 0

    def call(self, x):
        return self.dense(self.takes(x))

    def train_step(self, data):
        self.num_traces += 1
        self.train_steps.assign_add(1)
        return super().train_step(data)

    def test_step(self, data):
        self.test_steps.assign_add(1)
        return super().test_step(data)


class Batches(keras.utils.PyDataset):
    """Batches of given sizes, made in Python."""

    def __init__(self, sizes, with_targets=True):
        super().__init__()
        ends = np.cumsum(sizes)
        self.slices = [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]
        self.with_targets = with_targets

    def __len__(self):
        return len(self.slices)

    def __getitem__(self, index):
        x = X[self.slices[index]]
        return (x, Y[self.slices[index]]) if self.with_targets else (x,)


def batches(*sizes):
    """Returns a data set with batches of these sizes."""
    spec = (tf.TensorSpec([None, 3]), tf.TensorSpec([None, 1]))
    data = tf.data.Dataset.from_generator(lambda: generate(Batches(sizes)), output_signature=spec)
    return data.apply(tf.data.experimental.assert_cardinality(len(sizes)))


def generate(dataset):
    for index in range(len(dataset)):
        yield dataset[index]


def nested(x):
    return tf.concat([x["a"], tf.cast(x["more"]["b"], tf.float32), x["more"]["c"][0]], axis=1)


def fit(mode, arguments, takes=lambda x: x, steps_per_execution=4, epochs=2, optimizer="sgd"):
    """Returns the model and its history after a `fit` with these arguments."""
    model = Counting(takes)
    model.dense.build((None, 3))
    steps_per_execution = steps_per_execution if mode == "fused" else 1
    model.compile(optimizer, "mse", mode=mode, steps_per_execution=steps_per_execution)
    history = model.fit(**arguments, epochs=epochs, shuffle=False, verbose=0).history
    return model, history


def check_fused_equals_graph(make_arguments, num_batches, **keywords):
    graph, expected = fit("graph", make_arguments(), **keywords)
    fused, history = fit("fused", make_arguments(), **keywords)
    assert history.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-5, err_msg=name)
    for weight, expected_weight in zip(fused.get_weights(), graph.get_weights(), strict=True):
        np.testing.assert_allclose(weight, expected_weight, rtol=1e-4)
    assert int(fused.train_steps.numpy()) == num_batches * keywords.get("epochs", 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batch_size", "steps_per_execution", "num_batches"),
    [
        # By default, arrays are in `test_exactness_data.py`.
        pytest.param(2, 5, 11, marks=pytest.mark.sweep),
        pytest.param(4, 4, 6, marks=pytest.mark.sweep),
        pytest.param(1, 5, 22, marks=pytest.mark.sweep),
        pytest.param(4, 1000, 6, marks=pytest.mark.sweep),
        pytest.param(2, 1, 11, marks=pytest.mark.sweep),
    ],
)
def test_arrays(batch_size, steps_per_execution, num_batches):
    check_fused_equals_graph(
        lambda: {"x": X, "y": Y, "batch_size": batch_size},
        num_batches,
        steps_per_execution=steps_per_execution,
    )


@pytest.mark.slow
@pytest.mark.sweep
@pytest.mark.parametrize("sizes", [(4, 4, 2, 4, 4, 4), (1, 2, 3, 4, 5)])
def test_smaller_batches_anywhere(sizes):
    check_fused_equals_graph(lambda: {"x": batches(*sizes)}, len(sizes))


@pytest.mark.slow
@pytest.mark.sweep
@pytest.mark.filterwarnings(RAN_OUT)
@pytest.mark.parametrize("steps_per_execution", [3, 100])
def test_data_of_unknown_length(steps_per_execution):
    check_fused_equals_graph(
        lambda: {"x": batches(4, 4, 4, 4, 4).filter(lambda x, y: True)},
        num_batches=5,
        steps_per_execution=steps_per_execution,
    )


@pytest.mark.slow
@pytest.mark.sweep
def test_validation():
    def make_arguments():
        validation = {"validation_data": (X[:7], Y[:7], WEIGHT[:7])}
        return {"x": X[:20], "y": Y[:20], "batch_size": 4, **validation}

    _, expected = fit("graph", make_arguments())
    fused, history = fit("fused", make_arguments())
    np.testing.assert_allclose(history["val_loss"], expected["val_loss"], rtol=1e-5)
    assert int(fused.test_steps.numpy()) == 2 * 2


@pytest.mark.parametrize("batch_size", [4, 11, 30])
def test_predict(batch_size):
    model = Counting()
    model.compile(mode="fused", steps_per_execution=4)
    predicted = model.predict(X, batch_size=batch_size, verbose=0)
    np.testing.assert_allclose(predicted, Y / 2, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_predict_with_nested_outputs():
    inputs = keras.Input((3,))
    outputs = {"sum": keras.ops.sum(inputs, axis=1), "both": [inputs, 2 * inputs]}
    model = km.Model(inputs, outputs)
    model.compile(mode="fused", steps_per_execution=4)
    predicted = model.predict(X, batch_size=4, verbose=0)
    np.testing.assert_allclose(predicted["sum"], Y[:, 0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(predicted["both"][1], 2 * X)


@pytest.mark.slow
def test_a_batch_after_fit_may_lack_what_fit_gave():
    model = Counting()
    model.dense.build((None, 3))
    model.compile("sgd", "mse", mode="fused")
    model.fit(tf.data.Dataset.from_tensors((X, Y)), shuffle=False, verbose=0)
    model.train_on_batch(X, Y)
    assert int(model.train_steps.numpy()) == 2


# `test_exactness_fit.py` counts how often Python runs through a step, and stops fits.
@pytest.mark.sweep
@pytest.mark.slow
def test_nothing_is_compiled_again_after_the_first_epoch():
    model, _ = fit("fused", {"x": X, "y": Y, "batch_size": 4}, epochs=1)
    after_first = model.num_traces
    model.fit(X, Y, batch_size=4, epochs=3, verbose=0)
    model.fit(batches(4, 4, 2), shuffle=False, verbose=0)
    assert model.num_traces == after_first
    assert int(model.train_steps.numpy()) == 6 + 18 + 3


@pytest.mark.sweep
@pytest.mark.slow
def test_a_callback_can_stop_between_executions():
    model = Counting()
    model.dense.build((None, 3))
    model.compile("sgd", "mse", mode="fused", steps_per_execution=4)
    stop = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda end, logs: setattr(model, "stop_training", True)
    )
    model.fit(X, Y, batch_size=1, epochs=3, verbose=0, callbacks=[stop])
    assert int(model.train_steps.numpy()) == 4


def test_random_numbers_differ_between_the_steps_of_an_execution():
    class Drawing(km.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)
            self.seed_generator = km.random.SeedGenerator(0)
            self.drawn = self.add_weight(shape=(6,), trainable=False)
            self.index = self.add_weight(shape=(), dtype="int32", trainable=False)

        def train_step(self, data):
            number = km.random.uniform((1,), seed=self.seed_generator)
            place = tf.reshape(self.index, (1, 1))
            self.drawn.assign(tf.tensor_scatter_nd_update(self.drawn.value, place, number))
            self.index.assign_add(1)
            return {"number": number[0]}

    model = Drawing()
    model.compile(mode="fused")
    model.fit(X[:6], batch_size=1, verbose=0)
    expected = km.random.SeedGenerator(0)
    numbers = [km.random.uniform((), seed=expected).numpy() for _ in range(6)]
    np.testing.assert_array_equal(model.drawn.numpy(), numbers)


@pytest.mark.slow
@pytest.mark.sweep
@pytest.mark.parametrize("name", ["cpu:1", "single"])
def test_any_strategy_of_one_replica_will_do(name):
    with km.get_strategy(name).scope():
        model = Counting()
        model.dense.build((None, 3))
        model.compile("sgd", "mse", mode="fused", steps_per_execution=4)
    model.fit(X[:20], Y[:20], batch_size=4, validation_data=(X[:4], Y[:4]), verbose=0)
    assert int(model.train_steps.numpy()) == 5
    np.testing.assert_allclose(model.predict(X, verbose=0), model(X), rtol=1e-5)


@pytest.mark.parametrize("mode", ["graph", pytest.param("xla", marks=pytest.mark.sweep)])
def test_more_data_need_no_new_graph(mode):
    model = Counting()
    model.compile("sgd", "mse", mode=mode)
    model.fit(X[:4], Y[:4], batch_size=4, verbose=0)
    after_first = model.num_traces
    model.fit(X[:20], Y[:20], batch_size=4, verbose=0)
    assert model.num_traces == after_first


def convolutional(**arguments):
    """Returns a small convolutional network, compiled."""
    layers = [
        keras.layers.Conv2D(2, 3, strides=2, padding="same", activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(1),
    ]
    model = km.with_modes(keras.Sequential([keras.Input((6, 6, 1)), *layers]))
    model.compile("sgd", "mse", **arguments)
    return model


def fit_images(model):
    images = np.random.default_rng(0).random((20, 6, 6, 1), dtype="float32")
    return model.fit(images, images[:, 0, 0], batch_size=4, epochs=2, shuffle=False, verbose=0)


@pytest.mark.slow
def test_fused_convolutions_on_a_cpu_have_the_numbers_of_graph_mode_to_the_bit():
    assert tf.config.list_physical_devices("GPU") == []
    set_seed(0)
    expected = fit_images(convolutional(mode="graph"))
    set_seed(0)
    model = convolutional(mode="fused", steps_per_execution=2)
    history = fit_images(model)
    assert (model.mode, history.params["mode"]) == ("fused", "fused")
    assert history.params["loop"] == "graph"
    assert int(model.optimizer.iterations.numpy()) == 10
    assert history.history == expected.history


def test_fused_steps_without_convolutions_are_one_loop_of_xla():
    model = Counting()
    model.dense.build((None, 3))
    model.compile("sgd", "mse", mode="fused")
    assert model.fit(X, Y, batch_size=11, verbose=0).params["loop"] == "fused"


@pytest.mark.slow
@pytest.mark.parametrize("steps_per_execution", [1, pytest.param(3, marks=pytest.mark.sweep)])
def test_fused_convolutions_predict_and_evaluate_as_in_a_graph(steps_per_execution):
    model = convolutional(mode="graph")
    images = np.random.default_rng(0).random((90, 6, 6, 1), dtype="float32")
    expected = model.predict(images, batch_size=4, verbose=0)
    loss = model.evaluate(images, images[:, 0, 0], batch_size=4, verbose=0)
    model.compile("sgd", "mse", mode="fused", steps_per_execution=steps_per_execution)
    predicted = model.predict(images, batch_size=4, verbose=0)
    np.testing.assert_allclose(predicted, expected, rtol=1e-5, atol=1e-6)
    fused_loss = model.evaluate(images, images[:, 0, 0], batch_size=4, verbose=0)
    np.testing.assert_allclose(fused_loss, loss, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["fused", pytest.param("xla", marks=pytest.mark.sweep)])
def test_branches_can_be_differentiated(mode):
    def choose(x):
        return tf.cond(tf.reduce_sum(x) > 0, lambda: tf.exp(x) * x, lambda: x)

    arguments = {"x": X[:20], "y": Y[:20], "batch_size": 4}
    _, expected = fit("graph", arguments, takes=choose)
    _, history = fit(mode, arguments, takes=choose)
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-5)


class Lengths(Counting):
    """A model that takes batches of any length of sequence."""

    def call(self, x):
        return self.dense(tf.reduce_mean(x, axis=1))


def of_length(length, size=4):
    return np.full((size, length, 3), 0.1 * length, "float32"), np.ones((size, 1), "float32")


@pytest.mark.slow
def test_many_shapes_need_few_graphs():
    model = Lengths()
    model.dense.build((None, 3))
    model.compile("sgd", "mse", mode="graph")
    for length in range(1, 13):
        model.fit(*of_length(length), verbose=0)
    assert model.num_traces <= 4
    assert int(model.train_steps.numpy()) == 12


def test_predicting_any_number_of_examples_needs_few_graphs():
    traces = []

    def trace(x):
        traces.append(x.shape)
        return x

    model = Counting(trace)
    model.compile(mode="graph")
    model.predict(X, verbose=0)
    traces.clear()
    for size in range(1, 23):
        predicted = model.predict(X[:size], verbose=0)
        np.testing.assert_allclose(predicted, Y[:size] / 2, rtol=1e-5, atol=1e-5)
    assert len(traces) <= 3


@pytest.mark.slow
def test_a_step_that_asks_for_sizes_in_python_is_traced_for_each():
    class Sizes(Lengths):
        def train_step(self, data):
            super().train_step(data)
            return {"size": tf.zeros(()) + data[0].shape[1]}

    model = Sizes()
    model.dense.build((None, 3))
    model.compile("sgd", "mse", mode="graph")
    sizes = [model.fit(*of_length(n), verbose=0).history["size"] for n in range(1, 5)]
    assert sizes == [[n] for n in range(1, 5)]
    assert int(model.train_steps.numpy()) == 4


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["fused", pytest.param("xla", marks=pytest.mark.sweep)])
def test_programs_of_xla_are_bounded(mode, monkeypatch):
    monkeypatch.setattr(programs, "MOST_PROGRAMS", 2)
    model = Lengths()
    model.dense.build((None, 3))
    model.compile("sgd", "mse", mode=mode)
    for length in (1, 2, 1, 3, 1):
        model.fit(*of_length(length), verbose=0)
    kept = model.num_traces
    model.fit(*of_length(1), verbose=0)
    model.fit(*of_length(3), verbose=0)
    assert model.num_traces == kept
    model.fit(*of_length(2), verbose=0)
    assert model.num_traces > kept
    assert int(model.train_steps.numpy()) == 8


class Tail(Counting):
    """A model whose steps return as many numbers as their data say."""

    def train_step(self, data):
        super().train_step(data)
        x = data[0]
        return {"tail": tf.boolean_mask(x[:, 0], x[:, 0] > x[0, 0])}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["graph", pytest.param("fused", marks=pytest.mark.sweep)])
def test_logs_may_have_shapes_that_follow_from_the_data(mode):
    model = Tail()
    model.dense.build((None, 3))
    model.compile("sgd", "mse", mode=mode)
    history = model.fit(X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0).history
    for found in history["tail"]:
        np.testing.assert_array_equal(found, X[20:, 0][X[20:, 0] > X[20, 0]])
    assert int(model.train_steps.numpy()) == 12
