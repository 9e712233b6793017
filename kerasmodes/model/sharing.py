"""A step on several replicas with the numbers of one device.

Each replica takes its part of the global batch; what they return is put together again. Where
replicas run is in `strategies.py`, what a part means to random numbers in `replicas.py`.
"""

import keras
import tensorflow as tf

from kerasmodes import checks, fusing, replicas
from kerasmodes.model import keras_private, used_metrics


class TrainingRun:
    """Runs steps that return logs on the replicas' parts of global batches.

    What is a metric in the logs is read from those of all replicas, once an execution; of anything
    else, the mean over the replicas is taken.
    """

    def __init__(self, strategy, model):
        self._strategy = strategy
        self._states = [state for metric in model.metrics for state in metric.variables]
        self._names = [(one, set(keras_private.names_of_metric(one))) for one in model.metrics]
        self._used = set()
        self._model = model
        self._read = tf.function(self._results, autograph=False)

    def __call__(self, step, args):
        """Like `strategy.run`, of a function of one global batch."""
        logs = _on_replicas(self._strategy, step, args, self._states)
        metrics = [metric for metric, _ in self._names]
        self._used = {id(metric) for metric in used_metrics.metrics_of_step(metrics)}
        metrics = self._metrics_among(logs)
        return {
            name: _first(self._strategy, log) if name in metrics else self._mean(log)
            for name, log in logs.items()
        }

    def with_metrics(self, function):
        """Returns the function of an execution, its logs completed."""

        def reading(data):
            logs = function(data)
            metrics = self._metrics_among(logs)
            return {**logs, **_only(self._read(), metrics)} if metrics else logs

        return reading

    def _results(self):
        """Returns the results of the model's metrics, their states added up by one message."""
        sums = self._strategy.run(_sums, args=([state.value for state in self._states],))
        sums = [_first(self._strategy, one) for one in sums]
        with keras.StatelessScope(state_mapping=zip(self._states, sums, strict=True)):
            return self._model.get_metrics_result()

    def _mean(self, log):
        return tf.nest.map_structure(lambda one: self._strategy.reduce("mean", one, axis=None), log)

    def _metrics_among(self, logs):
        """Returns the names of the logs that are metrics of the model.

        As in Keras, `loss` is that of `compile` only if the step returns all metrics: the loss of
        a step of the user's own need not be in the tracker of that name.
        """
        (tracker, loss), *others = self._names
        is_all = set(logs) == loss.union(*(names for _, names in others))
        among = [(tracker, loss), *others] if is_all else others
        used = [names for metric, names in among if id(metric) in self._used]
        return set(logs).intersection(set().union(*used))


def predicting_run(strategy):
    """Returns a function like `strategy.run` for steps that return outputs of each example."""

    def run(step, args):
        outputs = _on_replicas(strategy, step, args, finish=_put_together)
        return tf.nest.map_structure(lambda output: _first(strategy, output), outputs)

    return run


class Parts:
    """Watches a pass over the data: whether its batches can be cut into equal parts.

    The last one need not: each replica is then given all of it.
    """

    def __init__(self, strategy):
        self._strategy = strategy
        self._num_workers = replicas.num_workers(strategy)
        self._left_over = None
        self._is_first = True

    def check(self, pieces):
        """Raises a `ValueError` before pieces run that cannot be shared out."""
        if self._strategy.num_replicas_in_sync == 1:
            return
        for super_batch, start, stop in pieces:
            size = next(part for part in tf.nest.flatten(super_batch) if part is not None).shape[1]
            if self._left_over is None and size % self._strategy.num_replicas_in_sync:
                self._left_over, start = size, start + 1
            if self._left_over is not None and start < stop:
                _refuse_size(self._left_over, self._strategy.num_replicas_in_sync)
        if self._num_workers > 1 and self._is_first:
            _check_same_data(self._strategy, next(fusing.batches_of(pieces)))
        self._is_first = False


def check_scope(model):
    """Raises a `ValueError` if a model of one device is to run on several replicas."""
    strategy = tf.distribute.get_strategy()
    if strategy.num_replicas_in_sync > 1 and model._distribute_strategy is not strategy:
        raise ValueError(
            "A model must be made, and compiled, in the scope of the strategy that it runs under. "
            f"Received: a model made outside it, under {strategy.num_replicas_in_sync} replicas. "
            "Put both under `with strategy.scope():`."
        )


