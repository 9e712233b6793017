"""What each worker of `test_workers.py` runs: one function below; the chief writes its numbers.

Called as: worker_program.py FUNCTION FILE.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import gc
import importlib
import json
import pathlib
import pickle
import signal
import sys

HEAVY = ("matplotlib", "keras_tuner", "tensorflow_datasets")
FOUND_BY_OTHERS = ("jax", "sklearn")  # TensorFlow and Keras import them where they are: seconds.
if __name__ == "__main__":  # Importing them is an ImportError from here on.
    sys.modules.update(dict.fromkeys([*HEAVY, *FOUND_BY_OTHERS]))
    gc.disable()  # Imports and tracing make many objects that are no garbage.

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

import kerasmodes as km  # noqa: E402

X, Y = km.data.sums(num_samples=20, num_features=3, seed=1)
NUM_PREPARED = 11  # Two whole batches, and one of three examples.
IMAGES = np.random.default_rng(0).uniform(-1, 1, (18, 4, 4, 1)).astype("float32")


def weights_of(model):
    return np.concatenate([weight.ravel() for weight in model.get_weights()])


def train_all(strategy, path):
    """Returns the numbers of all programs below: processes that import TensorFlow are dear.

    The last worker is killed once, in the second program; then both begin again.
    """
    name = "tf_config" if "TF_CONFIG" in os.environ else "slurm"
    path.with_name(f"{name}-{km.is_chief()}.txt").write_text(str(strategy.num_replicas_in_sync))
    if not path.with_name("died").exists():
        train_without_seed(strategy, path)  # First: the others set the seed.
    return {
        "killed": train_with_a_killed_worker(strategy, path),
        "sums, graph": train_sums(strategy, path, "graph", num_examples=20),
        "sums, eager": train_sums(strategy, path, "eager", num_examples=7),
        "prepared": train_on_prepared(strategy, path),
        "source": train_on_source(strategy, path),
        "bfloat16": train_with_short_gradients(strategy),
        "different data": train_on_different_data(strategy, path),  # Last: it fails.
        "missing": [name for name in HEAVY if not can_be_imported(name)],
    }


def can_be_imported(name):
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def train_sums(strategy, path, mode, num_examples):
    """Returns the numbers of one or two executions of two steps in each epoch.

    Of 20 examples, 16 are trained on, whole batches: a smaller last one is a second step to trace.
    Of 7 examples, 5 are: one replica has none of the last batch.
    """
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = km.SumRegressor(units=(4,))
        model.compile("sgd", mode=mode, steps_per_execution=2, metrics=["mae"])
    x, y = X[:num_examples], Y[:num_examples]
    history = model.fit(x, y, batch_size=4, epochs=2, verbose=0, validation_split=0.2).history
    numbers = {
        "evaluate": model.evaluate(x, y, batch_size=4, verbose=0),
        "predict": model.predict(x, batch_size=4, verbose=0),
        "weights": weights_of(model),
    }
    return {**history, **numbers, **_save_and_load(model, path)}


def train_in_xla(strategy, path):
    """Returns the numbers of `train_sums` in a mode whose steps are several programs a worker."""
    return train_sums(strategy, path, "xla", num_examples=20)


def train_with_short_gradients(strategy):
    """Returns the weights after four steps whose gradients were added up in bfloat16."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = km.SumRegressor(units=())
        model.build((None, 3))
        model.compile("sgd", mode="eager", gradient_dtype="bfloat16")
    model.fit(X, Y, batch_size=10, epochs=2, verbose=0)
    return {"weights": weights_of(model)}


def train_gan(strategy, path):
    """Returns the numbers of a GAN with an average, a lazy penalty, classes and augmentation.

    It trains one step in an execution, the sums two.
    """
    keras.utils.set_random_seed(0)
    with strategy.scope():
        augmentation = km.augmentation.AdaptiveAugment(ramp_images=50)
        preset = km.presets.Default(4, 4)
        model = km.MSGGAN((4, 4, 1), 1, 4, 3, preset, augmentation, seed=1)
        clipped = (keras.optimizers.SGD(0.05, global_clipnorm=0.5) for _ in range(2))
        model.compile(*clipped, penalties=km.penalties.R1(0.1, every=2), mode="graph")
    labels = np.arange(18) % 3
    history = model.fit(IMAGES, labels, batch_size=4, epochs=2, verbose=0).history
    numbers = {
        "evaluate": model.evaluate(IMAGES, labels, batch_size=4, verbose=0),
        "weights": weights_of(model),
    }
    return {**history, **numbers, **_save_and_load(model, path)}


def _save_and_load(model, path):
    """Returns the weights of the model in the file that the chief, and nobody else, writes."""
    own = path.with_name(f"{path.stem}-{os.getpid()}.keras")
    model.save(own)
    if not own.exists():
        return {}
    return {"saved": weights_of(keras.models.load_model(own))}


