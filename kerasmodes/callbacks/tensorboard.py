"""`TensorBoard`: Keras's own, with grids of samples and the settings of a run.

Losses, metrics and the learning rates of all optimizers are Keras's part; `engine/optimizer_views`
shows it the optimizers. How a grid is drawn is in `pictures.py`.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from kerasmodes import arguments, replicas
from kerasmodes.callbacks import pictures
from kerasmodes.engine import event_files

SAMPLES, HPARAMS = "samples", "hparams"  # Folders beside Keras's "train" and "validation".


class TensorBoard(keras.callbacks.TensorBoard):
    """Writes what TensorBoard shows: Keras's curves, samples of each scale, and the settings.

    - *Scalars*, by Keras: every log of an epoch, and the learning rate of each optimizer. A metric
      that a callback adds to the logs is there if that callback stands before this one.
    - *Images*, with `num_images`: what the model makes of the same latents after each epoch, one
      picture a scale; the latents are those of `SampleGrid`.
    - *HParams*, with `hparams`: the settings, the last logs, and whether the fit has ended.
      `tensorboard --logdir runs` compares all runs in a folder.

    With several workers, only the chief writes; give it to all or to the chief alone. Under
    `Resume`, each event is there once.

    Args:
        log_dir: Folder of the events; made if missing.
        hparams: Dict of settings by name. Booleans, numbers and strings stay; `None` is left out;
            anything else is written as a string. `None` writes no settings.
        num_images: Positive int, images in a row; `None` draws none.
        seed: Int, at least 0, that fixes the latents.
        averaged: Bool, whether the averaged weights make the images, if the model has an average.
        class_names: List of the names of the classes, by label, as those of `SampleGrid`.
        **kwargs: Other arguments of `keras.callbacks.TensorBoard`.

    Raises:
        ValueError: If an argument is out of range; at the start of training, if `class_names` are
            not those of the model's `num_classes`.
        TypeError: If `hparams` is no dict; at the start of training, if images are asked for and
            the model has no `latent_dim`.

    Example:

    ```python
    gan = km.MSGGAN()
    gan.compile()
    images = km.data.images("fashion_mnist_sample", batch_size=64)
    board = km.callbacks.TensorBoard("events", hparams={"batch_size": 64}, num_images=8)
    gan.fit(images, epochs=2, callbacks=[board])
    ```
    """

    def __init__(
        self,
        log_dir: str = "logs",
        hparams: Mapping[str, Any] | None = None,
        num_images: int | None = None,
        seed: int = 0,
        averaged: bool = True,
        class_names: Sequence[str] | None = None,
        **kwargs: Any,
    ):
        arguments.check_folder("log_dir", log_dir)
        if hparams is not None and not isinstance(hparams, Mapping):
            raise TypeError(
                f"`hparams` must be a dict of settings, or None. Received: hparams={hparams!r}"
            )
        if num_images is not None:
            arguments.check_positive_integers(num_images=num_images)
        arguments.check_seed(seed)
        super().__init__(log_dir=log_dir, **kwargs)
        self.hparams, self.num_images = hparams, num_images
        self.seed, self.averaged, self.class_names = seed, averaged, class_names
        self._is_chief = True
        self._own_writers, self._last, self._has_epoch = {}, None, False

    @property
    def summary(self):
        """`tf.summary`, which Keras writes with; one that writes nothing beside the chief."""
        return super().summary if self._is_chief else _SILENT

    def set_model(self, model):
        self._is_chief = replicas.is_chief(model.distribute_strategy)
        super().set_model(model)

    def on_train_begin(self, logs=None):
        if self.num_images is not None:
            pictures.check_latents(self.model, "TensorBoard with `num_images`")
            pictures.check_class_names(self.model, self.class_names)
        super().on_train_begin(logs)
        self._own_writers, self._last, self._has_epoch = {}, None, False
        if self.hparams is not None:
            self._write_hparams()

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        self._has_epoch = True

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self._last = epoch, dict(logs or {})
        if self.num_images is not None and self._is_chief:
            self._write_samples(epoch)

    def on_train_end(self, logs=None):
        if HPARAMS in self._own_writers:
            self._write_result(has_ended=logs is not None or self._had_ended())
        self._close_own_writers()
        super().on_train_end(logs)

    def get_state(self) -> dict:
        """Returns what was counted and written, for a fit that resumes this one."""
        for writer in self._own_writers.values():
            writer.flush()
        return {"last": self._last, **event_files.get_state(self, (SAMPLES, HPARAMS))}

    def set_state(self, state: dict) -> None:
        """Continues from what `get_state` has returned: what was written since is dropped."""
        names = list(self._own_writers)
        self._close_own_writers()
        event_files.set_state(self, state, (SAMPLES, HPARAMS))
        for name in names:
            self._open(name)
        self._last = state["last"]

    def _close_own_writers(self):
        for writer in self._own_writers.values():
            writer.close()
        self._own_writers = {}

    def _had_ended(self):
        """Returns whether there was nothing left to run of a fit that was resumed."""
        if self._has_epoch or self._last is None:
            return False
        return self.model.stop_training or self._last[0] + 1 >= self.params["epochs"]

    def _open(self, name):
        """Returns the writer of a folder of its own: TensorBoard reads one file of each at once."""
        if name not in self._own_writers:
            folder = pathlib.Path(self.log_dir, name)
            self._own_writers[name] = self.summary.create_file_writer(str(folder))
        return self._own_writers[name]

    def _write_samples(self, epoch):
        scales = pictures.draw_samples(self.model, self.num_images, self.seed, self.averaged)
        height = scales[-1].shape[1]
        with self._open(SAMPLES).as_default(step=epoch):
            for scale in scales:
                # All scales get the same size: an image of 7×7 would be a speck.
                zoom = pictures.ZOOM * height // scale.shape[1]
                grid = pictures.draw_grid([scale], zoom, self.class_names)
                self.summary.image(f"samples/{scale.shape[1]}x{scale.shape[2]}", grid[None])

    def _write_hparams(self):
        from tensorboard.plugins.hparams import api

        kept = {name: value for name, value in self.hparams.items() if value is not None}
        plain = (bool, int, float, str)
        with self._open(HPARAMS).as_default():
            api.hparams(
                {n: value if isinstance(value, plain) else str(value) for n, value in kept.items()}
            )

    def _write_result(self, has_ended):
        """Writes the last logs, and whether the fit has ended: one that was stopped has no logs."""
        from tensorboard.plugins.hparams import api_pb2, summary

        epoch, logs = self._last or (0, {})
        status = api_pb2.STATUS_SUCCESS if has_ended else api_pb2.STATUS_FAILURE
        with self._open(HPARAMS).as_default(step=epoch):
            for name, value in logs.items():
                self.summary.scalar(name, value)
            event = summary.session_end_pb(status).SerializeToString()
            self.summary.experimental.write_raw_pb(event, step=epoch)


class _SilentSummary:
    """`tf.summary` whose writers write nothing."""

    def __getattr__(self, name):
        return getattr(tf.summary, name)

    def create_file_writer(self, *args, **kwargs):
        return tf.summary.create_noop_writer()


_SILENT = _SilentSummary()
