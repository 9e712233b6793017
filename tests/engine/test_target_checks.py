"""Tests of targets and weights that Keras would broadcast: each is refused in words."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km

X, Y = km.data.sums(num_samples=12, num_features=3, seed=1)
THREE = np.repeat(Y, 3, axis=1)
DENSE = keras.layers.Dense


def make_functional(loss="mse", units=1, steps=()):
    inputs = keras.Input((*steps, 3))
    model = km.Model(inputs, DENSE(units)(inputs))
    model.compile("sgd", loss, mode="eager")  # What is checked before a step is so in any mode.
    return model


class SquaredDifference(keras.losses.Loss):
    """A loss of the user's own, which would broadcast a row against a column."""

    def call(self, y_true, y_pred):
        return tf.reduce_mean(tf.square(y_true - y_pred), axis=-1)


class KnowingLoss(keras.losses.Loss):
    """A loss of the user's own, which makes a row of a column."""

    def call(self, y_true, y_pred):
        return tf.square(y_true - y_pred[:, 0])


@pytest.mark.parametrize(
    "loss",
    [
        pytest.param("mse", marks=pytest.mark.sweep),
        SquaredDifference(),
        pytest.param(lambda y, p: tf.square(y - p), marks=pytest.mark.sweep),
    ],
)
def test_a_row_of_targets_is_a_column(loss):
    losses = []
    for y in (Y, Y[:, 0], Y[:, :, None]):
        keras.utils.set_random_seed(0)
        model = km.SumRegressor(())
        model.compile("sgd", mode="eager", loss=loss)
        losses.append(model.fit(X, y, verbose=0).history["loss"])
    assert losses[0] == losses[1] == losses[2]


@pytest.mark.parametrize(
    ("loss", "units", "y", "weights", "message"),
    [
        ("mse", 1, THREE, None, r"output, \[batch, 1\]. Received: y with shape=\[batch, 3\]"),
        (keras.losses.MeanAbsoluteError(), 3, Y, None, r"output, \[batch, 3\]. Received: y with"),
        (keras.losses.huber, 1, THREE, None, "`y` must have the shape"),
        ("mse", 1, None, None, "`y` must be given: the model was compiled with a loss."),
        (SquaredDifference(), 1, Y[:, 0], None, "SquaredDifference compares each target with"),
        ("mse", 3, THREE, THREE, "`sample_weight` must be one number an example"),
    ],
)
def test_a_model_with_keras_s_losses_refuses_to_broadcast(loss, units, y, weights, message):
    model = make_functional(loss, units)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y, sample_weight=weights, verbose=0)
    with pytest.raises(ValueError, match=message):
        model.evaluate(X, y, sample_weight=weights, verbose=0)


@pytest.mark.parametrize(
    ("loss", "units", "y", "weights"),
    [
        ("mse", 1, Y[:, 0], np.ones(12)),
        ("mse", 1, Y, np.ones((12, 1))),
        ("sparse_categorical_crossentropy", 3, np.arange(12) % 3, None),
        ("sparse_categorical_crossentropy", 3, np.arange(12)[:, None] % 3, None),
        (lambda y, p: tf.reduce_mean(p, axis=-1), 3, Y, None),
        (SquaredDifference(), 3, Y, None),
        (SquaredDifference(), 1, Y, None),
        (KnowingLoss(), 1, Y[:, 0], None),
        (lambda y, p: tf.square(y - p), 1, Y[:, 0], None),
    ],
)
def test_what_keras_takes_is_taken(loss, units, y, weights):
    make_functional(loss, units).fit(X, y, sample_weight=weights, verbose=0)


def test_time_steps_may_have_weights():
    steps = np.repeat(X[:, None], 2, axis=1)
    model = make_functional(steps=(2,))
    model.fit(steps, steps[..., :1], sample_weight=np.ones((12, 2)), verbose=0)
    with pytest.raises(ValueError, match=r"\[batch\], or one a time step. Received: sample_weig"):
        model.fit(steps, steps[..., :1], sample_weight=np.ones((12, 3)), verbose=0)


def test_several_outputs_are_checked_one_by_one():
    inputs = keras.Input((3,))
    model = km.Model(inputs, [DENSE(1)(inputs), DENSE(3)(inputs)])
    model.compile("sgd", ["mse", "mse"], mode="eager")
    model.fit(X, [Y, THREE], verbose=0)
    with pytest.raises(
        ValueError, match=r"output, \[batch, 3\]. Received: y\[1\] with .*\[batch, 1\]"
    ):
        model.fit(X, [Y, Y], verbose=0)


