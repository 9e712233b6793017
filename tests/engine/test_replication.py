"""Tests of several replicas: with the same global batch, the numbers of one device.

Several processes are in `tests/test_workers.py`.
"""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km

X, Y = km.data.sums(num_samples=27, num_features=3, seed=1)
WEIGHT = np.linspace(0, 2, 27, dtype="float32")
IMAGES = np.random.default_rng(0).uniform(-1, 1, (22, 8, 8, 1)).astype("float32")
LATENTS = np.random.default_rng(1).normal(size=(7, 4)).astype("float32")
ONE_DEVICE = tf.distribute.get_strategy()
WAYS = [("graph", 1), ("graph", 4), ("eager", 4)]


def weights_of(model):
    return np.concatenate([weight.ravel() for weight in model.get_weights()])


def train_sums(strategy, mode="graph", steps_per_execution=1):
    """Returns all numbers of a regressor: batches of 4, and an odd one at the end of each pass."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = km.SumRegressor(units=(4,))
        model.compile("sgd", mode=mode, steps_per_execution=steps_per_execution, metrics=["mae"])
    data = {"x": X, "y": Y, "sample_weight": WEIGHT, "batch_size": 4}
    history = model.fit(**data, epochs=2, verbose=0, validation_split=0.2).history
    return {
        **history,
        "evaluate": model.evaluate(X, Y, batch_size=4, verbose=0),
        "predict": model.predict(X, batch_size=4, verbose=0),
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


# Preset, number of scales, of classes, further settings, batch size.
GANS = {
    "tutorial": (km.presets.Tutorial(3, 3, 0.3), 1, None, dict, 4),
    "default": (km.presets.Default(8, 8), 1, 3, everything, 4),
    # Batches of six: the groups of the paper's statistics are of four.
    "paper": (km.presets.Paper(4, 4), 1, None, of_the_batch_and_lazy, 6),
}


def fit_gan(strategy, mode, steps_per_execution, kind, num_images=22, **fit):
    """Returns MSGGAN after a fit, and the history."""
    preset, num_scales, num_classes, settings, batch_size = GANS[kind]
    keras.utils.set_random_seed(0)
    with strategy.scope():
        augmentation = km.augmentation.AdaptiveAugment(ramp_images=50) if num_classes else None
        model = km.MSGGAN((8, 8, 1), num_scales, 4, num_classes, preset, augmentation, seed=1)
        optimizers = (keras.optimizers.SGD(0.05, momentum=0.5) for _ in range(2))
        modes = {"mode": mode, "steps_per_execution": steps_per_execution}
        model.compile(*optimizers, **settings(), **modes)
    labels = None if num_classes is None else np.arange(num_images) % num_classes
    data = (IMAGES[:num_images],) if labels is None else (IMAGES[:num_images], labels)
    return model, model.fit(*data, batch_size=batch_size, verbose=0, **fit).history


@functools.cache
def train_gan(strategy, mode, steps_per_execution=1):
    """Returns the tutorial's GAN after two epochs, and all its numbers."""
    validation = {"validation_data": (IMAGES,), "validation_batch_size": 4}
    model, history = fit_gan(
        strategy, mode, steps_per_execution, "tutorial", epochs=2, **validation
    )
    return model, {
        **history,
        "evaluate": model.evaluate(IMAGES, batch_size=4, verbose=0),
        "predict": np.concatenate([s.ravel() for s in model.predict(LATENTS, 4, verbose=0)]),
        "weights": weights_of(model),
    }


@functools.cache
def sums_on_one_device():
    return train_sums(ONE_DEVICE, "eager")


def assert_equal_numbers(numbers, expected, tolerance):
    assert set(numbers) == set(expected)
    for name, value in numbers.items():
        np.testing.assert_allclose(value, expected[name], atol=tolerance, err_msg=name)


@pytest.mark.parametrize(("mode", "steps_per_execution"), WAYS)
def test_the_sums_of_two_replicas_are_those_of_one_device(two_replicas, mode, steps_per_execution):
    numbers = train_sums(two_replicas, mode, steps_per_execution)
    assert_equal_numbers(numbers, sums_on_one_device(), 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "steps_per_execution"),
    # The regressor runs eagerly on replicas above, too.
    [("graph", 4), pytest.param("eager", 1, marks=pytest.mark.sweep)],
)
def test_the_gan_of_two_replicas_is_that_of_one_device(two_replicas, mode, steps_per_execution):
    _, numbers = train_gan(two_replicas, mode, steps_per_execution)
    assert_equal_numbers(numbers, train_gan(ONE_DEVICE, "eager")[1], 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "num_images"), [("default", 16), ("paper", 12)])
def test_whatever_the_gan_is_made_of_it_is_that_of_one_device(two_replicas, kind, num_images):
    model, numbers = fit_gan(two_replicas, "graph", 4, kind, num_images)
    expected_model, expected = fit_gan(ONE_DEVICE, "eager", 1, kind, num_images)
    assert_equal_numbers(numbers, expected, 1e-4)
    np.testing.assert_allclose(weights_of(model), weights_of(expected_model), atol=1e-4)


@pytest.mark.slow
def test_replicas_stay_in_step(two_replicas):
    model, _ = train_gan(two_replicas, "graph", 4)
    for weight in [*model.weights, *model.generator_optimizer.variables]:
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
@pytest.mark.parametrize("width", [1, 3, 7], ids="width {}".format)
def test_replicas_draw_for_their_examples_what_one_device_draws(two_replicas, width):
    examples = np.random.default_rng(0).normal(size=(22, width)).astype("float32")
    totals = []
    for strategy in (ONE_DEVICE, two_replicas):
        with strategy.scope():
            model = Draws()
            model.compile()
        history = model.fit(examples, batch_size=6, epochs=2, shuffle=False, verbose=0).history
        totals.append(history["total"])
    np.testing.assert_allclose(totals[1], totals[0], rtol=1e-5)
    assert totals[0][0] != totals[0][1]


@pytest.mark.slow
@pytest.mark.parametrize("steps_per_execution", [1, 3])
def test_data_sets_and_single_batches_are_shared_out_too(two_replicas, steps_per_execution):
    numbers = []
    for strategy in (ONE_DEVICE, two_replicas):
        keras.utils.set_random_seed(0)
        with strategy.scope():
            model = km.SumRegressor(units=(4,))
            mode = "eager" if strategy is ONE_DEVICE else "graph"
            model.compile("adam", mode=mode, steps_per_execution=steps_per_execution)
        data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)
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


@pytest.mark.slow
def test_a_model_with_batch_normalization_of_keras_is_that_of_one_device(two_replicas):
    weights = []
    for strategy in (ONE_DEVICE, two_replicas):
        keras.utils.set_random_seed(0)
        with strategy.scope():
            normalization = keras.layers.BatchNormalization(synchronized=True)
            layers = [keras.Input((3,)), keras.layers.Dense(4), normalization]
            model = km.with_modes(keras.Sequential([*layers, keras.layers.Dense(1)]))
            model.compile("sgd", "mse")
        model.fit(X, Y, batch_size=6, epochs=3, verbose=0)
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
