"""Which replica and worker this is, and which shard of the global batch it holds.

How a batch is split, and when, is not decided here: that is `engine`.
"""

import contextlib
import functools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

# What is not summed on every kind of device is summed as another kind of number, without loss.
_SUMMED_AS = {
    tf.bool: tf.int32,
    tf.int8: tf.int32,
    tf.int16: tf.int32,
    tf.uint8: tf.int32,
    tf.uint16: tf.int32,
    tf.uint32: tf.int64,
    tf.bfloat16: tf.float32,
}
# Operations whose result is a share of a loss if all they are given are shares.
_SUMS = frozenset(["Add", "AddN", "AddV2", "Cast", "Identity", "Neg", "Sub"])

# The attributes that mark a tensor, and one that was made of such, where operations run at once.
_SHARE, _SUM = "_kerasmodes_is_share", "_kerasmodes_is_sum_of_shares"

_present = threading.local()  # A replica of MirroredStrategy runs in a thread of its own.


@contextlib.contextmanager
def shard_scope(index: int, num_shards: int, num_examples: int | None = None):
    """While open, this replica (thread) holds one shard of the global batch.

    The shards are equal, so a mean over the global batch is the mean of the replicas' means.

    Args:
        index: Int: the shards that come before it; 0 on every replica if each holds all examples.
        num_shards: Int: shards of the global batch; 1 if each replica holds all examples.
        num_examples: Int: examples of a shard, or `None` if that is not known.
    """
    before = getattr(_present, "shard", None)
    _present.shard = (index, num_shards, num_examples)
    try:
        yield
    finally:
        _present.shard = before


def has_shard() -> bool:
    """Returns whether `fit`, `evaluate` or `predict` gave this replica its examples."""
    return getattr(_present, "shard", None) is not None


def shard_index() -> int:
    """Returns how many shards of the global batch come before this replica's, an int."""
    replica = tf.distribute.get_replica_context()
    if has_shard():
        return _present.shard[0]
    return 0 if replica is None else replica_id(replica)


def num_shards() -> int:
    """Returns the number of shards, each as large as this replica's, of the global batch."""
    replica = tf.distribute.get_replica_context()
    if has_shard():
        return _present.shard[1]
    return 1 if replica is None else replica.num_replicas_in_sync


def num_examples() -> int | None:
    """Returns how many examples this replica holds, `None` where that is not known."""
    return _present.shard[2] if has_shard() else None


def replica_id(replica: Any) -> int:
    """Returns the number of a replica, an int, from its `tf.distribute.ReplicaContext`."""
    return int(tf.get_static_value(replica.replica_id_in_sync_group))


def sum_over_replicas(number: int):
    """Returns the sum over the replicas of a number that counts this replica's examples."""
    return tf.distribute.get_replica_context().all_reduce("sum", number)


def sum_each(values: list):
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


def mark_share(loss: Any):
    """Returns the loss, marked: of the replicas' shares of it the sum is the loss, not the mean."""
    if has_shard():
        loss = tf.identity(loss)
        setattr(loss, _SHARE, True)
    return loss


def is_marked(loss: Any) -> bool:
    """Returns whether `mark_share` returned that very tensor."""
    return getattr(loss, _SHARE, False)


def is_share(loss: Any) -> bool:
    """Returns whether `mark_share` returned that tensor, or those that it is a sum of.

    Where operations run at once, sums are known only while `note_share` is told of each.

    Args:
        loss: Tensor, or any other value.
    """
    if is_marked(loss) or getattr(loss, _SUM, False):
        return True
    if not tf.is_tensor(loss) or tf.executing_eagerly():
        return False
    return _is_made_of_shares(loss.op.type, list(loss.op.inputs), loss)


def note_share(kind: str, inputs: tuple, attributes: Any, outputs: list, *others: Any) -> None:
    """Marks the result of an operation on shares that is a share: TensorFlow's callback.

    Args:
        kind: Name of the operation.
        inputs: The tensors that it was given.
        attributes: Not used.
        outputs: The tensors that it has returned.
        *others: Not used: its name, and its graph.
    """
    for output in outputs:
        if any(map(is_share, inputs)) and _is_made_of_shares(kind, inputs, output):
            setattr(output, _SUM, True)


def _is_made_of_shares(kind, inputs, output):
    if kind == "Pack":  # From which keras.ops.sum makes the sum of a list.
        return all(map(is_share, inputs))
    if output.shape.rank != 0:
        return False
    if kind in _SUMS:
        return bool(inputs) and all(
            is_share(one) or tf.get_static_value(one) == 0 for one in inputs
        )
    if kind in ("Sum", "RealDiv", "DivNoNan"):
        return is_share(inputs[0])
    return kind == "Mul" and is_share(inputs[0]) != is_share(inputs[1])