@pytest.mark.parametrize("form", [dict, list])
def test_outputs_are_checked_by_name(form):
    inputs = keras.Input((3,))
    outputs = [DENSE(3, name="b")(inputs), DENSE(1, name="a")(inputs)]
    model = km.Model(inputs, outputs if form is list else dict(zip("ba", outputs, strict=True)))
    model.compile("sgd", {"b": "mse", "a": "mse"}, mode="eager")
    model.fit(X, {"b": THREE, "a": Y}, verbose=0)
    with pytest.raises(
        ValueError, match=r"`y\['b'\]` must have .* \[batch, 3\]. Received: y\['b'\] w"
    ):
        model.fit(X, {"b": Y, "a": Y}, verbose=0)
    for y, names in (({"b": THREE, "c": Y}, "b', 'c"), ({"b": THREE}, "b"), ({}, "")):
        words = r"`y` must have the names of the model's outputs, \['a', 'b'\]. Received: y with "
        with pytest.raises(ValueError, match=words + rf"names \['?{names}'?\]"):
            model.fit(X, y, verbose=0)


def test_an_output_without_a_loss_needs_no_targets():
    inputs = keras.Input((3,))
    model = km.Model(inputs, {"b": DENSE(3)(inputs), "a": DENSE(1)(inputs)})
    model.compile("sgd", {"b": None, "a": "mse"}, mode="eager")
    alone = model.evaluate(X, {"a": Y}, verbose=0)
    assert alone == model.evaluate(X, {"a": Y, "b": THREE}, verbose=0)


@pytest.mark.parametrize("mode", ["eager", pytest.param("fused", marks=pytest.mark.sweep)])
def test_weights_have_the_names_of_a_list_of_outputs_too(mode):
    inputs = keras.Input((3,))
    model = km.Model(inputs, [DENSE(3, name="b")(inputs), DENSE(1, name="a")(inputs)])
    model.compile("sgd", {"b": "mse", "a": "mse"}, mode=mode)
    y, weights = {"b": THREE, "a": Y}, {"b": np.arange(12.0), "a": np.ones(12)}
    listed = model.evaluate(X, [THREE, Y], sample_weight=[*weights.values()], verbose=0)
    named = model.evaluate(X, y, sample_weight=weights, verbose=0)
    assert named == listed != model.evaluate(X, y, verbose=0)


def test_there_are_as_many_targets_as_outputs():
    inputs = keras.Input((3,))
    model = km.Model(inputs, [DENSE(1, name="b")(inputs), DENSE(1, name="a")(inputs)])
    model.compile("sgd", "mse", mode="eager")
    with pytest.raises(
        ValueError, match=r"`y` must hold an array for .* 2 outputs, \['b', 'a'\]. .*: 1$"
    ):
        model.fit(X, Y, verbose=0)
    model.compile("sgd", ["mse", None], mode="eager")
    assert np.isfinite(model.evaluate(X, Y, verbose=0))
    nested = km.Model(inputs, {"c": model.outputs, "d": DENSE(1)(inputs)})
    nested.compile("sgd", "mse", mode="eager")
    assert np.isfinite(nested.evaluate(X, {"c": [Y, Y], "d": Y}, verbose=0)).all()


def test_targets_of_the_only_output_have_no_name():
    words = r"`y` must be an array: the model has one output. Received: y with names \['dense"
    with pytest.raises(ValueError, match=words):
        make_functional().fit(X, {"dense": Y}, verbose=0)


def test_a_step_of_the_user_s_own_knows_its_targets():
    class Own(km.Model):
        def __init__(self):
            super().__init__()
            self.dense = DENSE(1)

        def call(self, x):
            return self.dense(x)

        def train_step(self, data):
            return {"loss": self.compute_loss(data, data[:, :1], self(data))}

    model = Own()
    model.compile("sgd", "mse", mode="eager")
    model.fit(X, verbose=0)


class Unknown(km.Model):
    """Its outputs are known only when a step runs."""

    def __init__(self):
        super().__init__()
        self.last = DENSE(1)

    def call(self, inputs):
        return self.last(inputs)


@pytest.mark.parametrize("mode", ["eager", pytest.param("graph", marks=pytest.mark.sweep), "fused"])
def test_outputs_that_are_known_late_are_compared_before_a_weight_changes(mode):
    model = Unknown()
    model(X)
    model.compile("sgd", "mse", mode=mode)
    before = model.get_weights()
    message = r"`y` must have the shape of the model's output, \[batch, 1\]. Received: y with shape"
    with pytest.raises(ValueError, match=message):
        model.fit(X, THREE, verbose=0)
    with pytest.raises(ValueError, match=message):
        model.evaluate(X, THREE, verbose=0)
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    model.fit(X, Y[:, 0], verbose=0)


@pytest.mark.parametrize("name", ["train_step", "compute_loss"])
def test_a_step_that_a_model_was_given_knows_its_targets(name):
    model = make_functional()

    def train_step(data):
        x, y = data
        return {"loss": tf.reduce_mean(tf.square(model(x) - y[:, 1:2]))}

    def compute_loss(x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return tf.reduce_mean(tf.square(y_pred - y[:, 1:2]))

    setattr(model, name, {"train_step": train_step, "compute_loss": compute_loss}[name])
    assert model.fit(X, THREE, shuffle=False, verbose=0).history["loss"][0] >= 0
