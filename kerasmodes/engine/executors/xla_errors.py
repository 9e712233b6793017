"""What XLA cannot compile, said in the user's words."""

import contextlib
import dataclasses
import pathlib
import re
import site
import sysconfig
from typing import Any

import keras
import tensorflow as tf

from kerasmodes import modes

# How TensorFlow says that XLA cannot compile a function. The messages of nested functions follow
# each other, and the innermost one, where the cause is, comes first.
FAILED = "tf2xla conversion failed"
# How XLA's own passes say so later on: of sizes that follow from the data, as a rule.
FAILED_LATER = re.compile(
    r"RET_CHECK failure \(external/(?:local_)?xla/\S+\) (.*?)(?:, metadata=|\[Op:|$)", re.MULTILINE
)

# How XLA of TensorFlow 2.21 refuses what it wrote for a product of int8 matrices, as in quantized
# layers: only within a loop that becomes one function, see `tensorflow_settings.XLA_OPTIONS`.
WRONG_IN_LOOPS = "Invalid LLVM IR"

# Of a batch whose parts do not fit each other: no mode could take it.
SIZES = "Incompatible shapes: "
UNSUPPORTED = re.compile(r"Detected unsupported operations.*?: (\w+) \(", re.DOTALL)
NOT_CONSTANT = re.compile(r"Input \d+ to node \S+ with op (\w+) must be a compile-time constant")
CARRIERS = {"_Arg": "an input", "_Retval": "an output"}
STACK = "Stack trace for op definition"
FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')

PACKAGE = pathlib.Path(__file__).parents[2]
ENGINE = (PACKAGE / "engine",)
# Files of functions that the user's code calls for TensorFlow's or Keras's own.
REPLACEMENTS = (
    "kept_sizes.py",
    "keras_private.py",
    "keras_random.py",
    "kernel_numbers.py",
    "zero_gradients.py",
)
TENSORFLOW = (pathlib.Path(tf.__file__).parent,)


@dataclasses.dataclass(frozen=True)
class Frame:
    """One line of the call stack in which an operation was made."""

    path: pathlib.Path
    line: str
    function: str


@contextlib.contextmanager
def explain_xla_error(mode: str):
    """Turns TensorFlow's error about a step that XLA cannot compile into one with the way out.

    Args:
        mode: The mode of the step that runs inside; other modes than XLA's raise as they are.

    Raises:
        ValueError: If XLA cannot compile the step.
    """
    try:
        yield
    except tf.errors.OpError as error:
        received = _find_cause(error.message) if modes.MODES[mode].jit_compile else None
        if received is None:
            raise
        fits_xla = mode == "fused" and WRONG_IN_LOOPS in received
        raise make_error(mode, received, "xla" if fits_xla else "graph") from error


def check_outputs(mode: str, outputs: Any) -> None:
    """Raises if a step returns text: XLA would name the operation that keeps it in a loop.

    Args:
        mode: The mode of the loop, `"xla"` or `"fused"`.
        outputs: Nested specs of what the step returns.

    Raises:
        ValueError: If an output is of dtype string.
    """
    if any(getattr(one, "dtype", None) == tf.string for one in tf.nest.flatten(outputs)):
        raise make_error(mode, "an output of dtype=string")


def make_error(mode: str, received: str, way_out: str = "graph") -> ValueError:
    """Returns the error about what XLA is given and cannot compile, with the mode to use."""
    return ValueError(
        f"mode={mode!r} must be given a step of operations that XLA can compile. "
        f"Received: {received}. Use mode={way_out!r} for this model."
    )


def _find_cause(message):
    """Returns what XLA cannot compile, or `None` if the message is about anything else."""
    innermost, failed, _ = message.partition(FAILED)
    if SIZES in innermost:
        return None
    # Of two programs that fail at a time, TensorFlow joins the messages and cuts them off.
    if failed or UNSUPPORTED.search(innermost):
        frames = [Frame(pathlib.Path(path), *rest) for path, *rest in FRAME.findall(innermost)]
        return _find_operation(innermost) + _name_place(frames)
    found = FAILED_LATER.search(message)
    return f"a step that XLA's own passes refuse ({found.group(1).strip()})" if found else None


def _find_operation(innermost):
    unsupported, not_constant = UNSUPPORTED.search(innermost), NOT_CONSTANT.search(innermost)
    if not_constant:
        return f"{not_constant.group(1)} with a size that follows from the data"
    if not unsupported:
        return _find_sentence(innermost)
    if unsupported.group(1) not in CARRIERS:
        return unsupported.group(1)
    dtype = re.search(r"T=DT_(\w+)", innermost)
    what = CARRIERS[unsupported.group(1)]
    return f"{what} of dtype={dtype.group(1).lower() if dtype else 'unknown'}"


def _find_sentence(innermost):
    """Returns TensorFlow's own sentence: the last one in front of stack and node."""
    lines = [line.strip() for line in innermost.partition(STACK)[0].splitlines()]
    return next(line.rstrip(".") for line in reversed(lines) if line and line[:2] != "[[")


def find_place(traceback: Any, verb: str = "made") -> str:
    """Returns words for the user's line in which an operation was made.

    Args:
        traceback: Attribute `traceback` of the operation; or what `traceback.extract_tb` returns.
        verb: What the line has done.
    """
    frames = [Frame(pathlib.Path(one.filename), str(one.lineno), one.name) for one in traceback]
    return _name_place(frames, verb)


def _name_place(frames, verb="made"):
    frame = _find_frame(frames)
    return f", {verb} in {frame.function} ({frame.path}, line {frame.line})" if frame else ""


def _find_frame(frames):
    """Returns the last frame of the user's own in the step; where it has none, the last one.

    TensorFlow leaves its own frames out of the message, but not where "keras" is in the path of its
    installation, such as in a virtual environment in a folder `kerasmodes`.
    """
    root = _find_root(frames)
    frames = [_complete_path(frame, root) for frame in frames]
    frames = [f for f in frames if f.path.name not in REPLACEMENTS or not _is_in(ENGINE, f)]
    while any(_is_in(ENGINE, frame) for frame in frames):
        frames.pop(0)
    frames = [frame for frame in frames if not _is_in(TENSORFLOW, frame)]
    own = [frame for frame in frames if not _is_in(_list_library_folders(), frame)]
    return next(reversed(own or frames), None)


def _complete_path(frame, root):
    path = root / frame.path
    return dataclasses.replace(frame, path=path) if path.exists() else frame


def _find_root(frames):
    """Returns the folder to which the frames' paths belong.

    TensorFlow leaves out what all paths begin with. This package is among them as a rule; otherwise
    it may have been the root of all files.
    """
    for root in PACKAGE.parents:
        paths = [root / frame.path for frame in frames if not frame.path.is_absolute()]
        if any(PACKAGE in path.parents and path.exists() for path in paths):
            return root
    return pathlib.Path(PACKAGE.anchor)


def _list_library_folders():
    """Returns the folders of code that is not the user's: Python's and that of packages.

    Some packages are installed elsewhere; a package that the user works on counts as the user's.
    """
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = [sysconfig.get_path(name) for name in names]
    folders += [*site.getsitepackages(), site.getusersitepackages()]
    packages = [pathlib.Path(module.__file__).parent for module in (tf, keras)]
    return (*map(pathlib.Path, folders), *packages, PACKAGE)


def _is_in(folders, frame):
    """Returns whether a frame's file is in one of the folders, which may be links."""
    return any(
        folder in frame.path.parents or folder.resolve() in frame.path.resolve().parents
        for folder in folders
    )
