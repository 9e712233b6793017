"""Tests of `ImageEvaluator`: that its numbers are the metrics' own, set after set."""

import keras
import numpy as np
import pytest

import kerasmodes as km
from kerasmodes.metrics import image_evaluator

IMAGES = np.random.default_rng(1).uniform(-1, 1, (40, 8, 8, 1)).astype("float32")
REAL, GENERATED = IMAGES[:24], np.tanh(2 * IMAGES[24:])


@pytest.fixture(scope="module")
def evaluator():
    return image_evaluator.ImageEvaluator(REAL, make_network(), num_images=16)


def make_network(image_shape=(8, 8, 1)):
    return keras.Sequential(
        [keras.Input(image_shape), keras.layers.Flatten(), keras.layers.Dense(5)]
    )


@pytest.mark.slow
def test_results_are_those_of_the_metrics():
    network = make_network()
    evaluator = image_evaluator.ImageEvaluator(REAL, network, num_images=16)
    results = evaluator.results(GENERATED)
    assert list(results) == evaluator.names
    real, generated = (image_evaluator.extract_features(network, one) for one in (REAL, GENERATED))
    equally_many = real[np.arange(16) * 24 // 16]
    for metric, rows in (
        (km.metrics.FrechetDistance(5), real),
        (km.metrics.KernelDistance(5), equally_many),
        (km.metrics.PrecisionRecall(5), equally_many),
        (km.metrics.DensityCoverage(5), equally_many),
    ):
        metric.update_state(real=rows, generated=generated)
        expected = metric.result()
        expected = expected if isinstance(expected, dict) else {metric.name: expected}
        for name, number in expected.items():
            assert results[name] == pytest.approx(number)


def test_one_set_after_the_other_leaves_no_trace(evaluator):
    first = evaluator.results(GENERATED)
    assert evaluator.results(REAL[:16]) != first
    evaluator.baselines()
    assert evaluator.results(GENERATED) == first


def test_fewer_real_images_are_met_by_as_many_generated():
    evaluator = image_evaluator.ImageEvaluator(
        REAL[:12], make_network(), ("precision_recall", "swd"), 16
    )
    other = np.concatenate([GENERATED[:12], REAL[:4]])
    assert evaluator.results(GENERATED) == evaluator.results(other)


def test_the_mean_over_the_levels_stands_beside_them():
    images = np.random.default_rng(0).uniform(-1, 1, (16, 14, 28, 1)).astype("float32")
    evaluator = image_evaluator.ImageEvaluator(images[:8], metrics=("swd",), num_images=8)
    results = evaluator.results(images[8:])
    assert list(results) == evaluator.names == ["swd_7x14", "swd_14x28", "swd"]
    assert results["swd"] == pytest.approx((results["swd_7x14"] + results["swd_14x28"]) / 2)


def test_values_beyond_the_range_are_clipped(evaluator):
    assert evaluator.results(9 * GENERATED) == evaluator.results(np.clip(9 * GENERATED, -1, 1))


def test_baselines_have_the_names_of_the_results(evaluator):
    assert list(evaluator.baselines()) == evaluator.names


@pytest.mark.parametrize(
    ("shape", "levels"),
    [((28, 28, 1), 3), ((32, 32, 3), 3), ((14, 28, 1), 2), ((8, 8, 1), 1), ((30, 30, 1), 2)],
)
def test_the_pyramid_has_the_levels_that_fit(shape, levels):
    assert image_evaluator.num_levels(shape) == levels


def test_another_number_of_images_is_refused():
    evaluator = image_evaluator.ImageEvaluator(REAL, metrics=("swd",), num_images=16)
    with pytest.raises(ValueError, match="`images` must be 16. Received: 15 images"):
        evaluator.results(GENERATED[:15])


def test_the_package_s_network_is_for_its_own_shape():
    network = image_evaluator.resolve_network((28, 28, 1))
    assert image_evaluator.extract_features(network, np.zeros((1, 28, 28, 1), "float32")).shape == (
        1,
        64,
    )
    with pytest.raises(ValueError, match="`network` must be a Keras model"):
        image_evaluator.resolve_network((32, 32, 3))
