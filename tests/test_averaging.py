"""Tests of the one rule by which a loss is averaged over the global batch."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km

X, Y = km.data.sums(num_samples=8, num_features=3, seed=1)
ONE_DEVICE = tf.distribute.get_strategy()


def mean_of_squares(y_true, y_pred):
    return tf.reduce_mean(tf.square(y_true - y_pred))


def squares(y_true, y_pred):
    return tf.reduce_mean(tf.square(y_true - y_pred), axis=-1)


def shares(strategy, examples):
    """Returns each replica's `average_loss` of its own examples."""
    values = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(examples[context.replica_id_in_sync_group])
    )

    @tf.function
    def run(values):
        return strategy.run(km.average_loss, args=(values,))

    return run(values)


def weights_after_two_steps(strategy, loss):
    """Returns the weights and the loss of a linear model after plain gradient descent."""
    with strategy.scope():
        model = km.SumRegressor(units=())
        model.compile("sgd", loss)
        model.build((None, 3))
    model.optimizer.learning_rate = 0.1
    model.set_weights([np.array([[0.1], [0.2], [0.3]]), np.array([0.4])])
    history = model.fit(X, Y, batch_size=4, shuffle=False, verbose=0).history
    return np.concatenate([weight.ravel() for weight in model.get_weights()]), history["loss"]


def test_one_device_takes_the_mean():
    assert km.average_loss([1.0, 2.0, 6.0]).numpy() == 3


def test_dimensions_after_the_first_are_averaged():
    assert km.average_loss(tf.reshape(tf.range(24.0), [2, 3, 4])).numpy() == 11.5


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_sample_weights_count_as_in_keras(shape):
    losses, weight = tf.reshape([[1.0, 3.0], [5.0, 7.0]], (2, 2)), tf.reshape([1.0, 3.0], shape)
    expected = keras.losses.MeanAbsoluteError()(tf.zeros((2, 2)), losses, sample_weight=weight)
    assert km.average_loss(losses, sample_weight=weight).numpy() == expected == 10


def test_weights_of_another_number_of_examples_are_refused():
    with pytest.raises(ValueError, match="`sample_weight` must have one value an example"):
        km.average_loss([1.0, 2.0], sample_weight=[1.0, 2.0, 3.0])


def test_a_penalty_added_to_the_losses_counts_once(two_replicas):
    def penalised(examples):
        return km.average_loss(examples + 100.0)

    values = two_replicas.experimental_distribute_values_from_function(
        lambda context: tf.constant([[1.0, 2.0, 3.0], [10.0]][context.replica_id_in_sync_group])
    )
    total = two_replicas.reduce("sum", two_replicas.run(penalised, args=(values,)), axis=None)
    assert total.numpy() == 104


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
def test_the_dtype_stays(dtype):
    assert km.average_loss(tf.ones((2, 1), dtype)).dtype == dtype


@pytest.mark.parametrize("loss", [1.0, tf.constant(1.0)])
def test_a_scalar_cannot_be_averaged(loss):
    with pytest.raises(ValueError, match="`per_example_loss` must have one value an example"):
        km.average_loss(loss)


@pytest.mark.parametrize(
    "examples",
    [([1.0, 2.0], [3.0, 10.0]), ([1.0, 2.0, 3.0], [10.0]), ([[1.0, 2.0]], [[3.0, 10.0]])],
    ids=["equal", "unequal", "matrices"],
)
def test_the_shares_of_all_replicas_add_up_to_the_mean(two_replicas, examples):
    total = two_replicas.reduce("SUM", shares(two_replicas, examples), axis=None)
    assert total.numpy() == 4


def test_shares_reduced_by_their_mean_read_too_small(two_replicas):
    mean = two_replicas.reduce("MEAN", shares(two_replicas, ([2.0], [6.0])), axis=None)
    assert mean.numpy() == 2  # the tutorial's mistake: the loss is 4


@pytest.mark.parametrize(
    "loss",
    [
        pytest.param("mean_squared_error", id="string", marks=pytest.mark.sweep),
        pytest.param(keras.losses.MeanSquaredError(), id="object", marks=pytest.mark.sweep),
        pytest.param(squares, id="one value an example", marks=pytest.mark.sweep),
        pytest.param(mean_of_squares, id="scalar"),
    ],
)
def test_any_loss_trains_on_replicas_as_on_one_device(two_replicas, loss):
    expected, expected_losses = weights_after_two_steps(ONE_DEVICE, "mean_squared_error")
    weights, losses = weights_after_two_steps(two_replicas, loss)
    np.testing.assert_allclose(weights, expected, rtol=1e-5)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)


def test_average_loss_trains_on_replicas_as_on_one_device(two_replicas):
    def gradient(strategy):
        with strategy.scope():
            weight = tf.Variable([[0.1], [0.2], [0.3]], aggregation=tf.VariableAggregation.SUM)

        def step(batch):
            with tf.GradientTape() as tape:
                loss = km.average_loss(tf.square(tf.matmul(batch[0], weight) - batch[1]))
            return tape.gradient(loss, weight)

        data = tf.data.Dataset.from_tensor_slices((X[:5], Y[:5])).batch(5)  # 3 and 2 examples
        batch = next(iter(strategy.experimental_distribute_dataset(data)))
        return strategy.reduce("SUM", strategy.run(step, args=(batch,)), axis=None)

    np.testing.assert_allclose(gradient(two_replicas), gradient(ONE_DEVICE), rtol=1e-5)
