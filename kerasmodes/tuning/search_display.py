"""How far a search is: a live line on a terminal, a line for each finished trial in a file."""

import datetime
import time

import keras_tuner
import rich.console
import rich.progress
import rich.text
from keras_tuner.src.engine import oracle as oracle_module


class SearchDisplay(oracle_module.Display):
    """Shows the progress of a search, in the place of keras-tuner's tables; checked with 1.4.8.

    It is a context manager, open during the search.

    Args:
        oracle: That of the search, in this process.
        is_shown: Whether anything is shown.
    """

    def __init__(self, oracle: keras_tuner.Oracle, is_shown: bool = True):
        super().__init__(oracle)
        self.set_state(oracle._display.get_state())
        self.console = rich.console.Console()
        self.is_shown = is_shown
        self.is_live = is_shown and self.console.is_terminal
        self.began = time.monotonic()
        self.num_ended = 0  # since then
        self.progress = rich.progress.Progress(
            rich.progress.SpinnerColumn(),  # A bar would not fit into 80 characters.
            rich.progress.TextColumn("{task.description}", markup=False),
            _TimeColumn(self),
            console=self.console,
            refresh_per_second=2,
            disable=not self.is_live,
        )
        self.task = self.progress.add_task(self._describe(), total=oracle.max_trials)

    def __enter__(self):
        self.progress.start()
        self._update()
        return self

    def __exit__(self, *_):
        self._update()
        self.progress.stop()

    def on_trial_begin(self, trial):
        now = datetime.datetime.now()
        self.trial_start[trial.trial_id] = now
        self.trial_number[trial.trial_id] = len(self.oracle.trials)
        self.search_start = self.search_start or now
        self._update()

    def on_trial_end(self, trial):
        self.num_ended += 1
        self._update()
        if self.is_shown and not self.is_live:
            score = trial.status.lower()
            if trial.status == "COMPLETED":
                score = f"{self.oracle.objective.name} {trial.score:.5g}"
            print(
                f"trial {trial.trial_id}: {score}; {self._describe()}; {self.describe_time()}",
                flush=True,
            )

    def describe_time(self) -> str:
        """Returns the time since the search began, and about how much is left, if that is known."""
        elapsed = time.monotonic() - self.began
        text = _format_seconds(elapsed)
        rest = (self.oracle.max_trials or 0) - len(self.oracle.end_order)
        if self.num_ended and rest > 0:
            text += f", {_format_seconds(elapsed / self.num_ended * rest)} left"
        return text

    def _update(self):
        completed = len(self.oracle.end_order)
        self.progress.update(self.task, completed=completed, description=self._describe())

    def _describe(self):
        oracle = self.oracle
        statuses = [trial.status for trial in oracle.trials.values()]
        # Its worker removes a trial after this object is told of its end.
        num_running = [trial.status for trial in oracle.ongoing_trials.values()].count("RUNNING")
        text = f"{statuses.count('COMPLETED')} of {oracle.max_trials} done"
        text += f", {num_running} running, {statuses.count('FAILED')} failed"
        best = next(iter(oracle.get_best_trials(1)), None)
        if best is not None and best.status == "COMPLETED":
            text += f", best {oracle.objective.name} {best.score:.5g}"
        return text


class _TimeColumn(rich.progress.ProgressColumn):
    def __init__(self, display):
        super().__init__()
        self.display = display

    def render(self, task):
        return rich.text.Text(self.display.describe_time())


def _format_seconds(seconds):
    return str(datetime.timedelta(seconds=round(seconds)))
