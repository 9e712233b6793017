"""Every program of `scripts/examples` runs in a small form: the sweep has most, in all modes."""

import importlib.util
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km

FOLDER = pathlib.Path(__file__).parents[1] / "scripts" / "examples"
FILES = sorted(FOLDER.glob("*.py"))
MOST_LINES = 80


def load_example(name):
    """Returns an example as a module."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _interactive_logging():
    """What an example switches off is on again for the next test."""
    yield
    keras.config.enable_interactive_logging()


@pytest.fixture(
    params=[("graph",), pytest.param(("eager", "graph", "fused"), marks=pytest.mark.sweep)],
    ids=" and ".join,
)
def modes(request):
    """One mode, or three that must agree: as steps of their kinds do in `test_custom_steps.py`."""
    return request.param


def run_in_modes(name, modes, **arguments):
    """Returns what an example's `main` returns, after a check that the modes agree."""
    main = load_example(name).main
    results = [main(mode=mode, **arguments) for mode in modes]
    first, *others = ([np.asarray(x) for x in keras.tree.flatten(r)] for r in results)
    for other in others:
        for value, expected in zip(other, first, strict=True):
            if value.dtype == object:  # a model
                continue
            np.testing.assert_allclose(value, expected, rtol=2e-3, atol=2e-3)
    return results[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_is_short_and_tested(path):
    assert len(path.read_text("utf-8").splitlines()) <= MOST_LINES
    assert f"test_{path.stem}" in globals()


@pytest.mark.slow
def test_own_train_step(modes):
    history, accuracy = run_in_modes("own_train_step", modes, epochs=2)
    assert history["loss"][1] < 0.8 * history["loss"][0]
    assert accuracy == pytest.approx(history["val_accuracy"][1])  # the loaded model's
    assert accuracy > 0.5


@pytest.mark.slow
@pytest.mark.sweep
def test_two_optimizers(modes):
    history, points = run_in_modes("two_optimizers", modes, epochs=3)
    assert history["g_loss"][2] < history["g_loss"][0]  # at first the generator is found out
    # Both have trained for another epoch: it needs the weights, the state of both optimizers and
    # that of the random numbers.
    np.testing.assert_array_equal(points["loaded"], points["kept"])


@pytest.mark.slow
@pytest.mark.sweep
def test_vae(tmp_path, modes):
    history = run_in_modes("vae", modes, epochs=2, path=str(tmp_path / "vae.png"))
    assert history["val_loss"][1] < history["val_loss"][0] < history["loss"][0]
    assert (tmp_path / "vae.png").exists()


@pytest.mark.slow
@pytest.mark.sweep
def test_distillation(modes):
    accuracies = run_in_modes("distillation", modes, epochs=6)
    assert min(accuracies.values()) > 0.2
    assert accuracies["teacher"] > accuracies["student without a teacher"]


@pytest.mark.slow
@pytest.mark.sweep
def test_wgan_gp(tmp_path, modes):
    history, gan = run_in_modes("wgan_gp", modes, epochs=2, path=str(tmp_path / "gan.png"))
    images = next(iter(km.data.images(batch_size=1_024)))
    # Untrained, the generator's mean image is grey, at 0; the mean of the data is far from it.
    mean = np.mean(images, axis=0)
    assert np.abs(np.mean(gan.generate(256), axis=0) - mean).mean() < 0.7 * np.abs(mean).mean()
    assert (tmp_path / "gan.png").exists()


@pytest.mark.sweep
def test_diffusion(modes):
    losses, samples, noise = run_in_modes("diffusion", modes, epochs=12)
    assert losses[-1] < 0.8 * losses[0]
    assert samples < 0.8 * noise


@pytest.mark.sweep
def test_contrastive(modes):
    losses, shares = run_in_modes("contrastive", modes, epochs=4)
    assert losses[3] < 0.9 * losses[0]
    assert shares["features"] > 0.3


@pytest.mark.sweep
def test_contrastive_counts_the_batch_of_all_replicas(two_replicas):
    example = load_example("contrastive")
    images = next(iter(km.data.images(batch_size=64, seed=0)))
    weights = []
    for strategy in (tf.distribute.get_strategy(), two_replicas):
        keras.utils.set_random_seed(0)
        with strategy.scope():
            model = example.SimCLR()
            optimizer = keras.optimizers.SGD(0.1)
            model.compile(km.build_optimizer(optimizer, model), mode="graph")
        model.fit(images, batch_size=16, epochs=1, shuffle=False, verbose=0)
        weights.append(model.get_weights())
    for found, expected in zip(*weights, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.sweep
def test_search():
    scores, loss = load_example("search").main(epochs=2, max_trials=2)
    assert scores[0] <= scores[1]
    assert loss == pytest.approx(scores[0], rel=1e-4)


@pytest.mark.slow
def test_two_workers(tmp_path):
    """What each of the two runs, alone; that two have its numbers is shown in `test_workers.py`."""
    load_example("two_workers").train(str(tmp_path / "model.keras"), epochs=1)
    assert (tmp_path / "model.keras").exists()


@pytest.mark.sweep
def test_two_workers_as_two(capfd):
    losses = load_example("two_workers").main(epochs=2)
    assert losses["two workers"] == pytest.approx(losses["one process"], rel=1e-4)
    assert "[worker 1]" in capfd.readouterr().out


@pytest.mark.slow
@pytest.mark.sweep
def test_sklearn_pipeline():
    few, many, best = load_example("sklearn_pipeline").main(epochs=6, widths=(1, 32))
    assert few < many
    assert best > 0.5
