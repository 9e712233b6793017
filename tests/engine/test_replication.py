"""Tests of several replicas: with the same global batch, the numbers of one device.

Several processes are in `tests/test_workers.py`.
"""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from seeds import set_seed

import kerasmodes as km

X, Y = km.data.sums(num_samples=30, num_features=3, seed=1)
WEIGHT = np.linspace(0, 2, 30, dtype="float32")
IMAGES = np.random.default_rng(0).uniform(-1, 1, (22, 4, 4, 1)).astype("float32")
LATENTS = np.random.default_rng(1).normal(size=(7, 4)).astype("float32")
ONE_DEVICE = tf.distribute.get_strategy()
# In the tests of losses, executions of one step and eager ones are run on replicas, too.
WAYS = [
    ("graph", 4),
    pytest.param("graph", 1, marks=pytest.mark.sweep),
    pytest.param("eager", 4, marks=pytest.mark.sweep),
    pytest.param("xla", 4, marks=pytest.mark.sweep),
]


def weights_of(model):
    return np.concatenate([weight.ravel() for weight in model.get_weights()])


def train_sums(strategy, mode="graph", steps_per_execution=1):
    """Returns all numbers of a regressor: batches of 4, and one of 1 at the end of each pass."""
    set_seed(0)
    with strategy.scope():
        model = km.SumRegressor(units=())
        model.build((None, 3))
        model.compile("sgd", mode=mode, steps_per_execution=steps_per_execution, metrics=["mae"])
    data = {"x": X, "y": Y, "sample_weight": WEIGHT, "batch_size": 4}
    history = model.fit(**data, epochs=2, verbose=0, validation_split=0.3).history
    return {
        **history,
        "evaluate": model.evaluate(X[:9], Y[:9], batch_size=4, verbose=0),
        "predict": model.predict(X[:9], batch_size=4, verbose=0),
        "weights": weights_of(model),
    }


def everything():
    """Returns settings of a GAN with all that draws or counts in a step."""
    return {
        "loss": "hinge",
        "penalties": km.penalties.GradientPenalty(0.1),
        "discriminator_steps": 2,
    }


def of_the_batch_and_lazy():
    return {"loss": "relativistic_average_hinge", "penalties": [km.penalties.R1(1, every=2)]}


def adaptive():
    return km.augmentation.AdaptiveAugment(ramp_images=50)


# Preset, number of classes, augmentation, further settings, batch size, number of images. Where it
# is the paper's, batches of six: the groups of its statistics are of four.
GANS = {
    "small": (km.presets.Default(4, 4), None, lambda: None, of_the_batch_and_lazy, 6, 12),
    "classes": (km.presets.Paper(2, 2), 3, lambda: None, of_the_batch_and_lazy, 6, 12),
    "tutorial": (km.presets.Tutorial(3, 3, 0.3), None, lambda: None, dict, 4, 22),
    "default": (km.presets.Default(8, 8), 3, adaptive, everything, 4, 16),
    "paper": (km.presets.Paper(4, 4), None, lambda: None, of_the_batch_and_lazy, 6, 12),
}


def make_gan(strategy, mode, steps_per_execution, kind):
    preset, num_classes, make_augmentation, settings, *_ = GANS[kind]
    set_seed(0)
    with strategy.scope():
        gan = km.MSGGAN((4, 4, 1), 1, 4, num_classes, preset, make_augmentation(), seed=1)
        optimizers = (keras.optimizers.SGD(0.05, momentum=0.5) for _ in range(2))
        modes = {"mode": mode, "steps_per_execution": steps_per_execution}
        gan.compile(*optimizers, **settings(), **modes)
    return gan


@functools.cache
def train_gan(strategy, mode, steps_per_execution, kind):
    """Returns a GAN after an epoch, and its numbers; those of the tutorial in use, too."""
    _, num_classes, *_, batch_size, num_images = GANS[kind]
    gan, sizes = make_gan(strategy, mode, steps_per_execution, kind), {"batch_size": batch_size}
    images = (IMAGES[:num_images],)
    if num_classes is not None:
        images += (np.arange(num_images) % num_classes,)
    numbers = gan.fit(*images, **sizes, verbose=0).history | {"weights": weights_of(gan)}
    if kind == "tutorial":
        numbers["evaluate"] = gan.evaluate(*images, **sizes, verbose=0)
        predicted = gan.predict(LATENTS, **sizes, verbose=0)
        numbers["predict"] = np.concatenate([scale.ravel() for scale in predicted])
    return gan, numbers


def assert_equal_numbers(numbers, expected, tolerance):
    assert set(numbers) == set(expected)
    for name, value in numbers.items():
        np.testing.assert_allclose(value, expected[name], atol=tolerance, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "steps_per_execution"), WAYS)
