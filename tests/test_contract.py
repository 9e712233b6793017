"""What every model keeps in every mode: the same numbers, before and after saving."""

import functools
import pathlib
import tempfile
from typing import NamedTuple

import keras
import numpy as np
import pytest
from seeds import set_seed

import kerasmodes as km
from kerasmodes.models.msg_gan import losses

MODES = ("eager", "graph", "xla", "fused")
# Two executions of two steps each when fused, so that a loop and its end are both seen.
STEPS = {"eager": 1, "graph": 1, "xla": 1, "fused": 2}
MIDDLE = "epoch_0000_step_000002"
SUMS = km.data.sums(num_samples=16, num_features=3, seed=1)
IMAGES = np.random.default_rng(0).uniform(-1, 1, (16, 8, 8, 1)).astype("float32")


SWEEP = pytest.mark.sweep
GAN_OPTIMIZERS = ("generator_optimizer", "discriminator_optimizer")


class StepLogs(keras.callbacks.Callback):
    """Keeps the logs, which are running means, by the last step that they hold."""

    def __init__(self):
        super().__init__()
        self.logs = {}

    def on_train_batch_end(self, batch, logs=None):
        self.logs[batch] = {name: float(value) for name, value in logs.items()}


def make_regressor():
    return km.SumRegressor(units=(4,))


def make_gan():
    return km.MSGGAN((8, 8, 1), 1, 4, preset=km.presets.Tutorial(3, 3, 0.3), seed=1)


def make_paper_gan():
    return km.MSGGAN((8, 8, 1), 2, 4, preset=km.presets.Paper(4, 4, "lin_cat"), seed=1)


def make_class_gan():
    return km.MSGGAN(
        (8, 8, 1),
        1,
        4,
        num_classes=3,
        preset=km.presets.Default(8, 8),
        augmentation=km.augmentation.AdaptiveAugment(ramp_images=50),
        seed=1,
    )


def everything():
    """Returns settings with what draws or counts in the losses of the GAN.

    Adam without momentum would divide a gradient that is all rounding by its own size.
    """
    return {
        **momentum(),
        "loss": "hinge",
        "penalties": km.penalties.R1(0.1, every=2),
    }


def more_steps():
    return {**momentum(), "discriminator_steps": 2}


def momentum():
    """Returns optimizers with a state of each weight, and a few operations for it."""
    return {name: keras.optimizers.SGD(0.01, momentum=0.9) for name in GAN_OPTIMIZERS}


def fit_regressor(model, **arguments):
    x, y = SUMS
    return model.fit(x, y, batch_size=4, shuffle=False, verbose=0, **arguments).history


def fit_gan(model, images=IMAGES, **arguments):
    return model.fit(images, batch_size=4, shuffle=False, verbose=0, **arguments).history


def fit_class_gan(model, **arguments):
    return fit_gan(model, y=np.arange(16) % 3, **arguments)


# How each model is made, fitted and compiled.
CASES = {
    "SumRegressor": (make_regressor, fit_regressor, dict),
    "MSGGAN": (make_gan, fit_gan, more_steps),
    "paper": (make_paper_gan, fit_gan, momentum),
    "classes": (make_class_gan, fit_class_gan, everything),
}


def make_compiled(name, mode, seed=0):
    make_model, _, settings = CASES[name]
    set_seed(seed)
    model = make_model()
    model.compile(mode=mode, steps_per_execution=STEPS[mode], **settings())
    if name == "SumRegressor":  # A step that builds it is traced twice.
        model.build((None, 3))
        model.optimizer.build(model.trainable_variables)
    return model


def list_optimizers(name):
    return ("optimizer",) if name == "SumRegressor" else GAN_OPTIMIZERS


def copy_variables(name, model):
    """Returns the values of all variables of a model and its optimizers."""
    optimizers = [getattr(model, attribute) for attribute in list_optimizers(name)]
    variables = [*model.variables, *(v for one in optimizers for v in one.variables)]
    return [variable.numpy() for variable in variables]


class Trained(NamedTuple):
    """A model after a fit; the logs of its steps; its history and values then; a checkpoint."""

    model: keras.Model
    logs: dict[int, dict]
    history: dict[str, list]
    values: list[np.ndarray]
    checkpoint: dict[str, bytes]


