"""Runs on several replicas, in a process of their own where TensorFlow has started without them.

TensorFlow makes logical devices of a CPU only before it starts.
"""

import contextlib
import multiprocessing
import os
import traceback
from typing import Any

import tensorflow as tf

from kerasmodes import atomic_files, strategies
from kerasmodes.verifying import recipes
from kerasmodes.verifying.runs import Record, Run, Way

# Tells the process, which reads the program of the user first, to make its devices when it imports
# this.
NUM_DEVICES = "KERASMODES_NUM_CPU_DEVICES"
GUARD = (
    "If km.verify is called in a script, put the call under `if __name__ == '__main__':`: the "
    "process reads the script, too."
)


def has_devices(num_replicas: int) -> bool:
    """Returns whether the CPU of this process is that many logical devices already."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    return len(tf.config.get_logical_device_configuration(cpu) or ()) >= num_replicas


class Replicas:
    """Runs steps of a recipe on several replicas, while open as a context.

    Args:
        recipe: A `recipes.Recipe`.
        num_replicas: Int, at least 2.

    Raises:
        ValueError: If the recipe cannot be sent to another process, where one is needed.
    """

    def __init__(self, recipe: recipes.Recipe, num_replicas: int) -> None:
        self._recipe, self._num_replicas = recipe, num_replicas
        self._process = self._pipe = None

    def __enter__(self):
        if not has_devices(self._num_replicas):
            with contextlib.ExitStack() as stack:
                folder = stack.enter_context(atomic_files.temporary_folder())
                self._start(self._recipe.ship(folder))
                self._files = stack.pop_all()
        return self

    def __exit__(self, *exception):
        if self._process is None:
            return
        self._pipe.close()
        self._process.join(timeout=0 if exception[0] else None)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()
        self._files.close()

    def run(self, way: Way, start: list | None, steps: int) -> Record:
        """Returns the record of the first steps of a run.

        Args:
            way: How they run.
            start: Values of the variables at the start, as for `Run`.
            steps: How many.

        Raises:
            RuntimeError: If the process has ended.
        """
        if self._process is None:
            return run_request(self._recipe, way, start, steps)
        try:
            self._pipe.send((way, start, steps))
            answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            self._process.join()
            raise RuntimeError(
                "The process of the replicas has ended before it answered, with exit status "
                f"{self._process.exitcode}. {GUARD}"
            ) from error
        return answer

    def _start(self, shipped):
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_answer, args=(theirs, shipped, self._num_replicas), daemon=True
        )
        os.environ[NUM_DEVICES] = str(self._num_replicas)
        try:
            self._process.start()
        finally:
            del os.environ[NUM_DEVICES]
        theirs.close()


def run_request(recipe: recipes.Recipe, way: Way, start: list | None, steps: int) -> Record:
    """Returns the record of a run; what making the model raises is its error."""
    try:
        return Run(recipe, way, start).train(0, steps)
    except Exception as failure:  # It belongs into the report.
        return Record(way, error=f"{type(failure).__name__}: {failure}")


def _answer(pipe: Any, shipped: bytes, num_replicas: int) -> None:
    """Answers requests in a process of its own, until the pipe is closed."""
    try:
        strategies.get_strategy(f"cpu:{num_replicas}")
        recipe, failure = recipes.Recipe.unpack(shipped), None
    except Exception as error:
        recipe, failure = None, f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
    while True:
        try:
            way, start, steps = pipe.recv()
        except EOFError:
            return
        if recipe is None:
            pipe.send(Record(way, error=failure))
        else:
            pipe.send(run_request(recipe, way, start, steps))


if NUM_DEVICES in os.environ:
    tf.config.set_visible_devices(
        [], "GPU"
    )  # They belong to the process that has started this one.
    strategies.get_strategy(f"cpu:{os.environ.pop(NUM_DEVICES)}")
