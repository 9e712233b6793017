"""Whether a log is better when it is lower or higher, for callbacks that look for the best epoch.

Keras knows it of the metrics that `compile` is given. A model or a callback says it of the logs
that it adds in `directions`, a dictionary of `"min"` or `"max"` by name.
"""

import re
from typing import Any

import keras

from kerasmodes.engine import keras_private

SEEKERS = (
    keras.callbacks.EarlyStopping,
    keras.callbacks.ModelCheckpoint,
    keras.callbacks.ReduceLROnPlateau,
)
LEVEL = re.compile(r"_\d+$")  # of a metric at several scales, `swd_7`


def set_directions(callbacks: list[keras.callbacks.Callback], model: keras.Model) -> None:
    """Gives its `mode` to each callback of Keras's that has a monitor and `mode="auto"`.

    Args:
        callbacks: The callbacks of a fit.
        model: The model.

    Raises:
        ValueError: If a direction that is needed is unknown.
    """
    for one in callbacks:
        one = getattr(one, "callback", one)
        if not isinstance(one, SEEKERS) or one.mode != "auto":
            continue  # What a class of the user's own means by such names, it alone knows.
        name = one.monitor
        direction = find_direction(name, [*callbacks, model], model)
        if direction is not None:
            one.mode = direction
        elif getattr(one, "save_best_only", True) and keras_private.has_built_metrics(model):
            raise ValueError(
                "`mode` must be 'min' or 'max' for a callback whose monitor has no direction that "
                f"is known. Received: {type(one).__name__}(monitor={name!r}, mode='auto')"
            )


def find_direction(name: str, owners: list[Any], model: keras.Model) -> str | None:
    """Returns `"min"`, `"max"`, or `None` where it is unknown.

    Args:
        name: Name of the log.
        owners: Objects that may have `directions`.
        model: A compiled model.
    """
    own = name.removeprefix("val_")
    names = (name, own, LEVEL.sub("", name), LEVEL.sub("", own))
    for owner in owners:
        known = getattr(owner, "directions", None) or {}
        found = next((known[one] for one in names if one in known), None)
        if found is not None:
            return found
    if own == "loss" or own.endswith("_loss"):
        return "min"
    metrics = [one for metric in model.metrics for one in keras_private.split_metric(metric)]
    found = [keras_private.find_direction(one) for one in metrics if one.name == own]
    return found[0] if found else None