@functools.cache
def trained(name, mode):
    """Returns a model after four steps, and more; once, since XLA is slow to start."""
    model, step_logs = make_compiled(name, mode), StepLogs()
    with tempfile.TemporaryDirectory() as folder:
        callbacks = [step_logs, km.callbacks.Resume(folder, every=2, keep=3)]
        history = CASES[name][1](model, callbacks=callbacks)
        files = {path.name: path.read_bytes() for path in pathlib.Path(folder, MIDDLE).iterdir()}
    return Trained(model, step_logs.logs, history, copy_variables(name, model), files)


def check_logs(logs, expected, mode, tolerance):
    assert list(expected) == [0, 1, 2, 3]
    assert list(logs) == ([1, 3] if mode == "fused" else [0, 1, 2, 3])
    for step, values in logs.items():
        assert values == pytest.approx(expected[step], rel=tolerance), step


# SumRegressor and MSGGAN; `engine/test_replication.py` has classes in eager and in graph mode.
WAYS = [
    ("SumRegressor", "fused"),  # The other modes are in `engine/test_exactness.py`.
    *(pytest.param("SumRegressor", mode, marks=pytest.mark.sweep) for mode in ("eager", "xla")),
    pytest.param("MSGGAN", "fused", marks=pytest.mark.slow),
    *(pytest.param("MSGGAN", mode, marks=pytest.mark.sweep) for mode in ("eager", "xla")),
    *(pytest.param("paper", mode, marks=pytest.mark.sweep) for mode in ("eager", "xla", "fused")),
    *(pytest.param("classes", mode, marks=pytest.mark.sweep) for mode in ("eager", "xla", "fused")),
]


@pytest.mark.parametrize(("name", "mode"), WAYS)
def test_the_losses_of_every_step_agree_with_graph_mode(name, mode):
    tolerance = 1e-5 if name == "SumRegressor" else 1e-3
    check_logs(trained(name, mode).logs, trained(name, "graph").logs, mode, tolerance)


@functools.cache
def logs_with(loss, mode):
    """Returns the logs of two executions of a small GAN with that loss."""
    set_seed(0)
    gan = km.MSGGAN((4, 4, 1), 1, 2, preset=km.presets.Tutorial(3, 3), seed=1)
    gan.compile(**momentum(), loss=loss, mode=mode, steps_per_execution=STEPS[mode])
    step_logs = StepLogs()
    fit_gan(gan, images=IMAGES[:, :4, :4], callbacks=[step_logs])
    return step_logs.logs


# The models above have non_saturating, hinge and that of the paper; the test of replicas has one
# whose slopes are those of the batch as a whole.
@pytest.mark.sweep
@pytest.mark.parametrize("loss", sorted(losses.LOSSES.keys() - {"non_saturating", "hinge"}))
@pytest.mark.parametrize("mode", ["eager", "xla"])
def test_every_adversarial_loss_agrees_with_graph_mode(loss, mode):
    check_logs(logs_with(loss, mode), logs_with(loss, "graph"), mode, 1e-3)


# What is saved does not depend on the mode, so that each model has one here.
SAVED_MODES = {"SumRegressor": "fused", "MSGGAN": "graph", "paper": "graph", "classes": "eager"}
SAVED = [
    ("SumRegressor", "fused"),
    *(
        pytest.param("SumRegressor", mode, marks=pytest.mark.sweep)
        for mode in ("eager", "graph", "xla")
    ),
    pytest.param("classes", SAVED_MODES["classes"], marks=pytest.mark.slow),
    *(
        pytest.param(name, SAVED_MODES[name], marks=pytest.mark.sweep)
        for name in ("MSGGAN", "paper")
    ),
]


@pytest.mark.parametrize(("name", "mode"), SAVED)
def test_a_loaded_model_goes_on_as_if_never_stopped(tmp_path, name, mode):
    fit, model = CASES[name][1], trained(name, mode).model
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.mode == mode
    for attribute in list_optimizers(name):
        expected, optimizer = getattr(model, attribute), getattr(loaded, attribute)
        assert int(optimizer.iterations.numpy()) == int(expected.iterations.numpy()) > 0
        assert len(optimizer.variables) == len(expected.variables) > 2
        for one, other in zip(optimizer.variables, expected.variables, strict=True):
            np.testing.assert_array_equal(one, other)
    history, expected = (fit(one, steps_per_epoch=2) for one in (loaded, model))
    assert history == {key: pytest.approx(values, rel=1e-5) for key, values in expected.items()}


# Of the preset "paper", all that trains is a sweep here; `test_gradients.py` trains it. Of the two
# other GANs, the one that holds more resumes by default.
RESUMED_MODES = {"SumRegressor": "fused", "classes": "eager"}
RESUMED = [
    pytest.param(
        name, mode, marks=pytest.mark.slow if mode == RESUMED_MODES.get(name) else pytest.mark.sweep
    )
    for name in CASES
    for mode in MODES
]


