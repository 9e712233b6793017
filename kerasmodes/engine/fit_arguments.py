"""Arguments of `fit`: checked, and put into the form that its loop needs."""

import warnings
from typing import Any

import keras

from kerasmodes import arguments


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
    if isinstance(validation_freq, (list, tuple, set)):
        return epoch + 1 in validation_freq
    return (epoch + 1) % validation_freq == 0


def check_validation_freq(validation_freq: Any) -> None:
    """Raises a `ValueError` unless epochs of validation are a number of them or a list."""
    is_list = isinstance(validation_freq, (list, tuple, set))
    if is_list or arguments.is_positive_integer(validation_freq):
        return
    raise ValueError(
        "`validation_freq` must be a positive integer or a list of epochs, which count from 1. "
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


def check_batch_size(batch_size: int | None, name: str = "batch_size") -> None:
    """Raises a `ValueError` unless a batch size is a positive integer or `None`."""
    if batch_size is not None:
        arguments.check_positive_integers(**{name: batch_size})


def check_numbers(
    epochs: int,
    initial_epoch: int,
    steps_per_epoch: int | None,
    validation_steps: int | None,
    validation_split: float,
) -> None:
    """Raises a `ValueError` that names the first number of `fit` which is none, or out of range."""
    arguments.check_integers(0, epochs=epochs, initial_epoch=initial_epoch)
    steps = {"steps_per_epoch": steps_per_epoch, "validation_steps": validation_steps}
    arguments.check_positive_integers(**{n: value for n, value in steps.items() if value})
    if validation_split and not (
        arguments.is_number(validation_split) and 0 <= validation_split < 1
    ):
        raise ValueError(
            "`validation_split` must be a number in [0, 1). "
            f"Received: validation_split={validation_split!r}"
        )


def check_callbacks(callbacks: Any) -> None:
    """Raises a `TypeError` unless all callbacks are objects of `keras.callbacks.Callback`."""
    if callbacks is None or isinstance(callbacks, keras.callbacks.CallbackList):
        return
    for one in keras.tree.flatten(callbacks):
        if not isinstance(one, keras.callbacks.Callback):
            raise TypeError(
                "`callbacks` must be a list of `keras.callbacks.Callback` objects. "
                f"Received: {one!r} among them"
            )


def check_class_weight(class_weight: Any) -> None:
    """Raises a `TypeError` unless weights of classes are a dictionary or `None`."""
    if class_weight is not None and not isinstance(class_weight, dict):
        raise TypeError(
            "`class_weight` must be a dictionary of classes and their weights, such as "
            f"{{0: 1.0, 1: 2.5}}. Received: class_weight={class_weight!r}. Of weights in the order "
            "of the classes, it is dict(enumerate(weights))."
        )
