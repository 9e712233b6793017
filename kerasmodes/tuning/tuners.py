"""`search`: one call that runs a search, or resumes it, with one of keras-tuner's oracles.

Search spaces are in `sum_regressor.py` and `msg_gan.py`; what draws the trials, in `oracles.py`;
what a finished search gives, in `results.py`.
"""

import inspect
import json
import os
import pathlib
import tempfile
import traceback
from collections.abc import Callable
from typing import Any

import keras
import keras_tuner
import tensorflow as tf
from keras_tuner.errors import FatalValueError
from keras_tuner.src.engine import tuner as tuner_module

from kerasmodes import arguments
from kerasmodes.engine import modes_mixin, written_places
from kerasmodes.tuning import (
    folders,
    last_epochs,
    oracles,
    rehearsal,
    results,
    search_arguments,
    serving,
    shared_search,
    trial_batches,
    workers,
)
from kerasmodes.tuning.checked_hypermodel import CheckedHyperModel


class _Tuner(shared_search.SharedSearch, keras_tuner.Tuner):
    """Runs the trials of a search: seeded, with their errors in a file.

    Args:
        seed_of_trials: Int that is set before each trial, or `None`.
        worker_timeout: Seconds of silence after which the chief gives up a worker.
    """

    def __init__(self, *args, seed_of_trials, worker_timeout, **kwargs):
        super().__init__(*args, **kwargs)
        self._seed_of_trials = seed_of_trials
        self._worker_timeout = worker_timeout

    def run_trial(self, trial, *args, **kwargs):
        if self._seed_of_trials is not None:
            keras.utils.set_random_seed(self._seed_of_trials)
        if not self.hypermodel.has_own_results:
            check = _ObjectiveCheck(self.oracle.objective)
            kwargs["callbacks"] = [*kwargs["callbacks"], check]
        try:
            return super().run_trial(trial, *args, **kwargs)
        except Exception:
            path = self._find_folder(trial.trial_id) / serving.TRACEBACK
            path.write_text(traceback.format_exc())
            raise

    def _build_and_fit_model(self, trial, *args, **kwargs):
        # Here callbacks are copies already, and those that are added know the data of the trial.
        batches = trial_batches.TrialBatches(kwargs)
        kwargs["callbacks"] = self._frame_callbacks(trial, kwargs["callbacks"], batches)
        return super()._build_and_fit_model(trial, *args, **{**kwargs, **batches.copies})

    def _frame_callbacks(self, trial, callbacks, batches):
        """Returns the callbacks of a trial with those that come before and after them."""
        return callbacks

    def rehearse_promotion(
        self,
        trained: keras.Model,
        untrained: keras.Model,
        batches: trial_batches.TrialBatches,
    ) -> None:
        """Raises if a trial could not continue where another ended; for those that promote.

        Args:
            trained: A model that has trained.
            untrained: One like it.
            batches: What it was trained with.
        """

    def _find_folder(self, trial_id):
        return pathlib.Path(self.get_trial_dir(trial_id))

    def _override_compile_args(self, model):
        given = {"optimizer": self.optimizer, "loss": self.loss, "metrics": self.metrics}
        given = {name: value for name, value in given.items() if value is not None}
        if not given:
            return
        if isinstance(self.optimizer, keras.optimizers.Optimizer):
            given["optimizer"] = type(self.optimizer).from_config(self.optimizer.get_config())
        if model.compiled:  # As keras-tuner does, which leaves out how steps run.
            metrics = self._filter_metrics(model.metrics)
            known = {"optimizer": model.optimizer, "loss": model.loss, "metrics": metrics}
            given = {**known, **_find_mode(model), **given}
        with tuner_module.maybe_distribute(self.distribution_strategy):
            model.compile(**given)

    def load_model(self, trial):
        return results.load_with_optimizers(super().load_model, self, trial)

    def _configure_tensorboard_dir(self, callbacks, trial, execution=0):
        super()._configure_tensorboard_dir(callbacks, trial, execution)
        folder = pathlib.Path(f"trial_{trial.trial_id}")
        if self.executions_per_trial > 1:
            folder /= f"execution_{execution}"
        for callback in callbacks:
            if type(callback).__name__ != "TensorBoard":  # keras-tuner has separated it.
                written_places.separate(callback, folder)


def _find_mode(model):
    """Returns the arguments with which `compile` lets steps of a model run as they do."""
    if not isinstance(model, modes_mixin.ModesMixin):
        return {}
    if model.given_mode == model.mode:
        settings = {"mode": model.mode}
    else:  # None was given, or flags were set later.
        settings = {"run_eagerly": model.run_eagerly, "jit_compile": model.jit_compile}
    if model.has_asked_steps:
        settings["steps_per_execution"] = model.steps_per_execution
    return {**settings, "gradient_dtype": model.gradient_dtype}


