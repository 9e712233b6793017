"""Metrics on several replicas: their states add up, or they see the global batch.

Keras adds up the states of the replicas, which is right for sums and counts, but not for a running
maximum or the last value. Which metric's states are sums is known of Keras's own alone; any other
is updated with the examples of all replicas, on each of them. What the logs are made of is in
`replication.py`.
"""

import contextlib
import functools
import threading
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasmodes import replicas
from kerasmodes.engine import additive_states, keras_private, replicated_losses

_RESULT_OF = "_kerasmodes_result_of"  # The attribute that marks a tensor.

_present = threading.local()  # A replica of MirroredStrategy runs in a thread of its own.


def prepare(model: keras.Model) -> None:
    """Makes the metrics of a model right on several replicas, in `update_state`.

    Raises:
        ValueError: If a metric was not made in the strategy's scope.
    """
    trackers = keras_private.find_loss_trackers(model)
    for metric in find_metrics(model):
        _check_scope(metric)
        if not isinstance(vars(metric).get("update_state"), functools.partial):
            _prepare(metric, is_tracker=any(metric is tracker for tracker in trackers))


def find_metrics(model: keras.Model) -> list:
    """Returns all metrics of a model, those that `compile` was given one by one."""
    found = map(keras_private.split_metric, keras_private.find_all_metrics(model))
    return [metric for some in found for metric in some]


def sees_global_batch(metric: keras.metrics.Metric) -> bool:
    """Returns whether a metric has the same states on each replica: they must not be added up."""
    return not additive_states.adds_up(metric)


def source_of(log: Any):
    """Returns the metric whose result a log is, and its key in a dictionary of results, if any.

    `None` if the log is not the result of a metric.
    """
    return getattr(log, _RESULT_OF, None)


def are_made_of_results(logs: dict[str, Any]):
    """Returns whether any of some logs, in a graph, is computed of metrics' results."""
    left = [log for log in logs if tf.is_tensor(log) and not tf.executing_eagerly()]
    seen = set()
    while left:
        tensor = left.pop()
        if source_of(tensor):
            return True
        if tensor.op not in seen:
            seen.add(tensor.op)
            left.extend(tensor.op.inputs)
    return False


@contextlib.contextmanager
def results_added_up(adds_up: bool):
    """While open, results that this replica (thread) asks for may be those of all replicas."""
    _present.adds_up = adds_up
    try:
        yield
    finally:
        _present.adds_up = False


def _prepare(metric, is_tracker):
    if sees_global_batch(metric):
        for variable in metric.variables:
            # Reset to its value, and read as it is, not divided and added up by their number.
            keras_private.read_first_replica(variable)
        update = _update_with_global_batch
    elif type(metric) is keras.metrics.Mean:
        # Keras gives its own what it has multiplied already.
        is_share = replicas.is_marked if is_tracker else replicas.is_share
        update = functools.partial(_update_mean, is_share)
    elif additive_states.has_example_values(metric):
        update = _update_by_example
    else:
        update = _update
    # Past Keras's tracking of attributes.
    object.__setattr__(metric, "update_state", functools.partial(update, metric.update_state))
    object.__setattr__(metric, "result", functools.partial(_mark_result, metric, metric.result))


def _update(update, *args, **kwargs):
    """Updates sums, with a batch that all replicas hold on the first of them alone."""
    if not replicas.has_shard() or replicas.num_shards() > 1 or _is_first_replica():
        update(*args, **kwargs)


def _update_with_global_batch(update, *args, **kwargs):
    if replicas.has_shard() and replicas.num_shards() > 1:
        args, kwargs = keras.tree.map_structure(_gather, (args, kwargs))
    update(*args, **kwargs)


def _update_by_example(update, y_true, y_pred, sample_weight=None):
    """Updates a mean over the examples, of the whole batch if Keras takes it for one example."""
    batch = (y_true, y_pred, sample_weight)
    if not replicas.has_shard() or replicas.num_shards() == 1 or len(y_pred.shape) > 1:
        _update(update, *batch)
        return
    batch = replicated_losses.gather_batch(batch)
    if _is_first_replica():
        update(*batch)


def _update_mean(is_share, update, values, sample_weight=None):
    """Updates a mean; a number in place of one value an example counts once on all replicas."""
    if replicas.has_shard():
        if is_share(values):
            values *= tf.distribute.get_replica_context().num_replicas_in_sync
        values = tf.convert_to_tensor(values)
        if sample_weight is None and values.shape.rank == 0:
            sample_weight = 1 / replicas.num_shards()
    _update(update, values, sample_weight=sample_weight)


def _is_first_replica():
    return replicas.replica_id(tf.distribute.get_replica_context()) == 0


def _gather(argument):
    if not tf.is_tensor(argument) and not isinstance(argument, np.ndarray):
        return argument
    if len(argument.shape) == 0:
        raise ValueError(
            "`update_state` of a metric whose states do not add up must be given one value an "
            "example on several replicas. Received: a scalar tensor. Give it the values of which "
            "the scalar was made."
        )
    return replicated_losses.gather_batch(argument)


def _mark_result(metric, result):
    """Returns the result of a metric; in a step, marked as such for the logs."""
    if not replicas.has_shard():
        return result()
    states = metric.variables
    if getattr(_present, "adds_up", False) and not sees_global_batch(metric):
        values = replicas.sum_each([state.value for state in states])
    else:
        values = [tf.convert_to_tensor(state.value) for state in states]
    with keras.StatelessScope(state_mapping=zip(states, values, strict=True)):
        results = tf.nest.map_structure(tf.convert_to_tensor, result())
    if not isinstance(results, dict):
        return _mark(results, metric, None)
    return {key: _mark(one, metric, key) for key, one in results.items()}


def _mark(result, metric, key):
    result = tf.identity(result)
    setattr(result, _RESULT_OF, (metric, key))
    return result


def _check_scope(metric):
    for variable in metric.variables:
        if not isinstance(variable.value, tf.distribute.DistributedValues):
            raise ValueError(
                "Metrics must be made in the scope of the strategy that they run under. Received: "
                f"{metric.name!r}, made outside it. Put it under `with strategy.scope():`."
            )