def gather_examples(tensor: Any):
    """Returns the rows of all replicas, `[global batch, ...]`, the same on each of them.

    Gradients flow back to a replica's own rows only, times the number of replicas: a loss of the
    result, divided by that number, is this replica's share of it.

    Args:
        tensor: Tensor `[examples, ...]` of what this replica holds.
    """
    if num_shards() == 1:
        return tensor
    replica = tf.distribute.get_replica_context()
    if tensor.shape[0] is None or not has_shard():
        return replica.all_gather(tensor, axis=0)
    number, size = replica_id(replica), tensor.shape[0]
    before, after = number * size, (replica.num_replicas_in_sync - 1 - number) * size

    @tf.custom_gradient
    def gather(rows):
        padding = [[before, after], *[[0, 0]] * (rows.shape.rank - 1)]
        numbers = tf.cast(rows, _SUMMED_AS.get(rows.dtype, rows.dtype))
        gathered = replica.all_reduce("sum", tf.pad(numbers, padding))

        def own_rows(gradient):
            return gradient[before : before + size] * replica.num_replicas_in_sync

        return tf.cast(gathered, rows.dtype), own_rows

    return gather(tensor)


def assign(variables: list, values: list) -> None:
    """Assigns to Keras variables what is the same on each replica, without a message.

    Args:
        variables: List of Keras variables.
        values: List of tensors; each replica has computed its own.
    """
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return
    targets = [variable.value for variable in variables]

    def assign_all(strategy, *values):
        for target, value in zip(targets, values, strict=True):
            strategy.extended.update(target, lambda own, new: own.assign(new), args=(value,))

    replica.merge_call(assign_all, args=tuple(values))


def num_workers(strategy: tf.distribute.Strategy) -> int:
    """Returns how many processes take part in a strategy."""
    resolver = strategy.cluster_resolver
    return sum(map(len, resolver.cluster_spec().as_dict().values())) if resolver else 1


def own_shards(strategy: tf.distribute.Strategy) -> range:
    """Returns the numbers of the shards of a global batch that this process's replicas hold."""
    number, resolver = strategy.num_replicas_in_sync, strategy.cluster_resolver
    if num_workers(strategy) == 1:
        return range(number)
    chiefs = resolver.cluster_spec().as_dict().get("chief", ())
    worker = resolver.task_id + (len(chiefs) if resolver.task_type == "worker" else 0)
    own = number // num_workers(strategy)
    return range(worker * own, (worker + 1) * own)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether this process is the one that writes files."""
    return is_chief_task(strategy.cluster_resolver)


def is_chief_task(resolver: Any) -> bool:
    """Returns whether this process is the chief of a `tf.distribute` cluster resolver, or alone."""
    if resolver is None or not resolver.task_type:
        return True
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "chief" or (not has_chief and resolver.task_id == 0)


def broadcast_from_chief(strategy: tf.distribute.Strategy, number: int) -> int:
    """Returns the first replica's 64-bit number on every worker."""
    if num_workers(strategy) == 1:
        return number
    halves = tf.constant([number >> 32, number % 2**32], tf.int64)

    def on_replica():
        replica = tf.distribute.get_replica_context()
        return replica.all_reduce("sum", halves * int(replica_id(replica) == 0))

    high, low = run_once(strategy, on_replica)
    return (int(high) << 32) + int(low)


def gather_numbers(strategy: tf.distribute.Strategy, numbers: tf.Tensor):
    """Returns numbers of each process, an array `[replicas, ...]`, the same on each worker.

    Args:
        strategy: Where the replicas run.
        numbers: 64-bit integers `[n]`.
    """

    def on_replica():
        replica = tf.distribute.get_replica_context()
        place = tf.one_hot(replica_id(replica), strategy.num_replicas_in_sync, dtype=tf.int64)
        return replica.all_reduce("sum", place[:, tf.newaxis] * numbers)

    return run_once(strategy, on_replica)


def gather_values(strategy: tf.distribute.Strategy, variable: Any):
    """Returns the values of a variable on all replicas, an array `[replicas, ...]`, on each worker.

    Args:
        strategy: Where the replicas run.
        variable: A `tf.Variable` of that strategy.
    """
    number = strategy.num_replicas_in_sync
    if number == 1:
        return tf.convert_to_tensor(variable)[tf.newaxis].numpy()

    def on_replica():
        replica = tf.distribute.get_replica_context()
        place = replica_id(replica)
        value = tf.convert_to_tensor(variable)
        value = tf.cast(value, _SUMMED_AS.get(value.dtype, value.dtype))[tf.newaxis]
        padding = [[place, number - 1 - place], *[[0, 0]] * (value.shape.rank - 1)]
        return replica.all_reduce("sum", tf.pad(value, padding))

    return run_once(strategy, on_replica).astype(variable.dtype.as_numpy_dtype)


def assign_values(strategy: tf.distribute.Strategy, variable: Any, values: Any) -> None:
    """Gives each replica's variable its own of the values that `gather_values` has returned.

    Where there are other replicas than there were, the first gets the sum: the state of a metric.
    """
    number = strategy.num_replicas_in_sync
    if len(values) != number:
        values = np.concatenate(
            [values.sum(0, keepdims=True), 0 * values[:1].repeat(number - 1, 0)]
        )
    values = tf.constant(values, variable.dtype)
    if number == 1:
        variable.assign(values[0])
        return
    strategy.run(lambda: variable.assign(values[replica_id(tf.distribute.get_replica_context())]))


def run_once(strategy: tf.distribute.Strategy, on_replica: Callable):
    """Returns the array that a function returns on this worker's first replica."""
    # A partial function, of which TensorFlow does not count how often its line is traced.
    run = functools.partial(strategy.run, on_replica)
    outputs = tf.function(run, autograph=False)()
    return strategy.experimental_local_results(outputs)[0].numpy()
