"""What XLA cannot compile, said in the user's words."""

import contextlib
import re

import tensorflow as tf

UNSUPPORTED = re.compile(r"Detected unsupported operations.*?: (\w+) \(", re.DOTALL)
PLACE = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')


@contextlib.contextmanager
def in_words(mode):
    """Turns TensorFlow's error about an operation that XLA lacks into one that names the way out.

    Args:
        mode: The mode of the step that runs inside; other modes than XLA's raise as they are.

    Raises:
        ValueError: If XLA cannot compile the step.
    """
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        found = UNSUPPORTED.search(error.message)
        if mode not in ("xla", "fused") or not found:
            raise
        name, places = found.group(1), PLACE.findall(error.message.partition("tf2xla")[0])
        if name == "_Arg":
            dtype = re.search(r"T=DT_(\w+)", error.message)
            received = f"an input of dtype={dtype.group(1).lower() if dtype else 'unknown'}"
        else:
            path, line, function = places[-1] if places else ("?", "?", "?")
            received = f"{name}, made in {function} ({path}, line {line})"
        raise ValueError(
            f"mode={mode!r} must be given a step of operations that XLA can compile. "
            f"Received: {received}. Use mode='graph' for this model."
        ) from error
