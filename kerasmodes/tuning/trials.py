"""What keras-tuner keeps of a search's trials: their order, hyperparameters, times and errors.

What a user is given of them is in `results.py`, `importance.py` and `pictures.py`.
"""

import datetime
import math
import pathlib
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial

from kerasmodes.tuning import folders

# A file system's clock and the program's own may differ by this many seconds.
CLOCK_TOLERANCE = 1.0
# What a search writes beside a file of each process.
NOT_TUNERS = {"oracle.json", folders.DESCRIPTION}


def list_trials(tuner: keras_tuner.Tuner) -> list[Trial]:
    """Returns all trials in the order they were started."""
    trials = tuner.oracle.trials
    started = dict.fromkeys([*tuner.oracle.start_order, *sorted(trials)])
    return [trials[name] for name in started if name in trials]


def list_scored_trials(tuner: keras_tuner.Tuner) -> list[Trial]:
    """Returns the completed trials with a finite score, in the order they were started."""
    return [trial for trial in list_trials(tuner) if is_scored(trial)]


def is_scored(trial: Trial) -> bool:
    """Returns whether a trial is completed, and its score is finite."""
    return trial.status == "COMPLETED" and math.isfinite(trial.score)


def check_completed(tuner: keras_tuner.Tuner) -> None:
    """Raises a `RuntimeError` if no trial is completed."""
    statuses = [trial.status for trial in tuner.oracle.trials.values()]
    if "COMPLETED" not in statuses:
        raise RuntimeError(f"`tuner` must have a finished trial. Received: {statuses=}")


def find_values(trial: Trial) -> dict[str, Any]:
    """Returns a trial's hyperparameters by name, without those whose condition is not met."""
    hp = trial.hyperparameters
    declared = {parameter.name for parameter in hp.space}  # Hyperband adds others to the values.
    return {
        name: value
        for name, value in hp.values.items()
        if name not in declared or hp.is_active(name)
    }


def list_names(tuner: keras_tuner.Tuner) -> list[str]:
    """Returns the hyperparameters that a trial had: those of the space first, in its order."""
    tried = [name for trial in list_trials(tuner) for name in find_values(trial)]
    names = [parameter.name for parameter in tuner.oracle.get_space().space]
    return [name for name in dict.fromkeys([*names, *tried]) if name in tried]


def list_tuned_names(tuner: keras_tuner.Tuner) -> list[str]:
    """Returns the hyperparameters that differ between scored trials; of Hyperband's, the epochs."""
    values = [find_values(trial) for trial in list_scored_trials(tuner)]
    return [
        name
        for name in list_names(tuner)
        if (not name.startswith("tuner/") or name == "tuner/epochs")
        and len({str(own.get(name)) for own in values}) > 1
    ]


def shorten_name(name: str) -> str:
    """Returns the name of a hyperparameter as it is shown: Hyperband's epochs are `epochs`."""
    return name.removeprefix("tuner/")


def find_error(trial: Trial) -> str:
    """Returns the first line of the error that ended a trial; empty if there was none."""
    if trial.score is not None and math.isnan(trial.score):
        return f"The score is {trial.score}."
    lines = (trial.message or "").splitlines()
    starts = [n for n, line in enumerate(lines) if line.startswith("Traceback (most recent")]
    # The frames of a traceback are indented; the error itself comes after them.
    after = lines[starts[-1] + 1 :] if starts else lines
    error = next((line for line in after if line.strip() and line[0] != " "), "")
    name, colon, text = error.partition(": ")
    return f"{name.rpartition('.')[2]}{colon}{text}" if starts else error


def find_times(tuner: keras_tuner.Tuner) -> dict[str, tuple[float, float]]:
    """Returns when trials began and ended, by trial id, in seconds after the first began.

    `km.tuning.search` keeps the beginnings; keras-tuner alone does if `verbose` is not 0. A trial's
    file is written for the last time when the trial ends. The files of a folder that was copied
    are younger than that: if a search in one process has a trial whose file is younger than the
    beginning of the next, no time is known.

    Args:
        tuner: A keras-tuner tuner.

    Returns:
        A dict from trial ids to (begin, end); without trials that run or whose times are unknown.
    """
    kept = tuner.oracle.get_state().get("display", {}).get("trial_start", {})
    starts = {n: datetime.datetime.fromisoformat(text).timestamp() for n, text in kept.items()}
    folder = pathlib.Path(tuner.project_dir)
    has_one_process = len({path.name for path in folder.glob("*.json")} - NOT_TUNERS) < 2
    times = {}
    for trial in list_trials(tuner):
        path = folder / f"trial_{trial.trial_id}" / "trial.json"
        start = starts.get(trial.trial_id)
        if start is None or trial.status not in ("COMPLETED", "FAILED") or not path.exists():
            continue
        end = path.stat().st_mtime
        following = min((s for s in starts.values() if s > start), default=math.inf)
        if end < start - CLOCK_TOLERANCE or (has_one_process and end > following + CLOCK_TOLERANCE):
            return {}
        times[trial.trial_id] = (start, max(start, end))
    origin = min(starts.values(), default=0.0)
    return {name: (start - origin, end - origin) for name, (start, end) in times.items()}
