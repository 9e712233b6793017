"""Tests of the formats of `kerasmodes export`: a GAN's file in each runtime. The command's are in
`test_exporting.py`."""

import functools
import pathlib
import re

import keras
import numpy as np
import pytest

import kerasmodes as km
from kerasmodes.cli import exporting, runtimes


@functools.cache
def make_gan(num_scales):
    gan = km.MSGGAN((8, 8, 1), num_scales, 4, 2, km.presets.Default(8, 8, half_life=None), seed=0)
    return gan, km.to_keras(gan)


@pytest.mark.slow
@pytest.mark.parametrize(
    "format",
    [
        pytest.param(name, marks=pytest.mark.sweep if name in ("litert", "openvino") else [])
        for name in runtimes.RUNTIMES
    ],
)
def test_each_runtime_computes_what_keras_does(format, tmp_path):
    # LiteRT knows the height of an image that is upsampled once, not twice.
    gan, plain = make_gan(num_scales=3 if format == "litert" else 1)
    runtime = runtimes.RUNTIMES[format]
    path = runtime.write(plain, tmp_path)
    assert path == tmp_path / runtime.file
    program = runtime.open(path)
    assert exporting.compare(program, gan, plain) < 1e-5
    latents, labels = np.ones((4, 4), "float32"), np.array([0, 1, 1, 0], "int32")
    *_, images = program({"latents": latents, "labels": labels})
    np.testing.assert_allclose(images[0], images[3], atol=1e-6)
    assert np.abs(images[0] - images[1]).max() > 1e-3  # The label counts.


def test_a_converter_that_fails_is_one_sentence(tmp_path):
    texts = keras.Input((), dtype="string")
    model = keras.Model(texts, keras.layers.Hashing(3)(texts))
    with pytest.raises(RuntimeError, match="`format` must be .* 'onnx', whose converter ends in"):
        runtimes.RUNTIMES["onnx"].write(model, tmp_path)


def test_outputs_are_sorted_by_their_number():
    outputs = {f"output_{place}": np.array(place) for place in (10, 2, 0, 1)}
    assert [int(one) for one in runtimes._sort_outputs(outputs)] == [0, 1, 2, 10]


def test_what_is_installed_is_not_asked_for():
    for name, runtime in runtimes.RUNTIMES.items():
        runtime.check_packages(name)


def test_the_extras_install_what_the_formats_need():
    text = (pathlib.Path(km.__file__).parents[1] / "setup.cfg").read_text("utf-8")
    (block,) = re.findall(r"^export =\n((?:    .*\n)+)", text, re.MULTILINE)
    needed = {pip for runtime in runtimes.RUNTIMES.values() for pip in runtime.packages.values()}
    assert needed <= set(re.findall(r"^    ([\w-]+)", block, re.MULTILINE))
    assert "\n    kerasmodes[export]\n" in text  # for tests


def test_the_size_of_a_folder_is_that_of_all_files_in_it(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "one").write_bytes(b"123")
    (tmp_path / "inner" / "other").write_bytes(b"45")
    assert runtimes.measure_size(tmp_path) == 5
