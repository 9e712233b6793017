"""What draws the trials of a search: keras-tuner's oracles, with files that are always whole.

What runs the trials is in `tuners.py`. Checked with keras-tuner 1.4.8.
"""

import functools
import json
import pathlib
import warnings

import keras_tuner
import numpy as np
from keras_tuner.engine.hyperparameters import Int
from keras_tuner.engine.trial import TrialStatus

from kerasmodes import atomic_files
from kerasmodes.tuning import serving

LARGEST_POINT = 1 - 1e-6  # In the interval [0, 1) of keras-tuner's hyperparameters.


class _Resumable:
    """A mixin for oracles: writes are atomic, and any process repeats trials that were left.

    A process may be killed during a write.
    """

    def save(self):
        _write_state(self, self._get_oracle_fname())

    def _save_trial(self, trial):
        _write_state(trial, pathlib.Path(self._get_trial_dir(trial.trial_id)) / "trial.json")

    def reload(self):
        super().reload()
        self._put_back_unfinished_trials()

    def _put_back_unfinished_trials(self):
        """keras-tuner would leave them to processes with the ids of those that had them."""
        for name in set(self.trials) - set(self.start_order):
            # The process ended after it had written the trial, before the oracle: it is drawn
            # again.
            del self.trials[name]
        # keras-tuner reads them in the order of the file system; Bayesian search rounds by it.
        self.trials = {name: self.trials[name] for name in self.start_order}
        ended = {
            name
            for name in self.end_order
            if self.trials[name].status not in (TrialStatus.RUNNING, TrialStatus.INVALID)
        }
        # keras-tuner puts back what was running when it wrote: also trials that had just ended.
        left = set(self.trials) - ended
        for name in left:
            serving.forget_results(self.trials[name])
        self.ongoing_trials.clear()
        self._retry_queue[:] = sorted(left, reverse=True)  # The last one is next.


class Random(_Resumable, keras_tuner.oracles.RandomSearchOracle):
    """Draws at random."""


class Grid(_Resumable, keras_tuner.oracles.GridSearchOracle):
    """Draws each point of a grid."""

    def reload(self):
        super().reload()
        self._restore_order()

    def _restore_order(self):
        """Restores the order of the grid's points, which keras-tuner does not write into a file."""

        def compare(one, other):
            values = [self.trials[name].hyperparameters.values for name in (one, other)]
            return self._compare(*values)

        names = sorted(self.trials, key=functools.cmp_to_key(compare))
        for name, before in zip(names, [None, *names], strict=False):
            self._ordered_ids.insert(name, before)
        self._populate_next[:] = names


class Bayesian(_Resumable, keras_tuner.oracles.BayesianOptimizationOracle):
    """Draws within the ranges, each configuration once, as follows from the trials so far."""

    def populate_space(self, trial_id):
        # A process that resumes would begin its random numbers again.
        self._random_state = np.random.RandomState(self.seed + len(self.trials))
        with warnings.catch_warnings():
            # scikit-learn's advice on the range of a kernel, which is keras-tuner's.
            warnings.filterwarnings("ignore", "The optimal value found for dimension")
            drawn = super().populate_space(trial_id)
        if drawn["values"] is not None and self._duplicate(drawn["values"]):
            return self._random_populate_space()
        return drawn

    def _get_hp_bounds(self):
        # At 1, an `Int` without a step is 1 above its range.
        space = self._nonfixed_space()
        return np.array([[0, LARGEST_POINT if isinstance(hp, Int) else 1] for hp in space])


class Hyperband(_Resumable, keras_tuner.oracles.HyperbandOracle):
    """Draws at random, and promotes the best; without end but for the number of trials."""

    def __init__(self, max_trials, **kwargs):
        super().__init__(hyperband_iterations=None, **kwargs)
        self.max_trials = max_trials


def _write_state(stateful, path):
    with atomic_files.atomic_write(path) as temporary:
        temporary.write_text(json.dumps(stateful.get_state()))
