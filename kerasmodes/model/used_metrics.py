"""Which of a model's metrics a step has used: what it returns may go by the name of another one.

Keras takes the results of all metrics for an epoch's logs if their names are those of the logs. A
step that returns a `loss` of its own would log 0, the result of the tracker that `compile` makes.
"""

import numpy as np
import tensorflow as tf

from kerasmodes.model import keras_private


def keep_own_values(model, results, logs):
    """Returns an epoch's results, with the step's own value where nothing was added to a metric.

    Args:
        model: The model whose metrics they are.
        results: Results of all metrics by name.
        logs: What the step has returned, by the same names.
    """
    if all(map(_has_state, model.metrics)):
        return results
    # Of metrics of one name, Keras takes the last one's result.
    is_used = {
        name: _has_state(metric)
        for metric in model.metrics
        for name in keras_private.names_of_metric(metric)
    }
    return {name: results[name] if is_used[name] else logs[name] for name in results}


def metrics_of_step(metrics):
    """Returns those metrics that the step which has just run, or been traced, has used."""
    if tf.executing_eagerly():
        return [metric for metric in metrics if _has_state(metric)]
    captured = {id(tensor) for tensor, _ in tf.compat.v1.get_default_graph().captures}
    return [metric for metric in metrics if _is_captured(metric, captured)]


def _has_state(metric):
    """Returns whether anything was added to a metric: Keras resets all states of one to 0."""
    return not metric.variables or any(np.any(np.asarray(state)) for state in metric.variables)


def _is_captured(metric, captured):
    values = [state.value for state in metric.variables]
    copies = [copy for value in values for copy in getattr(value, "values", [value])]
    return not copies or any(id(copy.handle) in captured for copy in copies)