def check_batch_size(strategy, batch_size):
    """Raises a `ValueError` if batches of that size, or `None`, cannot be cut into equal parts."""
    if batch_size is not None:
        checks.positive_integers(batch_size=batch_size)
    if batch_size and batch_size % strategy.num_replicas_in_sync:
        _refuse_size(batch_size, strategy.num_replicas_in_sync)


def _refuse_size(size, num_replicas):
    below = size - size % num_replicas
    fitting = " or ".join(str(fit) for fit in (below, below + num_replicas) if fit)
    raise ValueError(
        f"`batch_size`, of the global batch, must be divisible by the {num_replicas} replicas, "
        f"but for the last batch of a pass. Received: batch_size={size}. Use {fitting}."
    )


def _check_same_data(strategy, batch):
    """Raises on every worker if the workers do not begin a pass with the same global batch."""
    parts = [tf.io.serialize_tensor(part) for part in tf.nest.flatten(batch) if part is not None]
    digest = tf.strings.to_hash_bucket_fast(tf.strings.join(parts), 2**62)
    num_replicas = strategy.num_replicas_in_sync

    def on_replica():
        replica = tf.distribute.get_replica_context()
        place = tf.one_hot(replicas.replica_id(replica), num_replicas, dtype=tf.int64)
        return replica.all_reduce("sum", place * digest)

    digests = replicas.run_once(strategy, on_replica)
    if len(set(digests)) > 1:
        raise ValueError(
            "Each worker must be given the same batches in the same order, of which it takes its "
            f"part. Received: {len(set(digests))} different first batches. Shuffle with a seed, or "
            "call keras.utils.set_random_seed first."
        )


def _on_replicas(strategy, step, args, states=(), finish=None):
    """Runs a step, then `finish` on its outputs, on each replica's part of a batch, `args[0]`.

    A batch that cannot be cut into equal parts, such as an epoch's last, is given whole to each
    replica: sums of gradients, divided by the number of replicas, are then right all the same. Of
    the states, which are added up over the replicas, only the first replica's changes.
    """
    (batch,) = args
    num_replicas = strategy.num_replicas_in_sync
    is_cut = fusing.num_examples(batch) % num_replicas == 0

    def on_replica(batch):
        number = replicas.replica_id(tf.distribute.get_replica_context())
        if is_cut:
            with replicas.holding(number, num_replicas):
                outputs = step(_part(batch, number, num_replicas))
            return finish(outputs) if finish else outputs
        before = [tf.identity(state.value) for state in states]
        with replicas.holding(0, 1):
            outputs = step(batch)
        if number > 0:
            for state, value in zip(states, before, strict=True):
                state.assign(value)
        return outputs

    return strategy.run(on_replica, args=(batch,))


def _part(batch, number, num_replicas):
    def cut(tensor):
        size = tensor.shape[0] // num_replicas
        return tensor[number * size : (number + 1) * size]

    with tf.device("CPU:0"):  # Each device is sent its own part only.
        return tf.nest.map_structure(lambda tensor: None if tensor is None else cut(tensor), batch)


def _put_together(outputs):
    """Returns the outputs for all examples, on each replica: the sum of its own among zeros."""
    replica = tf.distribute.get_replica_context()
    before = replicas.replica_id(replica)
    after = replica.num_replicas_in_sync - 1 - before

    def put(output):
        rows = output if output.shape.rank else output[tf.newaxis]
        numbers = tf.cast(rows, tf.int32) if rows.dtype == tf.bool else rows
        size = tf.shape(rows)[0]
        padding = [[before * size, after * size], *[[0, 0]] * (rows.shape.rank - 1)]
        return tf.cast(replica.all_reduce("sum", tf.pad(numbers, padding)), rows.dtype)

    return tf.nest.map_structure(put, tf.nest.map_structure(tf.convert_to_tensor, outputs))


def _sums(values):
    """Returns the sums over the replicas of some tensors: a message for each dtype among them."""
    replica = tf.distribute.get_replica_context()
    values = [tf.convert_to_tensor(value) for value in values]
    sums = [None] * len(values)
    for dtype in {value.dtype: None for value in values}:
        places = [place for place, value in enumerate(values) if value.dtype == dtype]
        flat = [tf.reshape(values[place], [-1]) for place in places]
        total = replica.all_reduce("sum", tf.concat(flat, axis=0))
        parts = tf.split(total, [tf.size(one) for one in flat])
        for place, part in zip(places, parts, strict=True):
            sums[place] = tf.reshape(part, tf.shape(values[place]))
    return sums


def _only(logs, names):
    return {name: log for name, log in logs.items() if name in names}


def _first(strategy, value):
    return strategy.experimental_local_results(value)[0]
