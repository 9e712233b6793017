"""Tests of programs that put a method of their own in the place of Keras's, as autologging does."""

import keras
import numpy as np
import pytest

import kerasmodes as km

X, Y = km.data.sums(num_samples=6, num_features=3)
METHODS = ("fit", "evaluate", "predict")


class Numbers(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.losses = []

    def on_epoch_end(self, epoch, logs=None):
        self.losses.append(logs["loss"])


class Autolog:
    """A program that logs each call of Keras's methods, and the losses of a `fit`."""

    def __init__(self, monkeypatch):
        self.called, self.numbers = [], Numbers()
        for name in METHODS:
            monkeypatch.setattr(keras.Model, name, self.wrap(name, getattr(keras.Model, name)))

    def wrap(self, name, original):
        def log(model, *args, **kwargs):
            if name == "fit":
                kwargs["callbacks"] = [*(kwargs.get("callbacks") or []), self.numbers]
            self.called.append(name)
            return original(model, *args, **kwargs)

        return log


class Own(km.Model):
    """A class with a `fit` of its own, which calls that of the modes."""

    num_fits = 0

    def fit(self, *args, **kwargs):
        self.num_fits += 1
        return super().fit(*args, **kwargs)


def make_model(cls, **mode):
    inputs = keras.Input((3,))
    model = cls(inputs, keras.layers.Dense(1, kernel_initializer="ones")(inputs))
    model.compile("sgd", "mean_squared_error", **mode)
    return model


def make_extended(*args):
    return km.with_modes(keras.Model(*args))


@pytest.mark.slow
@pytest.mark.parametrize("cls", [km.Model, make_extended, Own], ids=["own", "extended", "fit"])
def test_a_program_that_replaces_methods_of_keras_sees_each_call(monkeypatch, cls):
    expected = make_model(cls, mode="eager").fit(X, Y, batch_size=2, verbose=0).history
    log, model = Autolog(monkeypatch), make_model(cls, mode="eager")
    history = model.fit(X, Y, batch_size=2, verbose=0, validation_data=(X, Y))
    assert log.called == ["fit", "evaluate"]  # The second one of the validation.
    assert log.numbers.losses == history.history["loss"] == expected["loss"]
    assert history.params["mode"] == "eager"  # It ran in the modes' own `fit`.
    assert getattr(model, "num_fits", 1) == 1
    loss = model.evaluate(X, Y, verbose=0)
    np.testing.assert_allclose(loss, history.history["val_loss"][0], rtol=1e-6)
    assert model.predict(X, verbose=0).shape == (6, 1)
    assert log.called == ["fit", "evaluate", "evaluate", "predict"]


@pytest.mark.slow
def test_two_programs_at_once_and_models_of_keras(monkeypatch):
    logs = [Autolog(monkeypatch), Autolog(monkeypatch)]
    make_model(km.Model, mode="eager").fit(X, Y, verbose=0)
    stock = make_model(keras.Model)
    stock.fit(X, Y, verbose=0)
    assert [log.called for log in logs] == [["fit", "fit"]] * 2
    assert "mode" not in stock.history.params  # Its `fit` is Keras's.


def test_a_program_that_has_taken_its_methods_back(monkeypatch):
    with monkeypatch.context() as context:
        log = Autolog(context)
        make_model(km.Model, mode="eager").fit(X, Y, verbose=0)
    make_model(km.Model, mode="eager").fit(X, Y, verbose=0)
    assert log.called == ["fit"]


def test_an_error_of_the_modes_comes_through(monkeypatch):
    Autolog(monkeypatch)
    with pytest.raises(ValueError, match="`epochs` must be"):
        make_model(km.Model, mode="eager").fit(X, Y, epochs=-1, verbose=0)


@pytest.mark.slow
def test_such_a_program_can_add_a_callback_to_those_of_msggan(monkeypatch):
    given = {}
    monkeypatch.setattr(keras.Model, "fit", lambda self, **arguments: given.update(arguments))
    gan = km.MSGGAN(image_shape=(8, 8, 1), num_scales=1)
    gan.compile()
    gan.fit(np.zeros((4, 8, 8, 1), "float32"), None, 2, 3)
    assert given["x"].shape == (4, 8, 8, 1)
    assert given["callbacks"].pop()  # By name: a program adds its own to what it finds there.
    assert (given["batch_size"], given["epochs"]) == (2, 3)
