"""One measured run of `benchmark_input.py`: a fit whose examples take 2 ms to prepare.

Called as: prepared_input.py HOW STEPS FILE, under `km.launching`. The chief writes a JSON file.
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

SECONDS, BATCH_SIZE, NUM_FEATURES = 0.002, 32, 20


class Timer(keras.callbacks.Callback):
    """Notes when each epoch ends."""

    def on_train_begin(self, logs=None):
        self.ends = []

    def on_epoch_end(self, epoch, logs=None):
        self.ends.append(time.perf_counter())


def main():
    how, steps, path = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
    # A core for each process: otherwise two may share one while the other rests.
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[json.loads(os.environ["TF_CONFIG"])["task"]["index"]]})
    tf.config.threading.set_intra_op_parallelism_threads(1)
    strategy = km.get_strategy("multi_worker")
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = km.SumRegressor()
        model.build((None, NUM_FEATURES))
        model.compile("sgd", mode="graph", steps_per_execution=20)
    timer = Timer()
    data = make_data(how, steps, strategy)
    # The first epoch traces the step.
    history = model.fit(data, epochs=2, verbose=0, callbacks=[timer]).history
    seconds = timer.ends[1] - timer.ends[0]
    if km.is_chief():
        numbers = {"examples_per_second": steps * BATCH_SIZE / seconds, "loss": history["loss"][-1]}
        path.write_text(json.dumps(numbers))


class Prepared:
    """Examples by their numbers, prepared when they are asked for."""

    def __init__(self, prepare, num_examples):
        self.prepare, self.num_examples = prepare, num_examples

    def __len__(self):
        return self.num_examples

    def __getitem__(self, index):
        return self.prepare(index)


def make_data(how, steps, strategy):
    """Returns batches whose examples were prepared as `how` says, one after the other."""
    x, y = km.data.sums(steps * BATCH_SIZE, NUM_FEATURES, seed=0)

    def prepare(index):
        end = time.thread_time() + SECONDS
        while time.thread_time() < end:
            pass
        return x[index].astype(np.float32), y[index].astype(np.float32)

    def load(index):
        one, target = tf.numpy_function(prepare, [index], [tf.float32, tf.float32])
        return tf.ensure_shape(one, [NUM_FEATURES]), tf.ensure_shape(target, [1])

    if how == "from_source":
        return km.data.from_source(Prepared(prepare, len(x)), BATCH_SIZE)
    indices = tf.data.Dataset.range(len(x)).shuffle(len(x), seed=0)
    if how == "map":
        return indices.map(load).batch(BATCH_SIZE)
    return km.data.map_shard(indices.batch(BATCH_SIZE), load, strategy, num_parallel_calls=None)


if __name__ == "__main__":
    main()