@pytest.mark.parametrize(("name", "mode"), RESUMED)
def test_a_fit_killed_in_an_epoch_ends_in_a_new_model_as_if_never_stopped(tmp_path, name, mode):
    expected = trained(name, mode)
    (tmp_path / MIDDLE).mkdir()  # What the fit would have left, had it been killed then.
    for file, content in expected.checkpoint.items():
        (tmp_path / MIDDLE / file).write_bytes(content)
    model = make_compiled(name, mode, seed=1)  # Nothing but the checkpoint makes them equal.
    history = CASES[name][1](model, callbacks=[km.callbacks.Resume(tmp_path, every=2)])
    for one, other in zip(copy_variables(name, model), expected.values, strict=True):
        np.testing.assert_array_equal(one, other)
    assert history == expected.history


@pytest.mark.parametrize("name", ["SumRegressor", pytest.param("MSGGAN", marks=pytest.mark.sweep)])
def test_a_loaded_model_validates_as_if_never_stopped(tmp_path, name):
    fit, model = CASES[name][1], trained(name, SAVED_MODES[name]).model
    validation = {"validation_data": SUMS if name == "SumRegressor" else (IMAGES[:4],)}
    fit(model, **validation)
    model.save(tmp_path / "model.keras")
    expected = fit(model, **validation)
    history = fit(keras.models.load_model(tmp_path / "model.keras"), **validation)
    assert history == {key: pytest.approx(values, rel=1e-5) for key, values in expected.items()}


@pytest.mark.parametrize(
    "name",
    # The others are made from their configs when they are loaded.
    ["SumRegressor", "paper", *(pytest.param(n, marks=SWEEP) for n in ("MSGGAN", "classes"))],
)
def test_a_config_makes_the_same_model(name):
    model = CASES[name][0]()
    again = type(model).from_config(model.get_config())
    assert again.get_config() == model.get_config()
    for one in (model, again):
        one.build((None, 3))
    shapes = [[weight.shape for weight in one.weights] for one in (model, again)]
    assert shapes[0] == shapes[1]


TRAINED = [
    ("SumRegressor", "graph"),
    *(pytest.param(name, "graph", marks=pytest.mark.sweep) for name in ("MSGGAN", "paper")),
    ("classes", "eager"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "mode"), TRAINED)
def test_weights_of_a_trained_model_fit_a_new_one(tmp_path, name, mode):
    model = trained(name, mode).model
    model.save_weights(tmp_path / "model.weights.h5")
    again = CASES[name][0]()
    again.build((None, 3))
    again.load_weights(tmp_path / "model.weights.h5")
    for one, other in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "name",
    ["SumRegressor", "MSGGAN", *(pytest.param(n, marks=pytest.mark.sweep) for n in [*CASES][2:])],
)
def test_two_replicas_name_the_modes_that_work(two_replicas, name):
    with two_replicas.scope():
        model = CASES[name][0]()
    words = "must be one of 'eager', 'graph', 'xla' under.*Received: mode='fused'"
    with pytest.raises(ValueError, match=words):
        model.compile(mode="fused")


@pytest.mark.parametrize(
    "mode",
    ["eager", "fused", *(pytest.param(m, marks=pytest.mark.sweep) for m in ("graph", "xla"))],
)
def test_sample_weights_count_in_every_mode(mode):
    x, y = SUMS
    model = make_regressor()
    model.compile(keras.optimizers.SGD(0.0), mode=mode)
    weight = np.arange(16, dtype="float32")
    expected = np.mean(weight * (model.predict(x, verbose=0) - y)[:, 0] ** 2)
    history = fit_regressor(model, sample_weight=weight, validation_data=(x, y, weight))
    assert history["loss"] == pytest.approx([expected], rel=1e-5)
    assert history["val_loss"] == pytest.approx([expected], rel=1e-5)


def test_one_epoch_reaches_the_tutorials_loss():
    x, y = km.data.sums(seed=0)
    model = km.SumRegressor()
    model.compile(mode="fused")
    model.build((None, 20))
    model.optimizer.build(model.trainable_variables)  # A step that builds it is traced twice.
    test_data = km.data.sums(num_samples=100, seed=1)
    history = model.fit(x, y, batch_size=1, validation_data=test_data, verbose=0).history
    assert history["val_loss"][0] <= 0.0481