def test_the_sums_of_two_replicas_are_those_of_one_device(two_replicas, mode, steps_per_execution):
    numbers = train_sums(two_replicas, mode, steps_per_execution)
    assert_equal_numbers(numbers, train_sums(ONE_DEVICE, "eager"), 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "mode", "steps_per_execution"),
    [
        ("small", "graph", 4),  # To trace any other takes twice as long.
        *(pytest.param(kind, "graph", 4, marks=pytest.mark.sweep) for kind in [*GANS][1:]),
        pytest.param("tutorial", "eager", 1, marks=pytest.mark.sweep),
        *(pytest.param(kind, "xla", 4, marks=pytest.mark.sweep) for kind in ("small", "classes")),
    ],
)
def test_the_gan_of_two_replicas_is_that_of_one_device(
    two_replicas, kind, mode, steps_per_execution
):
    _, numbers = train_gan(two_replicas, mode, steps_per_execution, kind)
    assert_equal_numbers(numbers, train_gan(ONE_DEVICE, "eager", 1, kind)[1], 1e-4)


@pytest.mark.slow
def test_replicas_stay_in_step(two_replicas):
    gan, _ = train_gan(two_replicas, "graph", 4, "small")
    for weight in [*gan.weights, *gan.generator_optimizer.variables]:
        first, second = weight.value.values
        np.testing.assert_array_equal(first, second)


class Draws(km.Model):
    """Logs the sum of what it draws for its examples, each times the example."""

    def __init__(self):
        super().__init__()
        self.seeds = km.random.SeedGenerator(3)
        self.dropout = km.random.Dropout(0.5, seed=4)
        self.total = keras.metrics.Sum(name="total")
        self.built = True

    def train_step(self, data):
        shape = tf.shape(data)
        draws = km.random.normal(shape, seed=self.seeds) + km.random.uniform(shape, seed=self.seeds)
        self.total.update_state(data * (draws + self.dropout(data, training=True)))
        return {"total": self.total.result()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "width",
    # Each example of three numbers begins in the middle of one of the generator's blocks of four.
    [3, *(pytest.param(width, marks=pytest.mark.sweep) for width in (1, 7))],
    ids="width {}".format,
)
def test_replicas_draw_for_their_examples_what_one_device_draws(two_replicas, width):
    examples = np.random.default_rng(0).normal(size=(21, width)).astype("float32")
    totals = []
    for strategy in (ONE_DEVICE, two_replicas):
        with strategy.scope():
            model = Draws()
            model.compile(mode="eager" if strategy is ONE_DEVICE else "graph")
        history = model.fit(examples, batch_size=6, epochs=2, shuffle=False, verbose=0).history
        totals.append(history["total"])
    np.testing.assert_allclose(totals[1], totals[0], rtol=1e-5)
    assert totals[0][0] != totals[0][1]


@pytest.mark.slow
@pytest.mark.parametrize("steps_per_execution", [3, pytest.param(1, marks=pytest.mark.sweep)])
def test_data_sets_and_single_batches_are_shared_out_too(two_replicas, steps_per_execution):
    numbers = []
    for strategy in (ONE_DEVICE, two_replicas):
        set_seed(0)
        with strategy.scope():
            model = km.SumRegressor(units=())
            model.build((None, 3))
            mode = "eager" if strategy is ONE_DEVICE else "graph"
            model.compile("sgd", mode=mode, steps_per_execution=steps_per_execution)
        data = tf.data.Dataset.from_tensor_slices((X[:24], Y[:24])).batch(4)
        losses = model.fit(data, epochs=2, shuffle=False, verbose=0).history["loss"]
        on_batch = [model.train_on_batch(X[:5], Y[:5]), model.test_on_batch(X[:5], Y[:5])]
        predicted = model.predict(data.map(lambda x, y: x), verbose=0)
        numbers.append([*losses, *on_batch, *predicted[:, 0], *model.predict_on_batch(X[:3])[:, 0]])
    np.testing.assert_allclose(numbers[1], numbers[0], rtol=1e-5)


def test_a_batch_size_that_the_replicas_cannot_share_is_refused_at_the_door(two_replicas):
    with two_replicas.scope():
        model = km.SumRegressor(units=())
        model.compile("sgd")
    words = "divisible by the 2 replicas, but .* Received: batch_size=5. Use 4 or 6"
    with pytest.raises(ValueError, match=words):
        model.fit(X, Y, batch_size=5, verbose=0)
    with pytest.raises(ValueError, match="Received: batch_size=1. Use 2."):
        model.fit(
            tf.data.Dataset.from_tensor_slices((X, Y)).batch(1, drop_remainder=True), shuffle=False
        )
    assert int(model.optimizer.iterations.numpy()) == 0


@pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")
def test_a_batch_in_the_middle_that_cannot_be_shared_is_refused(two_replicas):
    with two_replicas.scope():
        model = km.SumRegressor(units=())
        model.compile("sgd")
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(5)
    with pytest.raises(ValueError, match="Received: batch_size=5. Use 4 or 6"):
        model.fit(data, shuffle=False, verbose=0)


def test_logs_that_are_no_metrics_are_averaged_over_the_replicas(two_replicas):
    class Plain(km.Model):
        def __init__(self):
            super().__init__()
            self.built = True

        def train_step(self, data):
            return {"mean": tf.reduce_mean(data)}

    with two_replicas.scope():
        model = Plain()
        model.compile()
    history = model.fit(np.arange(8.0), batch_size=8, shuffle=False, verbose=0).history
    assert history["mean"] == [3.5]


def test_an_optimizer_without_variables_is_refused_under_replicas(two_replicas):
    class Own(km.SumRegressor):
        def compile(self, **kwargs):
            super().compile(**kwargs)
            self.second_optimizer = keras.optimizers.SGD()

    with two_replicas.scope():
        model = Own(units=())
        model.compile()
    with pytest.raises(ValueError, match=r"must be built before `fit` .*\['second_optimizer'\]"):
        model.fit(X, Y, batch_size=4, verbose=0)


def test_data_that_are_distributed_already_take_one_step_at_a_time(two_replicas):
    with two_replicas.scope():
        model = km.SumRegressor(units=())
        model.build((None, 3))
        model.compile("sgd", steps_per_execution=2)
    data = tf.data.Dataset.from_tensor_slices((X[:8], Y[:8])).batch(4)
    distributed = two_replicas.experimental_distribute_dataset(data)
    with pytest.raises(ValueError, match=r"must be a tf.data.Dataset .*a distributed data set"):
        model.fit(distributed, shuffle=False, verbose=0)
    model.compile("sgd")
    model.fit(distributed, shuffle=False, verbose=0)
    assert int(model.optimizer.iterations.numpy()) == 2


# `verifying/test_verification.py` has batch normalization on replicas; so has a loss of layers.
@pytest.mark.sweep
@pytest.mark.slow
def test_a_model_with_batch_normalization_of_keras_is_that_of_one_device(two_replicas):
    weights = []
    for strategy in (ONE_DEVICE, two_replicas):
        set_seed(0)
        with strategy.scope():
            normalization = keras.layers.BatchNormalization(synchronized=True)
            layers = [keras.Input((3,)), keras.layers.Dense(4), normalization]
            model = km.with_modes(keras.Sequential([*layers, keras.layers.Dense(1)]))
            model.compile("sgd", "mse", mode="eager" if strategy is ONE_DEVICE else "graph")
        model.fit(X[:24], Y[:24], batch_size=6, epochs=2, verbose=0)
        weights.append(np.concatenate([weight.ravel() for weight in model.get_weights()]))
    np.testing.assert_allclose(weights[1], weights[0], atol=1e-5)


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_a_model_made_outside_the_scope_is_refused(two_replicas, method):
    model = km.SumRegressor(units=())
    model.compile("sgd")
    data = (X,) if method == "predict" else (X, Y)
    with (
        two_replicas.scope(),
        pytest.raises(ValueError, match="must be made, and compiled, in the scope of the strategy"),
    ):
        getattr(model, method)(*data, batch_size=4, verbose=0)


OUTSIDE = r"must be made in the scope of the strategy .* Received: '{}', made outside it"


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_an_optimizer_made_outside_the_scope_is_refused(two_replicas, name):
    optimizer = getattr(keras.optimizers, name)()
    with two_replicas.scope():
        model = km.SumRegressor(units=())
        model.compile(optimizer)
    with pytest.raises(ValueError, match=OUTSIDE.format("optimizer")):
        model.fit(X, Y, batch_size=4, verbose=0)


def test_an_optimizer_made_outside_the_scope_is_not_built_in_it(two_replicas):
    optimizer = keras.optimizers.Adam()
    with two_replicas.scope():
        network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        with pytest.raises(ValueError, match=OUTSIDE.format("adam.*")):
            km.build_optimizer(optimizer, network)


@pytest.mark.parametrize("mode", ["graph", pytest.param("eager", marks=pytest.mark.sweep)])
def test_logs_may_be_variables_and_truths(two_replicas, mode):
    class Own(km.Model):
        def train_step(self, data):
            return {"rate": self.optimizer.learning_rate, "is_first": data[0, 0] < 1.5}

    with two_replicas.scope():
        model = Own()
        model.built = True
        model.compile(keras.optimizers.SGD(0.25), mode=mode)
        model.optimizer.build([])
    x = np.array([[1.0], [2.0]])
    history = model.fit(x, batch_size=2, shuffle=False, verbose=0).history
    assert history == {"rate": [0.25], "is_first": [0.5]}
