"""`WandB`: a fit as a run of Weights & Biases, kept on the disk or sent to its server."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from kerasmodes import arguments
from kerasmodes.callbacks import run_logger

MODES = ("offline", "online")


class WandB(run_logger.RunLogger):
    """Logs a fit to Weights & Biases: settings, numbers of each epoch, files, and the model.

    The numbers are the logs and the learning rates, with the number of the epoch, from 0, as the
    step. A metric that a callback adds to the logs is there if that callback stands before this
    one. At the end, the files and the model become artifacts.

    With `Resume`, a fit that was stopped continues its run. Offline, it is a second folder of the
    same id, with the epochs that follow. With several workers, only the chief logs.

    Args:
        mode: `"offline"` writes a folder in `wandb`, for `wandb sync` later; `"online"` sends all
            to the server.
        hparams: Dict of settings by name, the run's config.
        files: Paths of files and folders to log at the end; what is not there then is left out.
        save_model: Bool, whether the model is logged, too, as `model.keras`.
        **init_arguments: Others of `wandb.init`: `project`, `name`, `group`, `tags`, `dir`,
            `settings`, ...

    Raises:
        RuntimeError: If wandb is not installed; at the first step, if it cannot begin a run.
        TypeError: If `hparams` is no dict or `files` no list.
        ValueError: If `mode` is another word.

    Example:

    ```python
    x, y = km.data.sums(num_samples=100)
    model = km.SumRegressor()
    model.compile()
    log = km.callbacks.WandB("offline", hparams={"batch_size": 32}, project="sums")
    model.fit(x, y, epochs=3, callbacks=[log])  # then: wandb sync wandb/offline-run-...
    ```
    """

    def __init__(
        self,
        mode: str = "offline",
        hparams: Mapping[str, Any] | None = None,
        files: Sequence[str | os.PathLike] = (),
        save_model: bool = True,
        **init_arguments: Any,
    ):
        arguments.check_choice("mode", mode, MODES)
        run_logger.check_package("wandb", "WandB")
        super().__init__(hparams, files, save_model)
        self.mode, self.init_arguments = mode, init_arguments
        self._run = None

    def _open_run(self, run_id):
        import wandb

        given = {"config": self.hparams, **self.init_arguments}
        if run_id is not None:
            given |= {"id": run_id, "resume": "allow"}
        try:
            self._run = wandb.init(mode=self.mode, **given)
        except wandb.Error as error:
            words = " ".join(str(error).split())
            raise run_logger.StoreError(
                "mode",
                f"`mode` must be one in which W&B can begin a run. Received: mode={self.mode!r}, "
                f"{words}",
            ) from error
        return self._run.id

    def _log_epoch(self, epoch, numbers):
        self._run.log(numbers, step=epoch)

    def _log_file(self, path):
        import wandb

        kind = "model" if path.name == run_logger.MODEL else "run-files"
        artifact = wandb.Artifact(f"{self._run.id}-{path.name}", kind)
        if path.is_dir():
            artifact.add_dir(str(path))
        else:
            artifact.add_file(str(path))
        self._run.log_artifact(artifact)

    def _close_run(self, has_ended):
        self._run.finish(exit_code=0 if has_ended else 1)
        self._run = None
