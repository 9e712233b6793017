"""Formats that `kerasmodes export` writes, and how the runtime of each runs such a file.

Which model is written, where, and how equal it has to be is in `exporting.py`.
"""

import dataclasses
import importlib.util
import os
import pathlib
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # The command imports TensorFlow only to work.
    import keras

# Lines on stderr that nobody can act on.
NOTICES = [
    re.compile(rb"W\d{4} .*tf_tfl_flatbuffer_helpers"),
    re.compile(rb"E\d{4} .*node_def_util.* mentions attribute Truncate"),
    re.compile(rb"INFO: Created TensorFlow Lite XNNPACK delegate"),
]

# What maps arrays by the names of a file's inputs to its outputs, in their order.
Program = Callable[[dict[str, Any]], list[Any]]


def _open_saved_model(path):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path.parent))

    def run(inputs):
        tensors = {name: tf.constant(array) for name, array in inputs.items()}
        # Keeps what was loaded: a signature alone does not.
        return _sort_outputs(loaded.signatures["serving_default"](**tensors))

    return run


def _open_onnx(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, inputs)


def _open_litert(path):
    from ai_edge_litert import interpreter

    runner = interpreter.Interpreter(model_path=str(path)).get_signature_runner()
    return lambda inputs: _sort_outputs(runner(**inputs))


def _open_openvino(path):
    import numpy as np
    import openvino

    # By default it computes in bfloat16 where the processor does.
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(path), "CPU", options)
    return lambda inputs: [np.array(array) for array in compiled(inputs).to_tuple()]


def _make_litert_options():
    import tensorflow as tf

    # Without TensorFlow's own operations ("Flex"), which few devices have.
    return {"target_spec": {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}}


@dataclasses.dataclass(frozen=True)
class Runtime:
    """A format and what runs it.

    Args:
        title: Name of the runtime.
        keras_format: The `format` for `keras.Model.export`.
        file: Name of the file in the folder that is written.
        packages: What has to be installed, the name for pip by that of the module.
        open: Function that returns the `Program` in a file.
        make_options: Function that returns further arguments of `keras.Model.export`.
    """

    title: str
    keras_format: str
    file: str
    packages: dict[str, str]
    open: Callable[[pathlib.Path], Program]
    make_options: Callable[[], dict] = dict

    def check_packages(self, name: str) -> None:
        """Raises a `RuntimeError` that says how to install what the format `name` lacks."""
        missing = [pip for module, pip in self.packages.items() if not _is_installed(module)]
        if missing:
            raise RuntimeError(
                f"`format` {name!r} must have {' and '.join(missing)} installed. "
                f"Received: an environment without. Run: pip install {' '.join(missing)}"
            )

    def write(self, model: "keras.Model", folder: pathlib.Path) -> pathlib.Path:
        """Writes a plain model into an empty folder; returns the path of its file."""
        path = folder / self.file
        target = folder if self.keras_format == "tf_saved_model" else path
        with warnings.catch_warnings():
            # Of Keras's repair of tf2onnx for NumPy 2.
            warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
            try:
                model.export(
                    str(target), format=self.keras_format, verbose=False, **self.make_options()
                )
            except Exception as error:  # Each converter has its own.
                raise RuntimeError(
                    f"`format` must be one for which the model has a converter. Received: "
                    f"{self.keras_format!r}, whose converter ends in {type(error).__name__}: "
                    f"{str(error).partition(chr(10))[0]}"
                ) from error
        return path


RUNTIMES = {
    "saved_model": Runtime("TensorFlow", "tf_saved_model", "saved_model.pb", {}, _open_saved_model),
    "onnx": Runtime(
        "ONNX Runtime",
        "onnx",
        "model.onnx",
        {"tf2onnx": "tf2onnx", "onnxruntime": "onnxruntime"},
        _open_onnx,
    ),
    "litert": Runtime(
        "LiteRT",
        "litert",
        "model.tflite",
        {"ai_edge_litert": "ai-edge-litert"},
        _open_litert,
        _make_litert_options,
    ),
    "openvino": Runtime(
        "OpenVINO", "openvino", "model.xml", {"openvino": "openvino"}, _open_openvino
    ),
}


def _is_installed(module):
    return importlib.util.find_spec(module) is not None


def _sort_outputs(outputs):
    """Returns outputs named `output_0`, `output_1`, and so on, in the order of their numbers."""
    import numpy as np

    names = sorted(outputs, key=lambda name: int(name.rpartition("_")[2]))
    return [np.array(outputs[name]) for name in names]


def measure_size(folder: str | os.PathLike) -> int:
    """Returns how many bytes the files in a folder have."""
    return sum(path.stat().st_size for path in pathlib.Path(folder).rglob("*") if path.is_file())