class _ObjectiveCheck(keras.callbacks.Callback):
    """Ends a search whose objective is not in the logs of its first epoch."""

    def __init__(self, objective):
        super().__init__()
        self.objective = objective

    def on_epoch_end(self, epoch, logs=None):
        missing, words = search_arguments.find_missing_log(self.objective, logs or {})
        if logs and missing is not None:
            raise FatalValueError(words)


class _HyperbandTuner(_Tuner):
    """Runs the trials of Hyperband: those promoted continue exactly where the one before ended."""

    def run_trial(self, trial, *args, **kwargs):
        values = trial.hyperparameters.values
        kwargs["epochs"] = values["tuner/epochs"]
        kwargs["initial_epoch"] = values["tuner/initial_epoch"]
        return super().run_trial(trial, *args, **kwargs)

    def _frame_callbacks(self, trial, callbacks, batches):
        values = trial.hyperparameters.values
        last = last_epochs.SaveLastEpoch(self._find_folder(trial.trial_id), batches)
        promoted = values.get("tuner/trial_id")
        if promoted is None:
            return [*callbacks, last]
        first = last_epochs.ContinueLastEpoch(
            self._find_folder(promoted), batches, values["tuner/initial_epoch"]
        )
        return [first, *callbacks, last]

    def _build_hypermodel(self, hp):
        model = super()._build_hypermodel(hp)
        promoted = hp.values.get("tuner/trial_id")
        if promoted is not None:
            path = pathlib.Path(self._get_build_config_fname(promoted))
            build_config = json.loads(path.read_text())
            last_epochs.restore_last_epoch(model, self._find_folder(promoted), build_config)
        return model

    def rehearse_promotion(self, trained, untrained, batches):
        batches.find_changes()
        with tempfile.TemporaryDirectory() as folder:
            last_epochs.save_last_epoch(trained, pathlib.Path(folder))
            build_config = trained.get_build_config()
            last_epochs.restore_last_epoch(untrained, pathlib.Path(folder), build_config)


# What runs the trials, and what draws them.
TUNERS = {
    "random": (_Tuner, oracles.Random),
    "grid": (_Tuner, oracles.Grid),
    "hyperband": (_HyperbandTuner, oracles.Hyperband),
    "bayesian": (_Tuner, oracles.Bayesian),
}


