"""Imports TensorFlow without the notices that nobody can act on, once a process and first of all;
then Keras, which must run on it. And says when: the command `kerasmodes` waits until it works.

Later messages of TensorFlow stay as they are, except for the default of their level.
"""

import contextlib
import glob
import importlib
import json
import os
import pathlib
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
# TensorFlow's other variables for its messages: a user who sets one wants to see more.
OTHER_VARIABLES = ("TF_CPP_MAX_VLOG_LEVEL", "TF_CPP_VMODULE")
BACKEND = "KERAS_BACKEND"
FIRST = "kerasmodes.engine"  # The first part of the library that is imported to work.
NEEDS = "kerasmodes needs Keras's TensorFlow backend."

# Messages at the start ignore the level: how they begin, and the level from which they are hidden.
NOTICES = {
    re.compile(rb"WARNING: All log messages before absl::InitializeLog"): 1,
    re.compile(rb"I\d{4} \d\d:\d\d:"): 1,
    re.compile(rb"W\d{4} \d\d:\d\d:"): 2,
    re.compile(rb"E\d{4} \d\d:\d\d:"): 3,
}
# TensorFlow with CUDA calls a machine without a GPU an error; 2.20 with another date.
NO_GPU = re.compile(rb"(E\d{4} \d\d:\d\d:|[\d-]+ [\d:.]+: E ).* failed call to cuInit")
GPU_FILES = ("/dev/nvidia*", "/dev/nvhost*", "/dev/nvgpu*", "/dev/dxg")


def is_deferred() -> bool:
    """Returns whether the library waits for its first use, which `import kerasmodes` is not.

    So it does in a process of the command `kerasmodes`: help, and an error in a flag, need none.
    """
    # The program, or the module after -m, which `sys.argv` does not yet name, and its words. A
    # process that `multiprocessing` has spawned has the `sys.argv` of its parent.
    count = len(sys.argv)
    program, *words = sys.orig_argv[-count:] if 0 < count <= len(sys.orig_argv) else [""]
    is_command = words == sys.argv[1:] and pathlib.PurePath(program).stem == "kerasmodes"
    return is_command and FIRST not in sys.modules


def import_library() -> None:
    """Imports all of the library, if that was deferred.

    Raises:
        ImportError: As `import_keras`.
    """
    if is_deferred():
        import_keras()
        importlib.import_module(FIRST)
        importlib.reload(sys.modules["kerasmodes"])  # Nothing waits any more.


def import_keras() -> None:
    """Imports TensorFlow and Keras.

    Raises:
        ImportError: If Keras runs on another backend than TensorFlow, by the environment, by its
            file of settings, or since it was imported so.
    """
    if "keras" not in sys.modules:  # Another backend may lack a package, and not start.
        name = os.environ.get(BACKEND)
        if name and name != "tensorflow":
            raise ImportError(f"{NEEDS} Received: {BACKEND}={name}")
        _check_backend(name or _read_backend())
    import_tensorflow()
    import keras

    _check_backend(keras.config.backend())


def _check_backend(name):
    if name != "tensorflow":
        raise ImportError(
            f"{NEEDS} Received: Keras on {name!r}. Set {BACKEND}=tensorflow before Keras is "
            "imported."
        )


def _read_backend():
    """Returns the backend in Keras's file of settings; TensorFlow where Keras passes over it."""
    path = pathlib.Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "keras.json"
    try:
        return json.loads(path.read_text("utf-8")).get("backend", "tensorflow")
    except (OSError, ValueError, AttributeError):
        return "tensorflow"


def import_tensorflow() -> None:
    """Imports TensorFlow and hides the notices of its start; does nothing if it is imported.

    Later messages of the level INFO are hidden, too, unless the user has set a level. Warnings and
    errors are shown, except the error about a missing GPU on a machine without one.
    """
    if "tensorflow" in sys.modules:
        return
    if not any(name in os.environ for name in OTHER_VARIABLES):
        os.environ.setdefault(LEVEL, "1")
    level = os.environ.get(LEVEL, "0")
    level = int(level) if level.isdecimal() else 0
    has_gpu = any(map(glob.glob, GPU_FILES))
    notices = [pattern for pattern, least in NOTICES.items() if level >= least]
    with hold_back([*notices, *([] if has_gpu or level < 1 else [NO_GPU])]):
        import tensorflow as tf

        if not has_gpu and tf.test.is_built_with_cuda():
            # TensorFlow looks for GPUs only once: where there is one, the program can hide it.
            tf.config.list_physical_devices()


@contextlib.contextmanager
def hold_back(notices: Sequence[re.Pattern[bytes]]) -> Iterator[None]:
    """Delays what the block writes to stderr, then writes all lines except the notices.

    If the block raises, all lines are written.

    Args:
        notices: Compiled patterns of the beginnings of lines. Without any, nothing is delayed.
    """
    stderr = _duplicate_stderr() if notices else None
    if stderr is None:
        yield
        return
    with tempfile.TemporaryFile() as messages:
        os.dup2(messages.fileno(), 2)
        try:
            yield
        except BaseException:
            notices = []
            raise
        finally:
            _flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            messages.seek(0)
            for line in messages:
                if not any(pattern.match(line) for pattern in notices):
                    os.write(2, line)


def _duplicate_stderr():
    """Returns a second file descriptor of stderr, or `None` where messages must not be delayed.

    They must not without a folder for a temporary file. They must not on an x86 processor without
    AVX, either: TensorFlow needs it, says so and ends the program at once.
    """
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    processor = cpuinfo.read_text(errors="replace") if cpuinfo.exists() else ""
    if "flags\t" in processor and " avx " not in processor:
        return None
    try:
        tempfile.TemporaryFile().close()
        _flush()
        return os.dup(2)
    except OSError:  # No such folder, or no stderr.
        return None


def _flush():
    if sys.stderr is not None:
        sys.stderr.flush()
