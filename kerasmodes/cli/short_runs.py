"""Flags of `kerasmodes train` for a first look: one step of everything, or a few batches.

What one step of everything is, is in `trial_runs.py`.
"""

from typing import TYPE_CHECKING, Any

import jsonargparse

import kerasmodes as km
from kerasmodes import arguments
from kerasmodes.cli import kinds
from kerasmodes.cli.flags import add_flag, add_switch, console

if TYPE_CHECKING:  # The command imports TensorFlow only to work.
    import keras

BATCH_SIZE = 32  # Keras's, of arrays


def add_short_run_arguments(parser: jsonargparse.ArgumentParser) -> None:
    """Adds the flags."""
    title = "first look"
    words = "Run one step of everything; write nothing."
    add_switch(parser, title, "fast_dev_run", words)
    words = "The most batches of an epoch."
    add_flag(parser, title, "limit_batches", kinds.INT, help=words)
    words = "The first batches only, to learn by heart."
    add_flag(parser, title, "overfit_batches", kinds.INT, help=words)


def limit_data(flags: jsonargparse.Namespace, **fit_arguments: Any) -> dict[str, Any]:
    """Returns the arguments of `fit` with the batches that the flags leave.

    Args:
        flags: The flags of the command.
        **fit_arguments: Arguments of `fit`, with `x` an array or a data set.

    Raises:
        ValueError: If a flag is no positive integer, or both are given.
    """
    import tensorflow as tf

    limit, overfit = flags.limit_batches, flags.overfit_batches
    given = {"limit_batches": limit, "overfit_batches": overfit}
    given = {name: value for name, value in given.items() if value is not None}
    arguments.check_positive_integers(**given)
    if limit is not None and overfit is not None:
        raise ValueError(
            "`overfit_batches` must be left out with `limit_batches`. "
            f"Received: overfit_batches={overfit}, limit_batches={limit}"
        )
    if limit is None and overfit is None:
        return fit_arguments
    number, size = limit or overfit, fit_arguments.get("batch_size") or BATCH_SIZE
    names = ("x", "y", "validation_data") if limit else ("x", "y")
    taken = {name: _take(fit_arguments.get(name), number, size) for name in names}
    fit_arguments |= {name: data for name, data in taken.items() if data is not None}
    if overfit is not None:
        fit_arguments["shuffle"] = False
        if isinstance(fit_arguments["x"], tf.data.Dataset):
            fit_arguments["x"] = fit_arguments["x"].cache()
    return fit_arguments


def run_once(
    model: "keras.Model", callbacks: list["keras.callbacks.Callback"], **fit_arguments: Any
) -> None:
    """Runs one step of everything, and says what its logs are.

    Args:
        model: The model.
        callbacks: All callbacks of the run.
        **fit_arguments: Arguments of `fit`.
    """
    logs = km.trial_run(model, callbacks=callbacks, **fit_arguments)
    if km.replicas.is_chief(model.distribute_strategy):
        words = ", ".join(f"{name} {value:.4g}" for name, value in logs.items())
        console.print(f"One step of everything, with {len(callbacks)} callbacks: {words}")
        console.print("Nothing was written.")


def _take(data, number, size):
    import keras
    import tensorflow as tf

    if isinstance(data, tf.data.Dataset):
        return data.take(number)
    if data is None:
        return None
    return keras.tree.map_structure(lambda array: array[: number * size], data)
