"""Tests of `kerasmodes export`: each format in its own runtime, and what is refused."""

import dataclasses

import keras
import numpy as np
import pytest

import kerasmodes as km
from kerasmodes import cli
from kerasmodes.cli import exporting, runtimes


@pytest.fixture(scope="module")
def sum_model():
    model = km.SumRegressor((3,))
    model.build((None, 20))
    model.compile()
    return model


@pytest.fixture
def sum_run(sum_model, tmp_path):
    folder = tmp_path / "sum"
    folder.mkdir()
    sum_model.save(folder / "model.keras")
    return folder


@pytest.mark.slow
def test_a_regressor_is_written_where_it_is_asked_for(sum_run, sum_model, tmp_path, capsys):
    words = ["export", str(sum_run), "--format=litert", f"--directory={tmp_path / 'mine'}"]
    assert cli.main(words) == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 2 or keras.__version__ < "3.15"  # Which tells of each export.
    shown = shown[-2:]
    assert "Compared: LiteRT and Keras, on batches of 1 and 3: the results differ by" in shown[0]
    assert f"Written:  {tmp_path / 'mine' / 'model.tflite'} (" in shown[1]
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["model.tflite"]
    assert not (sum_run / "exported").exists()
    x = np.ones((4, 20), "float32")
    (found,) = runtimes.RUNTIMES["litert"].open(tmp_path / "mine" / "model.tflite")({"x": x})
    np.testing.assert_allclose(found, sum_model(x), atol=1e-6)


@pytest.mark.slow
def test_an_export_is_replaced_on_request_only(sum_run, capsys):
    words = ["export", str(sum_run), "--format=litert"]
    path = sum_run / "exported" / "litert" / "model.tflite"
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    assert cli.main(words) == 1
    assert "`--directory` must be new. Received: --directory='" in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert cli.main([*words, "--overwrite"]) == 0
    assert path.stat().st_size > 100


def test_a_folder_with_other_things_is_never_replaced(sum_run, capsys):
    words = ["export", str(sum_run), f"--directory={sum_run}", "--overwrite"]
    assert cli.main(words) == 1
    assert "must be new, empty, or hold a saved_model.pb to replace" in capsys.readouterr().err
    assert (sum_run / "model.keras").exists()


@pytest.mark.slow
def test_a_file_that_computes_something_else_is_removed(sum_run, capsys, monkeypatch):
    monkeypatch.setattr(exporting, "TOLERANCE", -1.0)
    assert cli.main(["export", str(sum_run), "--format=litert"]) == 1
    assert "Received: results that differ by" in capsys.readouterr().err
    assert not (sum_run / "exported").exists()


@pytest.mark.parametrize("error", [1e-3, float("nan")])
def test_a_difference_is_measured_against_keras(sum_model, error):
    plain = km.to_keras(sum_model)
    exact = exporting.compare(
        lambda inputs: [np.asarray(plain(*inputs.values()))], sum_model, plain
    )
    assert exact <= 1e-6
    with pytest.raises(RuntimeError, match="A file must give what Keras gives, within 0.000"):
        exporting.compare(
            lambda inputs: [np.asarray(plain(*inputs.values())) + error], sum_model, plain
        )


def test_a_missing_package_is_named_with_the_command_that_installs_it(sum_run, capsys, monkeypatch):
    runtime = runtimes.RUNTIMES["onnx"]
    missing = {"no_such_module": "no-such-module", "numpy": "numpy"}
    monkeypatch.setitem(runtimes.RUNTIMES, "onnx", dataclasses.replace(runtime, packages=missing))
    assert cli.main(["export", str(sum_run), "--format=onnx"]) == 1
    shown = capsys.readouterr().err
    assert "`--format` 'onnx' must have no-such-module installed" in shown
    assert "pip install no-such-module" in shown
    assert len(shown.splitlines()) == 1


def test_a_folder_without_a_model_is_refused(tmp_path, capsys):
    assert cli.main(["export", str(tmp_path)]) == 1
    assert "`run` must hold a model.keras" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_model_is_called_damaged(sum_run, capsys):
    path = sum_run / "model.keras"
    path.write_bytes(path.read_bytes()[:1000])
    assert cli.main(["export", str(sum_run)]) == 1
    assert capsys.readouterr().err.strip().endswith("it is damaged")


def test_results_that_are_not_finite_are_the_models_own(sum_model):
    plain = km.to_keras(sum_model)
    plain.set_weights([np.full_like(one, np.nan) for one in plain.get_weights()])
    with pytest.raises(ValueError, match="`run` must hold a model whose results are finite"):
        exporting.compare(lambda inputs: [np.asarray(plain(*inputs.values()))], plain, plain)


def test_mixed_precision_is_for_tensorflow_only(tmp_path, capsys):
    model = km.SumRegressor((), dtype="mixed_float16")
    model.build((None, 4))
    model.save(tmp_path / "model.keras")
    assert cli.main(["export", str(tmp_path), "--format=onnx"]) == 1
    shown = capsys.readouterr().err
    assert "`--format` must be 'saved_model' for a model that computes in float16" in shown
