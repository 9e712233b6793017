"""A trained GAN's run folder, made once: small, with two classes, on the bundled sample."""

import shutil

import pytest

import kerasmodes as km


@pytest.fixture(scope="session")
def _run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    folder.mkdir()
    preset = km.presets.Default(8, 8, half_life=None)
    gan = km.MSGGAN(num_scales=2, latent_dim=4, num_classes=2, preset=preset, seed=0)
    gan.compile("sgd", "sgd")
    gan.save(folder / "model.keras")
    (folder / "config.yaml").write_text("data: fashion_mnist_sample\n")
    return folder


@pytest.fixture
def run(_run, tmp_path):
    return shutil.copytree(_run, tmp_path / "run")
