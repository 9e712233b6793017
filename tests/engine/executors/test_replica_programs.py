"""Tests of steps on replicas as programs of XLA's: the numbers of one device, and none that wait.

What of a model differs on replicas is in `test_replication.py`, in mode "xla" too.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from seeds import set_seed

import kerasmodes as km
from kerasmodes.engine.executors import replica_programs

ONE_DEVICE = tf.distribute.get_strategy()
X, Y = km.data.sums(num_samples=24, num_features=3, seed=1)


def sum_over_replicas(value):
    return tf.distribute.get_replica_context().all_reduce("sum", value)


def trace(strategy, step):
    """Returns a step on all replicas as a concrete function of four numbers."""

    def run(x):
        return [one for y in [strategy.run(step, (x,))] for one in y.values]

    return tf.function(run, autograph=False).get_concrete_function(tf.TensorSpec([4]))


def list_programs(function):
    """Returns the operations of a function's graph that are programs of XLA's."""
    graph = function.get_concrete_function(tf.TensorSpec([4])).graph
    return [one for one in graph.get_operations() if "_XlaMustCompile" in one.node_def.attr]


@pytest.mark.slow
def test_programs_hold_all_but_the_messages_and_each_runs_on_its_device(two_replicas):
    def step(x):
        for _ in range(2):
            x = sum_over_replicas(tf.sin(x) * tf.cos(x) + tf.tanh(x) * tf.exp(-x))
        return x + tf.sqrt(x * x) + tf.exp(-x) * tf.cos(x)

    plain = trace(two_replicas, step)
    compiled = replica_programs.compile_parts(plain)
    devices = [one.device[-5:] for one in list_programs(compiled)]
    assert devices == ["CPU:0", "CPU:1"] * 3
    x = tf.constant([0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(compiled(x), plain(x), rtol=1e-5)


@pytest.mark.slow
def test_a_variable_is_written_and_read_in_the_order_of_the_step(two_replicas):
    with two_replicas.scope():
        variable = tf.Variable(tf.ones(4))

    def step(x):
        before = variable.read_value()
        variable.assign_add(tf.cos(x) * tf.sin(x) + x)
        total = sum_over_replicas(variable.read_value() * before)
        variable.assign(total * tf.exp(-total) + tf.sin(total))
        return variable.read_value() + before

    plain, x = trace(two_replicas, step), tf.constant([0.1, 0.2, 0.3, 0.4])
    compiled = replica_programs.compile_parts(plain)
    numbers = []
    for function in (plain, compiled):
        two_replicas.run(lambda: variable.assign(tf.ones(4)))
        outputs = [function(x), function(x)]
        numbers.append([*outputs, [one.numpy() for one in variable.values]])
    np.testing.assert_allclose(numbers[1], numbers[0], rtol=1e-5)


@pytest.mark.slow
def test_replicas_of_which_one_needs_numbers_of_the_other_have_the_same_rounds(two_replicas):
    with two_replicas.scope():
        first = tf.Variable(tf.ones(4), aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)

    def step(x):
        first.assign(tf.sin(x) + tf.cos(x) * tf.exp(x) - tf.tanh(x))  # Replica 0's, on both.
        total = sum_over_replicas(first.read_value() * tf.sin(x) + tf.cos(x) * tf.exp(x))
        return total * tf.sin(total) + tf.cos(total) * first.read_value() + x

    plain = trace(two_replicas, step)
    compiled = replica_programs.compile_parts(plain)
    x = tf.constant([0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(compiled(x), plain(x), rtol=1e-5)


def train(strategy, mode, layers, optimizer, steps_per_execution=1):
    """Returns the logs and weights of a model after two epochs of two batches."""
    set_seed(0)
    ids = np.random.default_rng(0).integers(0, 5, (8, 6))
    with strategy.scope():
        made = [make() for make in layers]
        model = km.Sequential([keras.Input((6,)), *made, keras.layers.Dense(1, dtype="float32")])
        model.compile(optimizer(), "mse", mode=mode, steps_per_execution=steps_per_execution)
    history = model.fit(ids, ids[:, :1].astype("float32"), 4, epochs=2, verbose=0).history
    return history["loss"], np.concatenate([weight.ravel() for weight in model.get_weights()])


EMBEDDED = [lambda: keras.layers.Embedding(5, 2), keras.layers.Flatten]
RECURRENT = [lambda: keras.layers.Embedding(5, 2), lambda: keras.layers.LSTM(3)]
NORMALIZED = [
    lambda: keras.layers.Dense(4),
    lambda: keras.layers.BatchNormalization(synchronized=True),
    lambda: keras.layers.Dropout(0.5),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layers", "optimizer", "steps_per_execution"),
    [
        (EMBEDDED, lambda: keras.optimizers.SGD(0.1, clipnorm=0.5), 1),
        pytest.param(RECURRENT, keras.optimizers.SGD, 2, marks=pytest.mark.sweep),
        pytest.param(
            NORMALIZED,
            lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01)),
            2,
            marks=pytest.mark.sweep,
        ),
    ],
)
def test_a_model_has_the_numbers_of_one_device(
    two_replicas, layers, optimizer, steps_per_execution
):
    expected = train(ONE_DEVICE, "eager", layers, optimizer, steps_per_execution)
    numbers = train(two_replicas, "xla", layers, optimizer, steps_per_execution)
    for one, other in zip(numbers, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.slow
def test_what_xla_cannot_compile_is_said_with_the_way_out(two_replicas):
    class Own(km.SumRegressor):
        def train_step(self, data):
            x, y = data
            x = tf.ensure_shape(tf.py_function(lambda one: one, [x], tf.float32), (4 // 2, 3))
            return super().train_step((x, y))

    with two_replicas.scope():
        model = Own(units=())
        model.build((None, 3))
        model.compile("sgd", mode="xla")
    with pytest.raises(ValueError, match="mode='xla' must be given .* EagerPyFunc.*mode='graph'"):
        model.fit(X, Y, batch_size=4, verbose=0)


@pytest.mark.slow
def test_a_loop_whose_gradient_follows_a_message_is_refused(two_replicas):
    with two_replicas.scope():
        model = km.Sequential([keras.Input((4, 3)), keras.layers.SimpleRNN(2)])
        # Of a loss that is not Keras's, the examples of all replicas are gathered.
        model.compile("sgd", lambda y, outputs: tf.reduce_mean(tf.square(y - outputs)), mode="xla")
    x = np.zeros((4, 4, 3), "float32")
    words = "mode='xla' must be given .* While whose values are needed after a message, made in "
    with pytest.raises(ValueError, match=words):
        model.fit(x, x[:, 0, :2], batch_size=4, verbose=0)


def test_data_that_are_distributed_already_are_refused(two_replicas):
    with two_replicas.scope():
        model = km.SumRegressor(units=())
        model.build((None, 3))
        model.compile("sgd", mode="xla")
    data = tf.data.Dataset.from_tensor_slices((X[:8], Y[:8])).batch(4)
    distributed = two_replicas.experimental_distribute_dataset(data)
    with pytest.raises(ValueError, match=r"tf.data.Dataset .* mode='xla'.* need mode='graph'"):
        model.fit(distributed, shuffle=False, verbose=0)
