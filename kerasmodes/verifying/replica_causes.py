"""Why several replicas have other numbers than one device: the experiments.

Gradients are compared where plain SGD has taken the place of the optimizers, since Adam divides out
what is counted twice.
"""

import numpy as np
import tensorflow as tf

from kerasmodes.engine import model_state
from kerasmodes.verifying import causes, runs
from kerasmodes.verifying.causes import Cause
from kerasmodes.verifying.replica_process import Replicas
from kerasmodes.verifying.runs import Record, Run, Way
from kerasmodes.verifying.studies import Study

# How far a ratio of gradients may be from a whole number, and a gradient from a multiple.
TOLERANCE = 0.03
# A penalty may be a small part of a gradient.
PENALTY_TOLERANCE = 1e-4


def explain_replicas(
    study: Study, replicas: Replicas, num_replicas: int, record: Record
) -> list[Cause]:
    """Returns all causes that are found of other numbers on replicas than on one device.

    Args:
        study: The runs on one device.
        replicas: Where those on replicas run.
        num_replicas: How many there are.
        record: What these have left behind.
    """
    found = []
    layers = runs.find_unsynchronized(study.get_run(study.reference).model)
    if layers:
        way = Way("graph", num_replicas, is_synchronized=True)
        synchronized = replicas.run(way, study.start, study.recipe.steps)
        if study.compare_record(synchronized, record).is_fault:
            found.append(_explain_normalization(layers))
        if not study.compare_record(synchronized, study.get_record("graph")).is_fault:
            return found
    if _has_other_graph(study):  # Each replica traces the step again: no gradient can be trusted.
        return [*found, causes.explain_graph(study)]
    gradients = _compare_gradients(study, replicas, num_replicas, bool(layers))
    found += _explain_gradients(study, gradients, num_replicas)
    if study.differing_draws:
        what = "are the same on each replica"
        found.append(causes.explain_draws(study, what, study.differing_draws))
    return found or [
        Cause(
            causes.LOCAL,
            "A replica computes something of its own shard alone that is in the loss or a log: a "
            "mean, a norm or a maximum over examples. Use km.global_mean for a mean inside of a "
            "loss, and km.average_loss for the loss itself.",
        )
    ]


def _has_other_graph(study):
    """Returns whether a graph on one device has other numbers than Python already."""
    return study.get_record("eager").error is None and study.compare("graph", "eager").is_fault


def _explain_normalization(layers):
    names = causes.list_names([repr(layer.name) for layer in layers])
    return Cause(
        causes.BATCH_NORMALIZATION,
        f"Batch normalization takes each replica's own statistics: {names}. Make it "
        "keras.layers.BatchNormalization(synchronized=True).",
    )


def _compare_gradients(study, replicas, num_replicas, is_synchronized):
    """Returns triples of a weight's name, its gradient on one device and that on replicas."""
    alone = Run(study.recipe, Way("graph", applies_gradients=True), study.start).train(0, 1)
    way = Way("graph", num_replicas, is_synchronized=is_synchronized, applies_gradients=True)
    shared = replicas.run(way, study.start, 1)
    if alone.error or shared.error or len(alone.names) != len(shared.names):
        return []
    return [
        (alone.names[place], _find_gradient(alone, place), _find_gradient(shared, place))
        for place, kind in enumerate(alone.kinds)
        if kind == model_state.WEIGHT and alone.start[place] is not None
    ]


def _find_gradient(record: Record, place: int):
    start = np.asarray(record.start[place], np.float64)
    return start - np.asarray(record.steps[1][place], np.float64)


def _explain_gradients(study, gradients, num_replicas):
    ratios = {name: _fit(own, shared) for name, own, shared in gradients if np.any(own)}
    counted = [
        name
        for name, (ratio, rest) in ratios.items()
        if abs(ratio / num_replicas - 1) < TOLERANCE and rest < TOLERANCE
    ]
    if counted:
        which = "every weight" if len(counted) == len(ratios) else causes.list_names(counted)
        return [
            Cause(
                causes.MEAN,
                f"A loss is averaged over a replica's shard, and so counts once for each replica: "
                f"the gradients of {which} are {num_replicas} times those of one device. Average "
                "it with km.average_loss.",
            )
        ]
    others = [
        name for name, (ratio, rest) in ratios.items() if abs(ratio - 1) + rest > PENALTY_TOLERANCE
    ]
    if others and _is_penalty(study, gradients, num_replicas):
        return [
            Cause(
                causes.MEAN,
                "A penalty on the weights (`self.losses`) counts once for each replica, in the "
                f"gradients of {causes.list_names(others)}. Add it to the losses of the examples "
                "before km.average_loss.",
            )
        ]
    return []


def _fit(own, shared):
    """Returns by which number one gradient is a multiple of another, and what is left, relative."""
    ratio = float(np.vdot(own, shared) / np.vdot(own, own))
    size = np.linalg.norm(shared)
    return ratio, float(np.linalg.norm(shared - ratio * own) / size) if size else 0.0


def _is_penalty(study, gradients, num_replicas):
    """Returns whether the gradient of the penalties is what the replicas have too much of."""
    run = study.get_run("graph")
    if not run.rewind() or not run.model.losses:
        return False
    weights = run.model.trainable_variables
    with tf.GradientTape() as tape:
        penalty = tf.add_n([tf.reduce_sum(one) for one in run.model.losses])
    expected = {
        weight.path: np.zeros(weight.shape) if one is None else np.asarray(one, np.float64)
        for weight, one in zip(weights, tape.gradient(penalty, weights), strict=True)
    }
    excess = [(shared - own) / (num_replicas - 1) for _, own, shared in gradients]
    paths = [weight.path for weight in weights]
    if len(paths) != len(excess):
        return False
    flat = [
        np.concatenate([np.ravel(one) for one in part])
        for part in ([expected[path] for path in paths], excess)
    ]
    if not np.any(flat[0]):
        return False
    ratio, rest = _fit(*flat)
    return ratio > PENALTY_TOLERANCE and rest < 5 * TOLERANCE
