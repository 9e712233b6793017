"""TensorFlow imported without the notices that nobody can act on: once a process, before all else.

What TensorFlow says after its start is its own affair, but for the default level of its messages.
"""

import contextlib
import glob
import os
import pathlib
import re
import sys
import tempfile

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
# TensorFlow's other variables for its messages: who sets one of them wants to see more.
OTHER_VARIABLES = ("TF_CPP_MAX_VLOG_LEVEL", "TF_CPP_VMODULE")

# The messages of the start do not heed the level: how they begin, and from which level on they
# should be left out.
NOTICES = {
    re.compile(rb"WARNING: All log messages before absl::InitializeLog"): 1,
    re.compile(rb"I\d{4} \d\d:\d\d:"): 1,
    re.compile(rb"W\d{4} \d\d:\d\d:"): 2,
    re.compile(rb"E\d{4} \d\d:\d\d:"): 3,
}
# TensorFlow with CUDA calls a machine without a GPU an error.
NO_GPU = re.compile(rb"E\d{4} \d\d:\d\d:.* failed call to cuInit")
GPU_FILES = ("/dev/nvidia*", "/dev/nvhost*", "/dev/nvgpu*", "/dev/dxg")


def import_tensorflow():
    """Imports TensorFlow, unless the program has, with its notices of the start left out.

    Messages of the level INFO stay away later on, too, unless the user has set a level. Warnings
    and errors are shown, but for that of a missing GPU where there is none.
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
            # It looks for a GPU only once; with one, that is left for later, as it can be hidden.
            tf.config.list_physical_devices()


@contextlib.contextmanager
def hold_back(notices):
    """While open, what is written to stderr waits; then all lines but the notices are written.

    If the body raises, all lines are.

    Args:
        notices: Compiled patterns of the beginnings of lines. Without any, nothing waits.
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
    """Returns the number of another file for stderr, or `None` where messages must not wait.

    They must not without a folder for a temporary file, nor where TensorFlow, which is made for AVX
    on x86, ends the program at once and says why.
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
