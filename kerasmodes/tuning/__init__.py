"""`km.tuning`: both models' search spaces for keras-tuner, and one call that runs a whole search.

How a model trains is not here (`models/`, `model.py`), nor is a search in several processes.
"""

import inspect
import pathlib
import tempfile

import keras
import keras_tuner
import numpy as np
import rich.box
import rich.table
import tensorflow as tf
from keras_tuner.errors import FailedTrialError, FatalTypeError, FatalValueError

from kerasmodes import arguments
from kerasmodes.engine import datasets
from kerasmodes.models import MSGGAN, SumRegressor
from kerasmodes.models.msg_gan import penalties, presets

TUNERS = {
    "random": keras_tuner.RandomSearch,
    "hyperband": keras_tuner.Hyperband,
    "bayesian": keras_tuner.BayesianOptimization,
}


class _BatchSizeHyperModel(keras_tuner.HyperModel):
    """Tunes `batch_size` in `fit`. Wrong data end the search; divergence fails the trial alone."""

    batch_sizes = ()
    _data = None, None  # The data set of the search, and where it stood.

    def declare_hyperparameters(self, hp):
        hp.Choice("batch_size", self.batch_sizes)  # Else the first trial would not draw it.

    def fit(self, hp, model, *args, **kwargs):
        batch_size = hp.Choice("batch_size", self.batch_sizes)
        try:
            # Keras's own signature: a model's `fit` may take anything and hand it on.
            arguments = inspect.signature(keras.Model().fit).bind(*args, **kwargs).arguments
            batched = _with_batch_size(arguments, batch_size)
            if isinstance(arguments["x"], tf.data.Dataset):
                self._begin_at_epoch(arguments["x"], batched)
            history = model.fit(**batched)
        except ValueError as error:
            raise FatalValueError(str(error)) from error
        except TypeError as error:
            raise FatalTypeError(str(error)) from error
        if all(name.startswith("val_") for name in history.history):
            raise FailedTrialError(f"The data set has fewer examples than {batch_size=}.")
        for name, values in history.history.items():
            if not np.isfinite(values).any():  # keras-tuner fails on NaN, but scores infinity.
                raise FailedTrialError(f"Training diverged: {name}={values[-1]}.")
        return history

    def _begin_at_epoch(self, dataset, arguments):
        """Gives each trial the same orders, epoch by epoch, one that Hyperband promotes too."""
        if self._data[0] is not dataset:
            try:
                self._data = dataset, datasets.DataStart(dataset)
            except ValueError:  # It draws its own numbers: no epoch has an order to go back to.
                self._data = dataset, None
        start = self._data[1]
        if start is not None:
            batched = arguments["x"]
            start.restore(dataset)
            datasets.skip_epochs(
                batched, arguments.get("initial_epoch", 0), datasets.count_batches(batched)
            )


