"""Tests of `trial_run`: everything is run once, and nothing has changed."""

import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from seeds import set_seed

import kerasmodes as km

# "auto" is seen in what callbacks hear.
MODES = [
    "fused",
    *(pytest.param(m, marks=pytest.mark.sweep) for m in ("eager", "graph", "xla", "auto")),
]
X, Y = km.data.sums(num_samples=24, num_features=3, seed=1)
IMAGES = np.random.default_rng(0).uniform(-1, 1, (16, 8, 8, 1)).astype("float32")
ARRAYS = {"x": X, "y": Y, "validation_data": (X, Y), "batch_size": 4}


class Noisy(km.SumRegressor):
    """Draws from every door of Keras and of this package."""

    def __init__(self, **kwargs):
        super().__init__((), **kwargs)
        self.own = km.random.SeedGenerator(3)
        self.keras_own = keras.random.SeedGenerator(3)

    def train_step(self, data):
        x, y = data[:2]
        noise = km.random.normal(tf.shape(x), seed=self.own)
        noise += keras.random.normal(tf.shape(x), seed=self.keras_own)
        noise += keras.random.normal(tf.shape(x))
        return super().train_step((x + 0.1 * noise, y))


def make_regressor(mode="graph", cls=Noisy, **arguments):
    set_seed(0)
    model = cls()
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), mode=mode, **arguments)
    model.build((None, 3))
    model.optimizer.build(model.trainable_variables)  # A step that builds it is traced twice.
    return model


def make_gan(mode="graph"):
    set_seed(0)
    preset = km.presets.Default(4, 4)
    gan = km.MSGGAN((8, 8, 1), 1, 4, preset=preset, augmentation="adaptive", seed=1)
    slots = [keras.optimizers.SGD(0.01, momentum=0.9) for _ in range(2)]
    gan.compile(*slots, mode=mode)
    return gan


def batches():
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)


def finish(model, **arguments):
    """Returns the history of a fit, the weights, and the next numbers of Python and NumPy."""
    history = model.fit(**arguments, epochs=2, verbose=0, shuffle=False).history
    return history, model.get_weights(), random.random(), np.random.rand()


def assert_equal(found, expected):
    assert found[0] == expected[0]
    for one, other in zip(found[1], expected[1], strict=True):
        np.testing.assert_array_equal(one, other)
    assert found[2:] == expected[2:]


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_a_fit_after_a_trial_is_as_without_it(mode):
    expected = finish(make_regressor(mode), **ARRAYS)
    model = make_regressor(mode)
    logs = km.trial_run(model, **ARRAYS, epochs=9)
    assert set(logs) == {"loss", "val_loss"}
    assert model.mode == mode
    assert_equal(finish(model, **ARRAYS), expected)


@pytest.mark.sweep
@pytest.mark.parametrize("mode", ["graph", pytest.param("fused", marks=pytest.mark.sweep)])
def test_a_trained_model_is_as_before(mode):
    results = []
    for has_trial in (False, True):
        model, data = make_regressor(mode), batches()
        arguments = {"x": data, "validation_data": data}
        model.fit(**arguments, verbose=0, shuffle=False)
        if has_trial:
            history = model.history
            km.trial_run(model, **arguments)
            assert model.history is history
        results.append(finish(model, **arguments))
    assert_equal(*results)


@pytest.mark.sweep
@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_a_gan_is_as_before(mode):
    arguments = {"x": IMAGES, "batch_size": 8}
    expected = finish(make_gan(mode), **arguments)
    gan = make_gan(mode)
    km.trial_run(gan, **arguments)
    assert_equal(finish(gan, **arguments), expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(
            lambda: km.Model(*(lambda i: (i, keras.layers.Dense(1)(i)))(keras.Input((3,)))),
            marks=pytest.mark.sweep,
        ),
        lambda: km.with_modes(keras.Sequential([keras.layers.Dropout(0.5), keras.layers.Dense(1)])),
    ],
)
def test_models_of_keras_are_as_before(make):
    results = []
    for has_trial in (False, True):
        set_seed(0)
        model = make()
        model.compile("sgd", "mse", mode="eager")
        if has_trial:
            km.trial_run(model, **ARRAYS)
        results.append(finish(model, **ARRAYS))
    assert_equal(*results)


