"""A step on several replicas with the numbers of one device.

Each replica takes its shard of the global batch; what they return is gathered. Where replicas run
is in `strategies.py`, what a shard means to random numbers in `replicas.py`.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kerasmodes import replicas
from kerasmodes.engine import (
    keras_private,
    keras_random,
    optimizers,
    replicated_losses,
    replicated_metrics,
    summed_gradients,
    super_batches,
)


def find_runner(model: keras.Model, kind: str):
    """Returns what runs a step of a model on the replicas of its strategy.

    The losses, metrics and optimizers of a model on several replicas are prepared for it.

    Args:
        model: A compiled model.
        kind: `"train"`, `"test"` or `"predict"`: which step.

    Raises:
        ValueError: If a metric was not made in the strategy's scope, or an optimizer not built.
    """
    strategy = keras_private.find_own_strategy(model)
    if strategy is None or strategy.num_replicas_in_sync == 1:
        if kind == "train":
            summed_gradients.skip_sums(optimizers.find_optimizers(model))
        return OneReplica(strategy)
    keras_random.replace_draws()
    if kind == "predict":
        return ReplicatedPrediction(strategy)
    replicated_losses.prepare(model)
    replicated_metrics.prepare(model)
    if kind == "train":
        optimizers.check_optimizers_built(model)
        found = optimizers.find_optimizers(model)
        optimizers.check_scopes(found, strategy)
        summed_gradients.prepare(found, model.gradient_dtype, bool(model.run_eagerly))
    return ReplicatedStep(strategy, model)


class OneReplica:
    """Runs steps on one device.

    Args:
        strategy: The model's `tf.distribute` strategy with one replica, or `None`.
    """

    is_alone = True

    def __init__(self, strategy):
        self._strategy = strategy

    def run(self, step: Callable, args: tuple):
        """Like `strategy.run`."""
        return step(*args) if self._strategy is None else self._strategy.run(step, args)

    def complete(self, run: Callable, batches: Any):
        """Returns what `run` returns for the batches of an execution."""
        return run(batches)


class ReplicatedStep:
    """Runs steps that return logs on the replicas' shards of global batches.

    A result of a metric in the logs is read from the states of all replicas, once an execution;
    shares of a loss are added up; of anything else, the mean over the replicas is taken. If a step
    computes logs of results, these are added up within the step: messages in each step.

    Args:
        strategy: A `tf.distribute` strategy with several replicas.
        model: The model whose steps they are.
    """

    is_alone = False

    def __init__(self, strategy, model):
        self._strategy = strategy
        self._model = model
        self._adds_up_in_step = self._is_eager = model.run_eagerly
        self._metrics = replicated_metrics.find_metrics(model)
        self._sources = {}
        self._shares = set()
        self._read = tf.function(self._read_results, autograph=False)

    def run(self, step: Callable, args: tuple):
        """Like `strategy.run`, of a function of one global batch."""

        def reading_step(batch):
            with replicated_metrics.results_added_up(self._adds_up_in_step):
                return step(batch)

        sharing = replicated_losses.share_activity_penalties(self._model)
        with sharing, _note_shares() if self._is_eager else contextlib.nullcontext():
            logs = _run_on_replicas(self._strategy, reading_step, args, finish=self._note)
        reduced = [self._reduce(*one) for one in enumerate(tf.nest.flatten(logs))]
        return tf.nest.pack_sequence_as(logs, reduced)

    def complete(self, run: Callable, batches: Any):
        """Returns the logs that `run` returns for the batches of an execution, completed."""
        if not isinstance(batches, list):
            batches = [next(batches)]
        try:
            logs = run(_hand_out(batches))
        except _MadeOfResultsError:  # Nothing has run yet.
            self._adds_up_in_step = True
            logs = run(_hand_out(batches))
        if not self._sources:
            return logs
        flat = dict(enumerate(tf.nest.flatten(logs)))
        flat |= dict(zip(self._sources, self._read(tuple(self._sources)), strict=True))
        return tf.nest.pack_sequence_as(logs, list(flat.values()))

    def _note(self, logs):
        """Notes what each of a replica's logs is, by its place among them; returns tensors."""
        logs = tf.nest.map_structure(_convert_log, logs)
        flat = tf.nest.flatten(logs)
        sources = {place: replicated_metrics.source_of(log) for place, log in enumerate(flat)}
        self._sources = {place: source for place, source in sources.items() if source}
        others = {place: log for place, log in enumerate(flat) if place not in self._sources}
        self._shares = {place for place, log in others.items() if replicas.is_share(log)}
        if not self._adds_up_in_step and replicated_metrics.are_made_of_results(others.values()):
            raise _MadeOfResultsError
        return logs

    def _reduce(self, place, log):
        if place in self._sources:
            return _take_first(self._strategy, log)
        how = "sum" if place in self._shares else "mean"
        return self._strategy.reduce(how, log, axis=None)

    def _read_results(self, places):
        """Returns the results that logs are, the metrics' states added up by one message."""
        sums, others = self._states()
        values = (
            self._strategy.run(replicas.sum_each, args=([state.value for state in sums],))
            if sums
            else []
        )
        values = [_take_first(self._strategy, value) for value in values]
        values += [tf.identity(_take_first(self._strategy, state.value)) for state in others]
        sources = [self._sources[place] for place in places]
        with keras.StatelessScope(state_mapping=zip(sums + others, values, strict=True)):
            results = {id(metric): metric.result() for metric, _ in sources}
        results = [(results[id(metric)], key) for metric, key in sources]
        return [tf.convert_to_tensor(one if key is None else one[key]) for one, key in results]

    def _states(self):
        """Returns the states of metrics that are sums over the replicas' shards, and the others."""
        kinds = ([], [])
        for metric in self._metrics:
            kinds[replicated_metrics.sees_global_batch(metric)].extend(metric.variables)
        return kinds


