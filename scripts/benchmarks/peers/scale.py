"""One measured run of `benchmark_scale.py`: a model under a strategy, on a given number of threads.

Called as: python -m peers.scale MODEL STRATEGY THREADS FILE. The chief writes a JSON file. STRATEGY
"apart" is one device with half of each batch, for two processes that exchange no messages.
"""

import json
import os
import pathlib
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import kerasmodes as km
from peers.sum_in_keras import EpochTimer

# Examples in the global batch, steps in an epoch, timed epochs, steps of an execution.
SIZES = {"sum": (32, 2_000, 3, 100), "msggan": (64, 10, 2, 1)}
REDUCTIONS = 20


def main():
    model_name, strategy_name, threads, path = sys.argv[1:]
    tf.config.threading.set_intra_op_parallelism_threads(int(threads))
    # Operations at the same time: each of two processes has one core only.
    num_operations = 1 if strategy_name in ("multi_worker", "apart") else 2
    tf.config.threading.set_inter_op_parallelism_threads(num_operations)
    is_apart = strategy_name == "apart"
    strategy = km.get_strategy("single" if is_apart else strategy_name)
    keras.utils.set_random_seed(0)
    batch_size, num_steps, epochs, steps_per_execution = SIZES[model_name]
    with strategy.scope():
        model = _make_model(model_name, steps_per_execution)
    own_size = batch_size // 2 if is_apart else batch_size
    data = _make_data(model_name, own_size * num_steps)
    timer = EpochTimer()
    model.fit(**data, batch_size=own_size, epochs=1 + epochs, verbose=0, callbacks=[timer])
    numbers = {
        "ms_per_step": [1e3 * seconds / num_steps for seconds in timer.seconds[1:]],
        "batch_size": batch_size,
        "bytes_reduced": _count_reduced_bytes(strategy, model.trainable_variables),
        "ms_of_reduction": _time_reduction(strategy, model.trainable_variables),
    }
    if km.is_chief():
        pathlib.Path(path).write_text(json.dumps(numbers))


def _make_model(name, steps_per_execution):
    if name == "sum":
        model = km.SumRegressor()
        model.build((None, 20))
    else:
        model = km.MSGGAN.from_preset("tutorial", seed=0)
    model.compile(mode="graph", steps_per_execution=steps_per_execution)
    return model


def _make_data(name, num_examples):
    if name == "sum":
        return dict(zip("xy", km.data.sums(num_samples=num_examples, seed=0), strict=True))
    generator = np.random.default_rng(0)
    return {"x": generator.uniform(-1, 1, (num_examples, 28, 28, 1)).astype("float32")}


def _count_reduced_bytes(strategy, variables):
    is_alone = strategy.num_replicas_in_sync == 1
    return 0 if is_alone else sum(4 * int(np.prod(variable.shape)) for variable in variables)


def _time_reduction(strategy, variables):
    """Returns the milliseconds that summing one gradient of each variable takes, alone."""
    if strategy.num_replicas_in_sync == 1:
        return 0.0
    shapes = [variable.shape for variable in variables]

    def on_replica():
        gradients = [tf.fill(shape, 1.0) for shape in shapes]
        sums = tf.distribute.get_replica_context().all_reduce("sum", gradients)
        return tf.add_n([tf.reduce_sum(one) for one in sums])

    reduce = tf.function(lambda: strategy.run(on_replica))
    reduce()
    start = time.perf_counter()
    for _ in range(REDUCTIONS):
        outputs = reduce()
    strategy.experimental_local_results(outputs)[0].numpy()
    return 1e3 * (time.perf_counter() - start) / REDUCTIONS


if __name__ == "__main__":
    main()