def train_with_a_killed_worker(strategy, path):
    """Returns the weights after three epochs; in the second, the last worker dies once."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = km.SumRegressor(units=())
        model.build((None, 3))
        model.compile(keras.optimizers.SGD(momentum=0.9), mode="eager")  # It starts again: twice.
    callbacks = [km.callbacks.Resume(path.with_name("progress"), every=2)]
    if not km.is_chief():
        callbacks.append(DieOnce(path.with_name("died")))
    model.fit(X, Y, batch_size=4, epochs=3, verbose=0, callbacks=callbacks)
    return {"weights": weights_of(model)}


class DieOnce(keras.callbacks.Callback):
    """Kills its process in the second epoch, once, with a signal that cannot be caught."""

    def __init__(self, mark):
        super().__init__()
        self.mark = mark

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (1, 3) and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def train_on_prepared(strategy, path):
    """Returns the weights of a fit on examples that are prepared where they are used.

    Writes the indices of those that this worker has prepared.
    """
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = km.SumRegressor(units=())
        model.compile("sgd", mode="eager")
    prepared = []
    model.fit(make_prepared(strategy, prepared, seed=1), epochs=2, verbose=0)
    path.with_name(f"prepared-{km.is_chief()}.pkl").write_bytes(pickle.dumps(prepared))
    return {"weights": weights_of(model)}


def make_prepared(strategy, prepared, seed):
    """Returns a data set of the sums; `prepared` is told the indices of the examples read."""

    def read(index):
        prepared.append(int(index))
        return X[index], Y[index]

    def load(index):
        x, y = tf.numpy_function(read, [index], [tf.float32, tf.float32], stateful=False)
        return tf.ensure_shape(x, [3]), tf.ensure_shape(y, [1])

    indices = tf.data.Dataset.range(NUM_PREPARED).shuffle(NUM_PREPARED, seed).batch(4)
    return km.data.map_shard(indices, load, strategy)


class Rows:
    """Examples of the sums by their numbers; it notes which were read."""

    def __init__(self, num_examples=NUM_PREPARED):
        self.num_examples, self.read = num_examples, []

    def __len__(self):
        return self.num_examples

    def __getitem__(self, index):
        self.read.append(index)
        return X[index], Y[index]


def add_noise(example, generator):
    x, y = example
    return x + generator.normal(size=3), y


def train_on_source(strategy, path):
    """Returns the numbers of a fit on examples that are read where they are used, shuffled.

    Writes the indices of those that this worker has read in the fit, and in the validations.
    """
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = km.SumRegressor(units=())
        model.compile("sgd", mode="eager")
    sources = Rows(), Rows(8)
    data = km.data.from_source(sources[0], 4, add_noise, num_threads=2)
    validation = km.data.from_source(sources[1], 4)
    history = model.fit(data, epochs=2, verbose=0, validation_data=validation).history
    predicted = model.predict(validation, verbose=0)
    read = [one.read for one in sources]
    path.with_name(f"source-{km.is_chief()}.pkl").write_bytes(pickle.dumps(read))
    return {**history, "weights": weights_of(model), "predict": predicted}


def train_on_different_data(strategy, path):
    """Writes the errors of programs whose workers read other data, a file for each worker."""
    with strategy.scope():
        model = km.SumRegressor(units=())
        model.compile("sgd")
    for name, data in {
        "arrays": {"x": X + os.getpid(), "y": Y, "batch_size": 4},
        "prepared": {"x": make_prepared(strategy, [], seed=2 + km.is_chief())},
        "source": {"x": km.data.from_source(Rows(8 + 4 * km.is_chief()), 4)},
    }.items():
        try:
            model.fit(**data, verbose=0)
        except ValueError as error:
            path.with_name(f"error-{name}-{km.is_chief()}.txt").write_text(str(error))


def train_without_seed(strategy, path):
    """Writes the weights of a program that sets no seed, a file for each worker."""
    with strategy.scope():
        model = km.SumRegressor(units=(4,))
        model.compile("sgd", mode="eager")
    model.fit(X, Y, batch_size=4, verbose=0)
    own = weights_of(model)
    path.with_name(f"own-{km.is_chief()}.pkl").write_bytes(pickle.dumps(own))


def replace_tf_config():
    """Describes the two workers by the variables of SLURM, in the place of `TF_CONFIG`."""
    index = json.loads(os.environ.pop("TF_CONFIG"))["task"]["index"]
    variables = {
        "SLURM_JOB_ID": os.getppid(),
        "SLURM_STEP_NUM_TASKS": 2,
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_STEP_TASKS_PER_NODE": 2,
        "SLURM_PROCID": index,
    }
    os.environ.update({name: str(value) for name, value in variables.items()})


if __name__ == "__main__":
    function, path = sys.argv[1], pathlib.Path(sys.argv[2])
    tf.config.threading.set_intra_op_parallelism_threads(1)  # As in `conftest.py`.
    if not path.with_name("died").exists():
        replace_tf_config()  # Before a worker was killed; after that, `TF_CONFIG` is read.
    strategy = km.get_strategy("multi_worker", timeout=100)
    numbers = globals()[function](strategy, path)
    if km.is_chief():
        path.write_bytes(pickle.dumps(numbers))
    gc.freeze()  # Nor does Python search for garbage as it ends.