def search(
    hypermodel: keras_tuner.HyperModel | Callable,
    tuner: str = "random",
    objective: str | keras_tuner.Objective | None = None,
    max_trials: int = 10,
    epochs: int = 8,
    directory: str | os.PathLike = "tuning",
    seed: int | None = None,
    *,
    optimizer: str | keras.optimizers.Optimizer | None = None,
    loss: Any = None,
    metrics: list | None = None,
    max_model_size: int | None = None,
    hyperparameters: keras_tuner.HyperParameters | None = None,
    tune_new_entries: bool = True,
    executions_per_trial: int = 1,
    max_retries_per_trial: int = 0,
    max_consecutive_failed_trials: int = 3,
    distribution_strategy: tf.distribute.Strategy | None = None,
    worker_timeout: float = 300,
    overwrite: bool = False,
    repair: bool = False,
    **fit_arguments: Any,
) -> keras_tuner.Tuner:
    """Runs a search, or resumes the one in `directory`, and returns its tuner.

    Before the first trial, one step of training shows whether data and arguments fit the model.
    In a process of `launch_workers`, or with keras-tuner's environment variables, it takes part in
    a search of several processes: in a worker it returns a tuner that knows no trials.
    A trial fails alone if its `fit` raises an error, or if a number in its history or its weights
    is not finite; `traceback.txt` in its folder tells why.

    Args:
        hypermodel: A `keras_tuner.HyperModel`, or a function that makes a model of hyperparameters.
        tuner: `"random"`, `"grid"`, `"hyperband"` (Li et al. 2018, arXiv 1603.06560: short trials,
            the best promoted to longer ones, which count as new trials and continue exactly; the
            first promotion is after 5 trials when `epochs` is 8) or `"bayesian"` (a third of the
            trials is random).
        objective: A log whose direction Keras or this package knows, or a `keras_tuner.Objective`.
            `None` is that of the hypermodel (`val_frechet` of `MSGGANHyperModel`), or `"val_loss"`.
        max_trials: Positive int, trials in all; fewer only if the search space has no more.
        epochs: Positive int, epochs of a trial; with Hyperband, of its longest trials.
        directory: Folder of the search; each kind of tuner has its own in it. A search that is
            there is resumed, with more trials if asked; trials of other `epochs` do not compare.
        seed: Int, at least 0, set by `keras.utils.set_random_seed` before each trial, or `None`.
        optimizer, loss, metrics: As in `compile`, in the place of those that the model was compiled
            with. A model that was not is compiled with them. Its mode stays.
        max_model_size: Positive int; a trial whose model has more parameters fails.
        hyperparameters: Hyperparameters that replace those of the same names in the space.
        tune_new_entries: Whether those of the space that are not among `hyperparameters` vary.
        executions_per_trial: Positive int, fits of each configuration; their mean counts.
        max_retries_per_trial: Int, at least 0: how often a trial with an error runs again.
        max_consecutive_failed_trials: Positive int; so many failures in a row end the search.
        distribution_strategy: A `tf.distribute` strategy on which each trial trains.
        worker_timeout: Positive number, for a chief: seconds after which a silent worker counts as
            gone. Its trial is given to another; if no worker is left, the search ends.
        overwrite: Whether a search that is in `directory` is deleted first.
        repair: Whether damaged files of a search are set aside. A trial without its file counts as
            failed.
        **fit_arguments: Passed to the model's `fit`: `x`, `y`, `validation_data`, `callbacks`...
            `verbose=2` shows each epoch beside the progress of the search, 0 shows nothing. For the
            hypermodels of this package, `x` may be a function of `batch_size` that returns a data
            set. Each trial has a copy of a `keras.utils.PyDataset`; for Hyperband, what it changes
            must be numbers, text, arrays or random generators. Each trial has copies of the
            callbacks; those of Keras and of this package that write files write into folders
            `trial_0`, ... where they would write.

    Returns:
        A `keras_tuner.Tuner`, after its search.

    Raises:
        ValueError: If an argument is out of range or unknown, differs from that of the search in
            `directory`, or is refused by `fit`; if the objective is not in the logs; if a file of
            the search is damaged.
        RuntimeError: If all trials, or `max_consecutive_failed_trials` in a row, fail; in a chief,
            if all workers are gone.

    Example:

    ```python
    x, y = km.data.sums(1_000)
    hypermodel = km.tuning.SumRegressorHyperModel(mode="fused")
    tuner = km.tuning.search(hypermodel, "hyperband", x=x, y=y, validation_split=0.1)
    ```
    """
    arguments.check_choice("tuner", tuner, TUNERS)
    arguments.check_positive_integers(
        max_trials=max_trials,
        epochs=epochs,
        executions_per_trial=executions_per_trial,
        max_consecutive_failed_trials=max_consecutive_failed_trials,
    )
    if max_model_size is not None:
        arguments.check_positive_integers(max_model_size=max_model_size)
    arguments.check_integers(0, max_retries_per_trial=max_retries_per_trial)
    arguments.check_positive_numbers(worker_timeout=worker_timeout)
    arguments.check_seed(seed, can_be_none=True)
    arguments.check_folder("directory", directory)
    own_names = inspect.signature(search).parameters
    search_arguments.check_fit_arguments(hypermodel, fit_arguments, own_names)
    search_arguments.check_batches(fit_arguments, continues=tuner == "hyperband")
    objective = search_arguments.resolve_objective(objective, hypermodel)
    fit_arguments["callbacks"] = list(fit_arguments.get("callbacks") or ())
    if hyperparameters is not None:  # keras-tuner adds to them.
        hyperparameters = hyperparameters.copy()
    given = [] if hyperparameters is None else [one.name for one in hyperparameters.space]
    description = folders.describe_search(
        hypermodel,
        fit_arguments,
        objective=keras.tree.map_structure(str, objective),
        epochs=epochs,
        seed=seed,
        executions_per_trial=executions_per_trial,
        hyperparameters=hyperparameters,
        optimizer=optimizer,
        loss=loss,
        metrics=metrics,
    )
    is_new = False
    if workers.find_role() != "worker":  # The folder is the chief's, who checks it.
        is_new = folders.prepare_folder(
            pathlib.Path(directory) / tuner, description, overwrite, repair
        )
    if not isinstance(hypermodel, CheckedHyperModel):
        hypermodel = CheckedHyperModel(hypermodel)
    make_tuner, make_oracle = TUNERS[tuner]
    oracle = make_oracle(
        objective=objective,
        max_trials=max_trials,
        seed=None if seed is None else seed + 1,  # keras-tuner takes 0 for None.
        hyperparameters=hyperparameters,
        tune_new_entries=tune_new_entries,
        max_retries_per_trial=max_retries_per_trial,
        max_consecutive_failed_trials=min(max_trials, max_consecutive_failed_trials),
        **_list_options(tuner, max_trials, epochs),
    )
    found = make_tuner(
        oracle,
        hypermodel,
        seed_of_trials=seed,
        worker_timeout=worker_timeout,
        optimizer=optimizer,
        loss=loss,
        metrics=metrics,
        max_model_size=max_model_size,
        executions_per_trial=executions_per_trial,
        distribution_strategy=distribution_strategy,
        directory=directory,
        project_name=tuner,
    )
    if is_new:
        rehearsal.rehearse(found, fit_arguments, bool(fit_arguments["callbacks"]), given)
    found.search(epochs=epochs, **fit_arguments)
    return found


def _list_options(tuner, max_trials, epochs):
    """Returns what one kind of oracle takes beside what all take."""
    return {
        "hyperband": {"max_epochs": epochs},
        # keras-tuner's three for each hyperparameter would leave a short search all random.
        "bayesian": {"num_initial_points": max(2, max_trials // 3)},
    }.get(tuner, {})
