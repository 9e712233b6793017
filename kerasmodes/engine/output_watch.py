"""`OutputWatch`: looks at a model's outputs and logs in each step, to see what is broken.

Only outputs without a loss need it, which may be NaN while each log and each weight is finite, and
logs of a step of the user's own: callbacks see those of an execution's last step. In a watched
execution, a log that was not finite stays so to its end. That costs a step two operations a log,
and no variable.
"""

import contextlib
import typing
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasmodes import replicas
from kerasmodes.engine import finite_data, keras_private, target_checks

OUTPUTS = "outputs"  # Their name among the logs that are not finite.


class Watched(typing.NamedTuple):
    """What is looked at.

    Args:
        has_outputs: Whether the model's outputs are looked at, too, and not only the logs.
        ignored: Names of logs that may be broken.
        num_losses: Outputs are looked at only if a call returns more of them.
        has_logs: Whether a log that was not finite stays so to the end of an execution.
    """

    has_outputs: bool
    ignored: tuple[str, ...] = ()
    num_losses: int = 0
    has_logs: bool = True


class WatchedLogs(typing.NamedTuple):
    """What a step returns that is looked at.

    Args:
        logs: Its logs.
        outputs: List of the model's outputs, each as a number that is finite if all of it is.
    """

    logs: Any
    outputs: list


class OutputWatch:
    """What the outputs of a model's steps were since they were last asked for.

    Args:
        watched: What to look at.
    """

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self._broken = []

    def take_logs(self, watched_logs: WatchedLogs) -> Any:
        """Returns the logs of an execution, and remembers which outputs are not finite."""
        logs, outputs = watched_logs
        self._broken += [one for one in outputs if not finite_data.is_all_finite(one)]
        return logs

    def take_broken(self) -> dict[str, list]:
        """Returns what was not finite since the last call, by name; empty if all was."""
        broken, self._broken = self._broken, []
        return {OUTPUTS: broken} if broken else {}


def watch_run(run: Callable, model: keras.Model, watched: Watched | None) -> Callable:
    """Returns a function that runs a step as another one does, and returns `WatchedLogs`.

    Args:
        run: The other one. If nothing is watched, it is what is returned.
        model: The model.
        watched: What is looked at, or `None`.
    """

    def run_watched(*args, **kwargs):
        outputs = []
        with _collect_outputs(model, outputs, watched):
            logs = run(*args, **kwargs)
        return WatchedLogs(logs, [_make_term(one) for one in outputs])

    return run if watched is None else run_watched


def merge_logs(before: WatchedLogs, now: WatchedLogs, watched: Watched) -> WatchedLogs:
    """Returns a step's logs, those that were not finite before as they were then.

    Args:
        before: What was merged so far.
        now: The step's.
        watched: What is looked at.
    """
    outputs = [_keep_broken(*both) for both in zip(before.outputs, now.outputs, strict=True)]
    if not watched.has_logs:
        return WatchedLogs(now.logs, outputs)
    return WatchedLogs(_merge_by_name(before.logs, now.logs, watched.ignored), outputs)


def _merge_by_name(before, now, ignored):
    merged = dict(now)
    for name, log in now.items():
        if isinstance(log, Mapping):
            merged[name] = _merge_by_name(before.get(name, {}), log, ignored)
        elif name in before and name not in ignored:
            merged[name] = _keep_broken(before[name], log)
    return merged


def _keep_broken(before, now):
    """Returns a log as it is now, if it was finite before; otherwise something not finite."""
    if not tf.is_symbolic_tensor(now):
        return now if finite_data.is_all_finite(before) else before
    # A finite number minus itself is 0, which changes no bit of the log, nor the sign of a zero.
    # NaN minus itself, and infinity minus itself, are NaN.
    return now - (before - before) if now.dtype.is_floating else now


def _make_term(output):
    """Returns a float32 scalar that is 0 if all of an output is finite, otherwise NaN.

    An eager tensor stays as it is: the search for the cause compares it with what a step computed.
    """
    return _mark_broken(output) if tf.is_symbolic_tensor(output) else output


def _mark_broken(output):
    is_finite = tf.reduce_all(tf.math.is_finite(output))
    return tf.where(is_finite, 0.0, np.float32(np.nan))


def _merge_replicas(outputs):
    """Returns what all replicas' outputs are, on the first of them; nothing on the others."""
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return outputs
    # By a message, since all workers have to know: NaN is what any sum with NaN is.
    merged = [replica.all_reduce("sum", _mark_broken(one)) for one in outputs]
    return merged if replicas.replica_id(replica) == 0 else []


def find_watched(
    model: keras.Model, has_many_steps: bool, ignored: tuple[str, ...] = ()
) -> Watched | None:
    """Returns what of a model's steps neither logs nor weights tell; `None` if they tell all.

    Args:
        model: The model.
        has_many_steps: Whether executions may have several steps: of a single one, callbacks see
            all logs.
        ignored: Names of logs that may be broken.
    """
    has_outputs = OUTPUTS not in ignored and has_outputs_without_loss(model)
    has_logs = has_many_steps and has_own_logs(model)
    if not (has_outputs or has_logs):
        return None
    return Watched(has_outputs, ignored, _count_losses(model), has_logs)


def has_own_logs(model: keras.Model) -> bool:
    """Returns whether what a training step logs is the user's own, or that of such a metric.

    Those of Keras that were NaN stay so to the end of an epoch.
    """
    methods = ("train_step", "compute_metrics", "get_metrics_result")
    modules = [target_checks.find_module(model, name) for name in methods]
    modules += [type(one).__module__ for one in keras_private.find_given_metrics(model)]
    return not all(one.startswith(("keras.", "kerasmodes.", "builtins")) for one in modules)


def has_outputs_without_loss(model: keras.Model) -> bool:
    """Returns whether a model whose steps are Keras's may have outputs that no loss takes.

    How many outputs a model of a class of the user's has, only a call tells.
    """
    if not target_checks.has_plain_step(model):
        return False
    outputs = getattr(model, "outputs", None)
    return not outputs or _count_losses(model) < len(outputs)


def _count_losses(model):
    compiled_loss = keras_private.find_compiled_loss(model)
    if compiled_loss is None:
        return 0
    losses = keras.tree.flatten(keras_private.find_given_losses(compiled_loss)[0])
    return sum(loss is not None for loss in losses)


@contextlib.contextmanager
def _collect_outputs(model, outputs, watched):
    """While open, tensors of floats that a call of the model returns are added to a list.

    Args:
        model: The model.
        outputs: The list.
        watched: What is looked at.
    """
    if not watched.has_outputs:
        yield
        return
    attributes, call = vars(model), model.call
    before = attributes.get("call")

    def collecting_call(*args, **kwargs):
        returned = call(*args, **kwargs)
        is_building = keras_private.is_stateless()  # Then the tensors belong to no step.
        if is_building or len(tf.nest.flatten(returned)) <= watched.num_losses:
            return returned
        tensors = tf.nest.flatten(returned, expand_composites=True)
        floats = [one for one in tensors if tf.is_tensor(one) and one.dtype.is_floating]
        outputs.extend(_merge_replicas(floats))
        return returned

    attributes["call"] = collecting_call
    try:
        yield
    finally:
        if before is None:
            del attributes["call"]
        else:
            attributes["call"] = before
