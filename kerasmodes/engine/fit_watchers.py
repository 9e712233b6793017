"""`FitWatcher`: a callback that sees the data of a fit too, after all of Keras's callbacks."""

from typing import Any

import keras


class FitWatcher(keras.callbacks.Callback):
    """A callback that `fit` tells more than Keras's callbacks are told.

    The methods below are called after the callbacks' own: what these have changed is done by then.
    """

    # Whether steps are to look at what is not finite in logs and outputs: `output_watch.py`.
    watches_outputs = False
    ignore: tuple[str, ...] = ()  # The names of those that may be so.

    def on_train_begin(self, logs=None):
        if not hasattr(self.model, "mode_selector"):
            raise TypeError(
                f"{type(self).__name__} must be given to the `fit` of a km.Model, which shows it "
                f"the data. Received: {type(self.model).__name__}. Use km.with_modes(model)."
            )

    def begin_fit(self, progress: Any) -> None:
        """Called after `on_train_begin`, before data are read.

        Args:
            progress: The `fit_progress.FitProgress` of the fit: the model, its data and callbacks,
                and where the fit stands. It may be moved to where an earlier fit has stopped.
        """

    def begin_execution(self, batches: Any) -> Any:
        """Called before an execution; returns what is to run, as a rule `batches`.

        Args:
            batches: What the executor runs: a list of `super_batches.BatchRange`, or an iterator.
        """
        return batches

    def end_execution(self, logs: dict[str, Any]) -> None:
        """Called after an execution, with the logs of its last step."""

    def end_epoch(self) -> None:
        """Called after an epoch, its validation included."""

    def end_fit(self) -> None:
        """Called when a fit has ended, also by an exception."""
