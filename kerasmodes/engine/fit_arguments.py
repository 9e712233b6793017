"""Arguments of `fit`: checked, and put into the form that its loop needs."""

import warnings
from typing import Any

import keras

NEED_OPTIMIZER = (
    keras.callbacks.LearningRateScheduler,
    keras.callbacks.ReduceLROnPlateau,
    keras.callbacks.SwapEMAWeights,
)


def list_validation_arguments(
    data: Any, batch_size: int | None, steps: int | None
) -> dict[str, Any] | None:
    """Returns the arguments of `evaluate` for `validation_data`, or `None` if there are none."""
    if data is None:
        return None
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    return {
        "x": x,
        "y": y,
        "sample_weight": sample_weight,
        "batch_size": batch_size,
        "steps": steps,
    }


def is_validated(epoch: int, validation_freq: Any) -> bool:
    """Returns whether a fit validates at the end of an epoch; the first one is 0."""
    if isinstance(validation_freq, int):
        return (epoch + 1) % validation_freq == 0
    if isinstance(validation_freq, (list, tuple, set)):
        return epoch + 1 in validation_freq
    raise ValueError(
        "`validation_freq` must be an integer or a list of epochs, which count from 1. "
        f"Received: validation_freq={validation_freq!r}"
    )


def check_compiled(model: keras.Model, method: str) -> None:
    """Raises a `ValueError` if a model was not compiled."""
    # Keras calls each loaded model compiled.
    if not model.compiled or not hasattr(model, "optimizer"):
        raise ValueError(
            f"You must call `compile()` before calling `{method}()`. "
            f"Received: {type(model).__name__} that was not compiled."
        )


def limit_epochs(epochs: int) -> int:
    """Returns the epochs of a fit under Keras's switch for dry runs."""
    most = keras.config.max_epochs()
    if not most or epochs <= most:
        return epochs
    warnings.warn(f"Limiting epochs to {most}", stacklevel=3)
    return most


def check_batch_size(batch_size: int | None) -> None:
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"`batch_size` must be positive. Received: batch_size={batch_size}")


def check_callbacks(callbacks: Any, optimizer: Any) -> None:
    """Raises if a callback of Keras's needs `model.optimizer` and there is none, or several."""
    if optimizer is not None:
        return
    callbacks = getattr(callbacks, "callbacks", callbacks)
    for one in keras.tree.flatten(callbacks):
        asks_rate = isinstance(one, NEED_OPTIMIZER)
        if asks_rate or getattr(one, "write_steps_per_second", False):
            name = type(one).__name__
            raise ValueError(
                "`callbacks` must not need `model.optimizer` for a model that has none, or several "
                f"under other names. Received: {name}. "
                + (
                    "Give each optimizer a schedule of `keras.optimizers.schedules`, or an average "
                    "of its own (`use_ema`)."
                    if asks_rate
                    else f"Use {name}(write_steps_per_second=False)."
                )
            )