class Count(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.calls = []

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append("train")

    def on_test_batch_end(self, batch, logs=None):
        self.calls.append("test")

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append("epoch")


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode", ["auto", *(pytest.param(m, marks=pytest.mark.sweep) for m in ("graph", "fused"))]
)
def test_each_callback_is_called_once(mode):
    count = Count()
    km.trial_run(make_regressor(mode), **ARRAYS, callbacks=[count])
    assert count.calls == ["train", "test", "epoch"]


@pytest.mark.slow
def test_files_are_written_elsewhere(tmp_path):
    writers = [
        km.callbacks.Resume(tmp_path / "progress"),
        km.callbacks.LossCurves(tmp_path / "losses.png"),
        keras.callbacks.CSVLogger(tmp_path / "history.csv"),
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", save_best_only=True),
        keras.callbacks.TensorBoard(tmp_path / "events"),
    ]
    before = [dict(vars(one)) for one in writers]
    model = make_regressor("eager", km.SumRegressor, metrics=["mae"])
    logs = km.trial_run(model, **ARRAYS, callbacks=writers)
    assert set(logs) == {"loss", "mae", "val_loss", "val_mae"}
    assert not list(tmp_path.iterdir())
    assert [dict(vars(one)) for one in writers] == before
    grid = km.callbacks.SampleGrid(tmp_path / "samples")
    gan = km.MSGGAN((8, 8, 1), 1, 2, preset=km.presets.Default(2, 2, half_life=None))
    gan.compile("sgd", "sgd", mode="eager")
    km.trial_run(gan, IMAGES, batch_size=8, callbacks=[grid])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_callback_that_would_fail_fails_and_leaves_the_model_as_it_was():
    model = make_regressor("eager")
    weights = model.get_weights()
    stopping = keras.callbacks.EarlyStopping("val_f2_score")

    class Failing(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise OSError("a full disk")

    with pytest.raises(OSError, match="a full disk"):
        km.trial_run(model, **ARRAYS, callbacks=[Failing()])
    with pytest.raises(ValueError, match="automatically determine|must be 'min' or 'max'"):
        km.trial_run(model, **ARRAYS, callbacks=[stopping])
    for one, other in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert int(model.optimizer.iterations.numpy()) == 0


@pytest.mark.slow
def test_a_broken_validation_set_fails():
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)
    broken = data.map(lambda x, y: (tf.debugging.check_numerics(x / 0.0, "corrupt"), y))
    with pytest.raises(tf.errors.InvalidArgumentError, match="corrupt"):
        km.trial_run(make_regressor("eager"), data, validation_data=broken)


class Unbuilt(km.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)

    def train_step(self, x):
        return {"loss": tf.reduce_mean(self.dense(x))}


def test_what_cannot_be_put_back_is_refused():
    model = make_regressor()
    with pytest.raises(ValueError, match="data that can be read again. Received: a generator"):
        km.trial_run(model, (batch for batch in [(X, Y)]))
    with pytest.raises(TypeError, match="`model` must have modes"):
        km.trial_run(keras.Sequential([keras.layers.Dense(1)]), X, Y)
    with pytest.raises(ValueError, match=r"You must call `compile\(\)` before .*km.trial_run"):
        km.trial_run(km.SumRegressor(), X, Y)
    unbuilt = Unbuilt()
    unbuilt.compile()
    with pytest.raises(ValueError, match="`model` must be built.*Received: Unbuilt with layers"):
        km.trial_run(unbuilt, X)