@contextlib.contextmanager
def _note_shares():
    """While open, what replicas compute of shares of a loss at once is known to be a share.

    Their threads take over the callbacks of the one that starts them.
    """
    keras_private.add_op_callback(replicas.note_share)
    try:
        yield
    finally:
        keras_private.remove_op_callback(replicas.note_share)


def _convert_log(log):
    """Returns a log as a tensor, of which there is a mean over the replicas: also of a truth."""
    log = tf.convert_to_tensor(log)
    return tf.cast(log, tf.float32) if log.dtype == tf.bool else log


class _MadeOfResultsError(Exception):
    """Raised while a step is traced that computes logs of metrics' results."""


def _hand_out(batches):
    is_range = isinstance(batches[0], super_batches.BatchRange)
    return batches if is_range else iter(batches)


class ReplicatedPrediction:
    """Runs steps that return outputs of each example on the replicas' shards of global batches.

    Args:
        strategy: A `tf.distribute` strategy with several replicas.
    """

    is_alone = False

    def __init__(self, strategy):
        self._strategy = strategy

    def run(self, step: Callable, args: tuple):
        """Like `strategy.run`, of a function of one global batch."""
        outputs = _run_on_replicas(self._strategy, step, args, finish=_gather_outputs)
        return tf.nest.map_structure(lambda output: _take_first(self._strategy, output), outputs)

    def complete(self, run: Callable, batches: Any):
        """Returns what `run` returns for the batches of an execution."""
        return run(batches)


def run_on_shards(strategy: tf.distribute.Strategy, step: Callable, is_list: bool, shards: Any):
    """Runs a step on a batch of a distributed data set, as Keras does.

    Args:
        strategy: The strategy of the replicas.
        step: Function of one replica's batch.
        is_list: Whether the replicas' outputs are wanted, instead of the means of their logs.
        shards: Nested distributed values: each replica's shard, of whatever kind.

    Returns:
        The mean over the replicas of each log, or a list of the replicas' outputs.
    """
    outputs = strategy.run(step, args=(shards,))
    flat = tf.nest.flatten(outputs)
    if not is_list:
        means = [strategy.reduce("mean", log, axis=None) for log in flat]
        return tf.nest.pack_sequence_as(outputs, means)
    parts = zip(*map(strategy.experimental_local_results, flat), strict=True)
    return [tf.nest.pack_sequence_as(outputs, part) for part in parts]


def _run_on_replicas(strategy, step, args, finish):
    """Runs a step, then `finish` on its outputs, on each replica's shard of a batch, `args[0]`.

    A batch that cannot be cut into equal shards, such as an epoch's last, is given whole to each
    replica: sums of gradients, divided by the number of replicas, are then right all the same, and
    metrics whose states are added up count it on the first replica alone.
    """
    (batch,) = args
    num_replicas = strategy.num_replicas_in_sync
    num_examples, num_left = divmod(super_batches.count_examples(batch), num_replicas)

    def on_replica(batch):
        number = replicas.replica_id(tf.distribute.get_replica_context())
        if num_left:
            with replicas.shard_scope(0, 1):
                return finish(step(batch))
        with replicas.shard_scope(number, num_replicas, num_examples):
            return finish(step(_cut_shard(batch, number, num_replicas)))

    return strategy.run(on_replica, args=(batch,))


def _cut_shard(batch, number, num_replicas):
    def cut(tensor):
        size = tensor.shape[0] // num_replicas
        return tensor[number * size : (number + 1) * size]

    with tf.device("CPU:0"):  # Each device is sent its own shard only.
        return tf.nest.map_structure(lambda tensor: None if tensor is None else cut(tensor), batch)


def _gather_outputs(outputs):
    """Returns the outputs for all examples, on each replica."""

    def put(output):
        output = tf.convert_to_tensor(output)
        return replicas.gather_examples(output if output.shape.rank else output[tf.newaxis])

    return tf.nest.map_structure(put, outputs)


def _take_first(strategy, value):
    return strategy.experimental_local_results(value)[0]
