"""`config.yaml` of a search's best trial, with which `kerasmodes train` trains that model again.

Its numbers are those of the trial where both train on one device with as many threads.
"""

import pathlib
from typing import Any

import jsonargparse
import keras_tuner
from keras_tuner.engine.trial import Trial

from kerasmodes import models
from kerasmodes.cli import compile_flags, run_folders, training
from kerasmodes.cli.flags import pick
from kerasmodes.models.msg_gan import losses, penalties, presets


def write_config(tuner: keras_tuner.Tuner, name: str, flags: jsonargparse.Namespace) -> None:
    """Writes `config.yaml` of the best trial into the folder of the search.

    Args:
        tuner: The tuner after its search.
        name: Name of the model, `"sum"` or `"msggan"`.
        flags: The flags of the search.
    """
    train, describe = COMMANDS[name]
    trial = tuner.oracle.get_best_trials(1)[0]
    values = trial.hyperparameters.values
    found = {
        "strategy": "single",
        "seed": flags.seed,
        "mode": flags.mode,
        "batch_size": values["batch_size"],
        "epochs": values.get("tuner/epochs", flags.epochs),
        **describe(flags, tuner.hypermodel.build(trial.hyperparameters)),
    }
    parser = jsonargparse.ArgumentParser()
    train(parser)
    settings = parser.get_defaults()
    for flag, value in found.items():
        if flag not in settings:
            raise KeyError(f"`kerasmodes train {name}` has no flag {flag!r}")
        settings[flag] = value
    run_folders.write_config(pathlib.Path(flags.directory), settings, _describe_trial(tuner, trial))


def _describe_sum(flags: jsonargparse.Namespace, model: models.SumRegressor) -> dict[str, Any]:
    """Returns the flags of `train sum` for a model of the search."""
    return {
        **pick(flags, ("num_samples", "num_features", "loss")),
        "units": list(model.units),
        **_describe_optimizers(model, "optimizer"),
    }


def _describe_msggan(flags: jsonargparse.Namespace, gan: models.MSGGAN) -> dict[str, Any]:
    """Returns the flags of `train msggan` for a model of the search."""
    names = {cls: name for name, cls in presets.PRESETS.items()}
    return {
        **pick(flags, ("data", "split", "data_dir", "idx_dir", "num_images", "test_split")),
        "metrics_every": flags.every,
        "image_shape": list(gan.image_shape),
        "num_scales": gan.num_scales,
        "latent_dim": gan.latent_dim,
        "preset": names[type(gan.preset)],
        **gan.preset.get_config(),
        "loss": _find_name(gan.adversarial_loss, losses.LOSSES),
        **_describe_optimizers(gan, "generator_optimizer", "discriminator_optimizer"),
        **_describe_penalty(gan.penalties),
    }


def _describe_penalty(found):
    """Returns the flags of what the search has tried: one penalty, or none."""
    if not found:
        return {"penalties": None}
    (penalty,) = found
    name = _find_name(penalty, penalties.PENALTIES)
    gamma, steps = _describe_fall(penalty.get_config()["gamma"])
    return {
        "penalties": name,
        "penalty_gamma": gamma,
        "penalty_gamma_decay_steps": steps,
        "penalty_every": penalty.every,
    }


def _describe_optimizers(model, *names):
    """Returns the flags of a model's optimizers, without settings that are Keras's defaults."""
    flags = {}
    for name in names:
        optimizer = getattr(model, name)
        defaults = type(optimizer)(name=optimizer.name).get_config()
        config = optimizer.get_config()
        rate, steps = _describe_fall(config.pop("learning_rate"))
        config = {name: value for name, value in config.items() if value != defaults[name]}
        flags[name] = {"class_name": type(optimizer).__name__, "config": config}
        flags[compile_flags.name_rate(name)] = rate
        flags["learning_rate_decay_steps"] = steps  # The search has one for all.
    return flags


def _describe_fall(value):
    """Returns the first value of a saved schedule, and the steps to its half; or a constant."""
    if not isinstance(value, dict):
        return value, None
    return value["config"]["initial_learning_rate"], value["config"]["decay_steps"]


def _find_name(made, classes):
    return next(name for name, cls in classes.items() if type(made) is cls)


# The command that repeats a trial, and what describes the trial's model by its flags.
COMMANDS = {
    "sum": (training.train_sum, _describe_sum),
    "msggan": (training.train_msggan, _describe_msggan),
}


def _describe_trial(tuner: keras_tuner.Tuner, trial: Trial) -> str:
    first = trial.hyperparameters.values.get("tuner/initial_epoch", 0)
    text = f"Trial {trial.trial_id} of a search: {tuner.oracle.objective.name} {trial.score:.5g}"
    if tuner.executions_per_trial > 1:
        return f"{text}, the mean of {tuner.executions_per_trial} runs; this is the first of them."
    return f"{text}, in epoch {first + trial.best_step + 1}, whose model is best.keras."
