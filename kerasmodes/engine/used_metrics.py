"""Which of a model's metrics a step has used: what it returns may go by the name of another one.

Keras takes the results of all metrics for an epoch's logs if their names are those of the logs. A
step that returns a `loss` of its own would log 0, the result of the tracker that `compile` makes.
"""

import numpy as np

from kerasmodes.engine import keras_private


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


def _has_state(metric):
    """Returns whether anything was added to a metric: Keras resets all states of one to 0."""
    return not metric.variables or any(np.any(np.asarray(state)) for state in metric.variables)
