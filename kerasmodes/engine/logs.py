"""The logs of an epoch: the metrics' results, where the last step's logs are those.

Keras takes the results of all metrics if their names are those of the logs. A step that returns a
`loss` of its own would log 0, the result of the tracker that `compile` makes.
"""

from typing import Any

import keras
import numpy as np

from kerasmodes.engine import keras_private


def find_epoch_logs(model: keras.Model, logs: dict[str, Any]) -> dict[str, Any]:
    """Returns the logs of an epoch.

    Args:
        model: The model that has run its steps.
        logs: What the last step has returned, by name.
    """
    results = model.get_metrics_result()
    if set(results) != set(logs):
        return dict(logs)
    return _keep_own_values(model, results, logs)


def convert_to_floats(logs: dict[str, Any]) -> dict[str, Any]:
    """Returns the logs by name in alphabetical order, numbers as floats.

    Logs within logs become logs like the others. A step that returns the result of each of
    `self.metrics` by its name has them: the metrics given to `compile` are one of these.
    """
    floats = {}
    for name, value in sorted(logs.items()):
        if isinstance(value, dict):
            floats |= convert_to_floats(value)
        else:
            floats[name] = float(value) if _is_number(value) else value
    return floats


def order_values(model: keras.Model, logs: dict[str, Any]):
    """Returns what `evaluate` does: the loss alone, or a list, that of the metrics first.

    Args:
        model: The model.
        logs: Numbers by name.
    """
    metrics = [one for metric in model.metrics for one in keras_private.split_metric(metric)]
    names = [metric.name for metric in metrics]
    names = [name for name in names if name in logs] + sorted(set(logs) - set(names))
    values = [logs[name] for name in names]
    return values[0] if len(values) == 1 else values


def _keep_own_values(model, results, logs):
    """Returns the results, with the step's own value where nothing was added to a metric."""
    if all(map(_has_state, model.metrics)):
        return results
    # Of metrics of one name, Keras takes the last one's result.
    is_used = {
        name: _has_state(metric)
        for metric in model.metrics
        for name in keras_private.find_result_names(metric)
    }
    return {name: results[name] if is_used[name] else logs[name] for name in results}


def _has_state(metric):
    """Returns whether anything was added to a metric: Keras resets all states of one to 0."""
    return not metric.variables or any(np.any(np.asarray(state)) for state in metric.variables)


def _is_number(value):
    array = np.asarray(value)
    return array.ndim == 0 and array.dtype.kind not in "OSU"  # Text, or what is no array.
