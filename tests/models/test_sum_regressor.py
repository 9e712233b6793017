"""Tests of `km.SumRegressor`: the tutorial's network, and any data, loss or metric for it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km

X, Y = km.data.sums(num_samples=16, num_features=3, seed=1)


def test_it_is_the_tutorials_network():
    model = km.SumRegressor()
    model.build((None, 20))
    layers = [*model.hidden_layers, model.output_layer]
    assert [layer.units for layer in layers] == [20, 10, 1]
    assert [layer.activation.__name__ for layer in layers] == ["relu", "relu", "linear"]
    assert model.count_params() == 20 * 20 + 20 + 20 * 10 + 10 + 10 + 1


def test_its_output_is_that_of_the_formula():
    model = km.SumRegressor(units=(2,))
    model.build((None, 2))
    model.set_weights(
        [np.array([[1, -1], [1, -1]]), np.array([0, 1]), np.array([[2], [3]]), np.array([5])]
    )
    # relu(1 + 1), relu(-1 - 1 + 1) and relu(-4), relu(4 + 1)
    np.testing.assert_array_equal(model(np.array([[1.0, 1.0], [-2.0, -2.0]])), [[9], [20]])


def test_one_step_is_gradient_descent_on_the_squared_error():
    model = km.SumRegressor(units=())
    model.build((None, 1))
    model.set_weights([np.array([[1.0]]), np.array([0.0])])
    model.compile(keras.optimizers.SGD(0.1))
    loss = model.train_on_batch(np.array([[1.0], [2.0]]), np.array([[2.0], [5.0]]))
    assert loss == pytest.approx((1 + 9) / 2)
    kernel, bias = model.get_weights()
    assert kernel[0, 0] == pytest.approx(1 + 0.1 * 2 * (1 * 1 + 3 * 2) / 2)
    assert bias[0] == pytest.approx(0.1 * 2 * (1 + 3) / 2)


@pytest.mark.slow
def test_its_defaults_are_adam_and_the_squared_error():
    model = km.SumRegressor()
    model.compile()
    model.build((None, 3))
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    expected = np.mean((model.predict(X, verbose=0) - Y) ** 2)
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(expected)


@pytest.mark.parametrize("num_features", [1, 20, 50])
def test_any_number_of_features_will_do(num_features):
    model = km.SumRegressor(units=(4,))
    assert model(tf.zeros((2, num_features))).shape == (2, 1)


@pytest.mark.parametrize("units", [(), (4,), [3, 2, 1]])
def test_any_number_of_layers_will_do(units):
    model = km.SumRegressor(units)
    assert model.units == tuple(units)
    assert model(X).shape == (16, 1)


@pytest.mark.parametrize("units", [(0,), (-1, 3), (1.5,), (True,), ("20",), 5, 0])
def test_units_must_be_positive_integers(units):
    with pytest.raises(
        ValueError, match="`units` must be a tuple of positive integers. Received: units="
    ):
        km.SumRegressor(units)


@pytest.mark.parametrize("shape", [(4,), (4, 3, 2)])
def test_inputs_must_be_rows_of_features(shape):
    model = km.SumRegressor()
    with pytest.raises(ValueError, match=r"`x` must have shape \[batch, features\]. Received: x w"):
        model(tf.zeros(shape))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "formula"),
    [
        ("mean_absolute_error", lambda error: np.mean(np.abs(error))),
        (keras.losses.Huber(0.5), lambda error: np.mean(np.where(
            np.abs(error) < 0.5, error**2 / 2, 0.5 * np.abs(error) - 0.125))),
        (lambda y, y_pred: tf.square(y - y_pred)[:, 0], lambda error: np.mean(error**2)),
        (
            lambda y, y_pred: tf.reduce_mean(tf.square(y - y_pred)) + 3 * tf.reduce_max(y),
            lambda error: np.mean(error**2) + 3 * Y.max(),
        ),
    ],
    ids=["string", "object", "function", "terms"],
)  # fmt: skip
def test_any_loss_will_do(loss, formula):
    model = km.SumRegressor(units=(2,))
    model.build((None, 3))
    model.compile("sgd", loss=loss, mode="eager")
    error = model.predict(X, verbose=0) - Y
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(formula(error), rel=1e-5)
    history = model.fit(X, Y, batch_size=16, verbose=0).history
    assert history["loss"] == pytest.approx([formula(error)], rel=1e-5)


@pytest.mark.slow
def test_sample_weights_weigh_the_examples():
    weight = np.arange(16, dtype="float32")
    model = km.SumRegressor(units=(2,))
    model.build((None, 3))
    model.compile(keras.optimizers.SGD(0.0), weighted_metrics=["mean_absolute_error"], mode="eager")
    error = model.predict(X, verbose=0)[:, 0] - Y[:, 0]
    history = model.fit(
        X, Y, batch_size=4, sample_weight=weight, validation_data=(X, Y, weight), verbose=0
    ).history
    for prefix in ("", "val_"):
        assert history[f"{prefix}loss"] == pytest.approx([np.mean(weight * error**2)], rel=1e-5)
        weighted = np.sum(weight * np.abs(error)) / weight.sum()
        assert history[f"{prefix}mean_absolute_error"] == pytest.approx([weighted], rel=1e-5)


@pytest.mark.slow
def test_the_logged_loss_weighs_batches_by_their_examples():
    model = km.SumRegressor(units=(2,))
    model.build((None, 3))
    model.compile(keras.optimizers.SGD(0.0), mode="eager")
    expected = np.mean((model.predict(X, verbose=0) - Y) ** 2)
    history = model.fit(X, Y, batch_size=7, verbose=0).history  # 7, 7 and 2
    assert history["loss"] == pytest.approx([expected], rel=1e-5)


@pytest.mark.slow
def test_regularizers_and_added_losses_count():
    model = km.SumRegressor(units=(2,))
    model.hidden_layers[0].kernel_regularizer = keras.regularizers.L2(0.5)
    model.build((None, 3))
    model.compile(keras.optimizers.SGD(0.0))
    error = np.mean((model.predict(X, verbose=0) - Y) ** 2)
    penalty = 0.5 * np.sum(model.hidden_layers[0].kernel.numpy() ** 2)
    history = model.fit(X, Y, batch_size=16, verbose=0).history
    assert history["loss"] == pytest.approx([error + penalty], rel=1e-5)


def test_it_trains_in_mixed_precision():
    model = km.SumRegressor(units=(2,), dtype="mixed_bfloat16")
    model.compile("sgd", mode="eager")
    losses = model.fit(X, Y, epochs=2, verbose=0).history["loss"]
    assert np.all(np.isfinite(losses))


@pytest.mark.slow
@pytest.mark.sweep
def test_it_learns():
    x, y = km.data.sums(num_samples=512, num_features=4, seed=0)
    model = km.SumRegressor()
    model.compile(keras.optimizers.Adam(0.01), mode="fused")
    losses = model.fit(x, y, batch_size=8, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < 0.02 < 1 < losses[0]


def test_arrays_that_are_not_finite_are_refused_with_the_place():
    x, y = np.ones((20, 3), "float32"), np.ones((20, 1), "float32")
    x[17, 2] = np.nan
    model = km.SumRegressor()
    model.compile()
    with pytest.raises(ValueError, match=r"`x` must be finite. Received: x\[17, 2\]=nan. Remove"):
        model.fit(x, y, verbose=0)
    with pytest.raises(ValueError, match=r"`y` must be finite. Received: y\[17, 2\]=nan"):
        model.fit(np.ones((20, 3)), tf.constant(x), verbose=0)
    message = r"`validation_data` must be finite. Received: validation_data\[0\]\[17, 2\]=nan"
    with pytest.raises(ValueError, match=message):
        model.fit(np.ones((20, 3)), y, validation_data=(x, y), verbose=0)
    assert not model.built