def _with_batch_size(arguments, batch_size):
    if arguments.get("batch_size") is not None:
        raise ValueError(
            "`batch_size` must be left to the tuner; to fix it, give the tuner hyperparameters "
            f"with Fixed('batch_size', ...). Received: batch_size={arguments['batch_size']!r}"
        )
    x = arguments.get("x")
    if isinstance(x, tf.data.Dataset):
        batches = x.rebatch(batch_size, drop_remainder=True)
        count = int(x.unbatch().cardinality())
        if count >= 0:  # `rebatch` forgets the length, and Keras warns when such a data set ends.
            batches = batches.apply(tf.data.experimental.assert_cardinality(count // batch_size))
        return {"shuffle": False, **arguments, "x": batches}  # Keras warns of shuffle=True, too.
    if not hasattr(x, "shape"):
        raise TypeError(f"`x` must be an array or tf.data.Dataset. Received: x={type(x).__name__}")
    return {**arguments, "batch_size": batch_size}


class SumRegressorHyperModel(_BatchSizeHyperModel):
    """Search space of `km.SumRegressor`: hidden layers, optimizer, learning rate, batch size.

    Args:
        num_features: Positive int, the width of `x`.
        mode, loss: As in the model's `compile`.

    Example:

    ```python
    hypermodel = km.tuning.SumRegressorHyperModel(num_features=5, mode="fused")
    tuner = keras_tuner.RandomSearch(hypermodel, "val_loss", max_trials=3, directory="sum")
    tuner.search(*km.data.sums(1_000, 5), epochs=2, validation_split=0.1)
    ```
    """

    batch_sizes = (1, 8, 32, 128)

    def __init__(self, num_features=20, mode=None, loss="mean_squared_error"):
        super().__init__()
        self.num_features = num_features
        self.mode = mode
        self.loss = loss

    def build(self, hp):
        hp.Int("hidden_layers", 1, 3)
        units = []
        for layer in (1, 2, 3):
            with hp.conditional_scope("hidden_layers", list(range(layer, 4))):
                units.append(hp.Int(f"units_{layer}", 8, 64, step=8))  # None if out of scope.
        optimizer = keras.optimizers.get(hp.Choice("optimizer", ["adam", "rmsprop", "sgd"]))
        optimizer.learning_rate = hp.Float("learning_rate", 1e-4, 3e-2, sampling="log")
        model = SumRegressor([width for width in units if width])
        model.compile(optimizer, loss=self.loss, mode=self.mode)
        # Keras restores the state of built optimizers only.
        model.build((None, self.num_features))
        optimizer.build(model.trainable_variables)
        return model


class MSGGANHyperModel(_BatchSizeHyperModel):
    """Search space of `km.MSGGAN`: latents, widths, both Adam optimizers, R1, batch size.

    `fit` takes an array of images or a `tf.data.Dataset` of batches, which is batched anew.

    Args:
        image_shape, num_scales: As in `km.MSGGAN`.
        mode: As in the model's `compile`.

    Example:

    ```python
    objective = keras_tuner.Objective("g_loss", "min")
    hypermodel = km.tuning.MSGGANHyperModel()
    tuner = keras_tuner.RandomSearch(hypermodel, objective, max_trials=2, directory="gan")
    tuner.search(km.data.images("fashion_mnist_sample", split="train[:128]"), epochs=1)
    ```
    """

    batch_sizes = (32, 64, 128)

    def __init__(self, image_shape=(28, 28, 1), num_scales=3, mode=None):
        super().__init__()
        self.image_shape = image_shape
        self.num_scales = num_scales
        self.mode = mode

    def build(self, hp):
        preset = presets.Default(
            generator_filters=hp.Choice("generator_filters", [32, 64, 128]),
            discriminator_filters=hp.Choice("discriminator_filters", [32, 64, 128]),
        )
        latent_dim = hp.Choice("latent_dim", [32, 64, 100])
        gan = MSGGAN(self.image_shape, self.num_scales, latent_dim, preset=preset)
        penalty = penalties.R1(hp.Float("gamma", 0.1, 10.0, sampling="log"), every=4)
        beta_1 = hp.Choice("beta_1", [0.0, 0.5, 0.9])
        optimizers = {}
        for name in ("generator", "discriminator"):
            rate = hp.Float(f"{name}_learning_rate", 1e-4, 4e-3, sampling="log")
            optimizers[f"{name}_optimizer"] = keras.optimizers.Adam(rate, beta_1=beta_1)
        gan.compile(**optimizers, penalties=penalty, mode=self.mode)
        return gan


def search(
    hypermodel,
    tuner="random",
    objective="val_loss",
    max_trials=10,
    epochs=8,
    directory="tuning",
    seed=None,
    **fit_arguments,
):
    """Runs a search, or goes on with the one that `directory` holds, and returns its tuner.

    Args:
        hypermodel: A `keras_tuner.HyperModel`, or a function that makes a model of hyperparameters.
        tuner: `"random"`, `"hyperband"` (Li et al. 2018, arXiv 1603.06560: short trials, the best
            promoted to longer ones, which count as new trials; the first promotion is after 5
            trials when `epochs` is 8) or `"bayesian"` (a third of the trials is random).
        objective: A log whose direction Keras knows, or a `keras_tuner.Objective`.
        max_trials: Trials in all; fewer only if the search space has no more.
        epochs: Epochs of a trial; of Hyperband's longest trials.
        directory: Folder of the search; each kind of tuner has its own in it.
        seed: Int, at least 0, set by `keras.utils.set_random_seed` before each trial, or `None`.
        **fit_arguments: Passed to the model's `fit`: `x`, `y`, `validation_data`, `verbose`...

    Raises:
        ValueError: If an argument is out of range, not that of the search in `directory`, refused
            by `fit`, or an objective that is not in the logs.
        RuntimeError: If all trials, or 10 in a row, fail. Fewer do not end the search.

    Example:

    ```python
    x, y = km.data.sums(1_000)
    hypermodel = km.tuning.SumRegressorHyperModel(mode="fused")
    tuner = km.tuning.search(hypermodel, "hyperband", x=x, y=y, validation_split=0.1)
    ```
    """
    _check_arguments(tuner, max_trials, epochs, seed)
    options = {
        "hyperband": {"max_epochs": epochs, "hyperband_iterations": None},  # None: without end.
        # keras-tuner's three a hyperparameter would leave a short search wholly random.
        "bayesian": {"num_initial_points": max(2, max_trials // 3)},
    }.get(tuner, {})
    asked = {"hypermodel": type(hypermodel).__name__, "epochs": epochs, "seed": seed}
    asked["objective"] = keras.tree.map_structure(str, objective)
    trials = type(TUNERS[tuner].__name__, (_Trials, TUNERS[tuner]), {"asked": asked})(
        hypermodel,
        objective=objective,
        seed=None if seed is None else seed + 1,  # keras-tuner takes 0 for None.
        max_consecutive_failed_trials=min(max_trials, 10),  # 3, its default, are soon bad luck.
        directory=directory,
        project_name=tuner,
        **options,
    )
    trials.oracle.max_trials = max_trials  # All oracles obey it; Hyperband's does not take it.
    trials.search(epochs=epochs, **fit_arguments)
    return trials


def _check_arguments(tuner, max_trials, epochs, seed):
    if tuner not in TUNERS:
        names = ", ".join(repr(name) for name in TUNERS)
        raise ValueError(f"`tuner` must be one of {names}. Received: tuner={tuner!r}")
    arguments.check_positive_integers(max_trials=max_trials, epochs=epochs)
    if seed is not None and not arguments.is_integer(seed, 0):
        raise ValueError(f"`seed` must be a non-negative integer or None. Received: seed={seed!r}")


class _Trials:
    """What `search` adds to a tuner: seeded trials, and errors that name the wrong argument."""

    def run_trial(self, trial, *args, **kwargs):
        if self.asked["seed"] is not None:
            keras.utils.set_random_seed(self.asked["seed"])
        results = super().run_trial(trial, *args, **kwargs)
        for logs in (result.history for result in results if hasattr(result, "history")):
            if not self.oracle.objective.has_value(logs):
                objective, found = self.oracle.objective.name, ", ".join(logs)
                raise FatalValueError(f"`objective` must be one of {found}. Received: {objective=}")
        return results

    def get_state(self):
        return self.asked

    def set_state(self, state):
        if state != self.asked:
            raise ValueError(
                f"Arguments must be {state} in this `directory`. Received: {self.asked}"
            )


def best_trials_table(tuner, num_trials=10):
    """Returns a `rich.table.Table` of the best trials, best first: scores and hyperparameters.

    Args:
        tuner: A keras-tuner tuner after its search.
        num_trials: Rows at most; failed trials are last, if there is room.

    Example: `rich.print(km.tuning.best_trials_table(tuner))`, after that of `search`.
    """
    trials = tuner.oracle.get_best_trials(num_trials)
    tried = {name for trial in trials for name in trial.hyperparameters.values}
    names = [hp.name for hp in tuner.oracle.get_space().space] + ["tuner/epochs"]
    names = [name for name in dict.fromkeys(names) if name in tried]
    table = rich.table.Table(title="Best trials", box=rich.box.SIMPLE_HEAD, padding=0)
    for name in ("trial", tuner.oracle.objective.name, *names):
        heading = name.removeprefix("tuner/").replace("_", "_\n")  # Ten must fit 80 characters.
        table.add_column(heading, justify="right", overflow="fold")
    for trial in trials:
        score = f"{trial.score:.5g}" if trial.status == "COMPLETED" else trial.status.lower()
        values = [trial.hyperparameters.values.get(name, "-") for name in names]
        cells = [f"{v:.3g}" if isinstance(v, float) else str(v) for v in values]
        table.add_row(trial.trial_id, score, *cells)
    return table


def save_best_model(tuner, path):
    """Saves the best trial's model, of its best epoch, as `.keras` file, whole or not at all.

    keras-tuner restores the state of optimizers only if `HyperModel.build` builds them, as here.

    Args:
        tuner: A keras-tuner tuner after its search.
        path: Path that ends in `.keras`; its folder is made if missing.

    Raises:
        ValueError: If the path ends otherwise.
        RuntimeError: If no trial is finished.

    Example: `km.tuning.save_best_model(tuner, "best.keras")`, after that of `search`.
    """
    path = pathlib.Path(path)
    if path.suffix != ".keras":
        raise ValueError(f"`path` must end in .keras. Received: path={str(path)!r}")
    statuses = [trial.status for trial in tuner.oracle.trials.values()]
    if "COMPLETED" not in statuses:
        raise RuntimeError(f"`tuner` must have a finished trial. Received: {statuses=}")
    model = tuner.get_best_models(1)[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=path.parent) as folder:
        model.save(f"{folder}/whole.keras")
        pathlib.Path(folder, "whole.keras").replace(path)
