"""A step on several replicas with the numbers of one device.

Each replica takes its part of the global batch; what they return is put together again. Where
replicas run is in `strategies.py`, what a part means to random numbers in `replicas.py`.
"""

import keras
import tensorflow as tf

from kerasmodes import arguments, replicas
from kerasmodes.engine import replicated_metrics, super_batches


class TrainingRun:
    """Runs steps that return logs on the replicas' parts of global batches.

    What is the result of a metric in the logs is read from the states of all replicas, once an
    execution; shares of a loss are added up; of anything else, the mean over the replicas is taken.
    If a step computes logs of results, these are added up in it: messages in each step.
    """

    def __init__(self, strategy, model, mode):
        self._strategy = strategy
        self._adds_up_in_step = mode == "eager"
        self._metrics = replicated_metrics.find_metrics(model)
        self._sources = {}
        self._shares = set()
        self._read = tf.function(self._results, autograph=False)

    def __call__(self, step, args):
        """Like `strategy.run`, of a function of one global batch."""

        def reading_step(batch):
            with replicated_metrics.results_added_up(self._adds_up_in_step):
                return step(batch)

        logs = _on_replicas(self._strategy, reading_step, args, finish=self._note)
        reduced = [self._reduce(*one) for one in enumerate(tf.nest.flatten(logs))]
        return tf.nest.pack_sequence_as(logs, reduced)

    def with_metrics(self, function):
        """Returns the function of an execution, its logs completed."""

        def reading(data):
            batch = None if isinstance(data, list) else next(data)
            try:
                logs = function(iter([batch]) if batch is not None else data)
            except _MadeOfResultsError:  # Nothing has run yet.
                self._adds_up_in_step = True
                logs = function(iter([batch]) if batch is not None else data)
            if not self._sources:
                return logs
            flat = dict(enumerate(tf.nest.flatten(logs)))
            flat |= dict(zip(self._sources, self._read(tuple(self._sources)), strict=True))
            return tf.nest.pack_sequence_as(logs, list(flat.values()))

        return reading

    def _note(self, logs):
        """Notes what each of a replica's logs is, by its place among them; returns tensors."""
        flat = tf.nest.flatten(logs)
        sources = {place: replicated_metrics.source_of(log) for place, log in enumerate(flat)}
        self._sources = {place: source for place, source in sources.items() if source}
        others = {place: log for place, log in enumerate(flat) if place not in self._sources}
        self._shares = {place for place, log in others.items() if replicas.is_share(log)}
        if not self._adds_up_in_step and replicated_metrics.are_made_of_results(others.values()):
            raise _MadeOfResultsError
        return tf.nest.map_structure(tf.convert_to_tensor, logs)

    def _reduce(self, place, log):
        if place in self._sources:
            return _first(self._strategy, log)
        how = "sum" if place in self._shares else "mean"
        return self._strategy.reduce(how, log, axis=None)

    def _results(self, places):
        """Returns the results that logs are, the metrics' states added up by one message."""
        sums, others = self._states()
        values = (
            self._strategy.run(replicas.sum_each, args=([state.value for state in sums],))
            if sums
            else []
        )
        values = [_first(self._strategy, value) for value in values]
        values += [tf.identity(_first(self._strategy, state.value)) for state in others]
        sources = [self._sources[place] for place in places]
        with keras.StatelessScope(state_mapping=zip(sums + others, values, strict=True)):
            results = {id(metric): metric.result() for metric, _ in sources}
        results = [(results[id(metric)], key) for metric, key in sources]
        return [tf.convert_to_tensor(one if key is None else one[key]) for one, key in results]

    def _states(self):
        """Returns the states of metrics that are sums over the replicas' parts, and the others."""
        kinds = ([], [])
        for metric in self._metrics:
            kinds[replicated_metrics.sees_global_batch(metric)].extend(metric.variables)
        return kinds


class _MadeOfResultsError(Exception):
    """Raised while a step is traced that computes logs of metrics' results."""


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
            _check_same_data(self._strategy, next(super_batches.batches_of(pieces)))
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
        arguments.check_positive_integers(batch_size=batch_size)
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


def _on_replicas(strategy, step, args, finish):
    """Runs a step, then `finish` on its outputs, on each replica's part of a batch, `args[0]`.

    A batch that cannot be cut into equal parts, such as an epoch's last, is given whole to each
    replica: sums of gradients, divided by the number of replicas, are then right all the same, and
    metrics whose states are added up count it on the first replica alone.
    """
    (batch,) = args
    num_replicas = strategy.num_replicas_in_sync
    is_cut = super_batches.num_examples(batch) % num_replicas == 0

    def on_replica(batch):
        number = replicas.replica_id(tf.distribute.get_replica_context())
        if not is_cut:
            with replicas.shard_scope(0, 1):
                return finish(step(batch))
        with replicas.shard_scope(number, num_replicas):
            return finish(step(_part(batch, number, num_replicas)))

    return strategy.run(on_replica, args=(batch,))


def _part(batch, number, num_replicas):
    def cut(tensor):
        size = tensor.shape[0] // num_replicas
        return tensor[number * size : (number + 1) * size]

    with tf.device("CPU:0"):  # Each device is sent its own part only.
        return tf.nest.map_structure(lambda tensor: None if tensor is None else cut(tensor), batch)


def _put_together(outputs):
    """Returns the outputs for all examples, on each replica."""

    def put(output):
        output = tf.convert_to_tensor(output)
        return replicas.gather_examples(output if output.shape.rank else output[tf.newaxis])

    return tf.nest.map_structure(put, outputs)


def _first(strategy, value):
    return strategy.experimental_local_results(value)[0]
