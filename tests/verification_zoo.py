"""Models for `km.verify`: sound ones, and ones with a fault that it must name."""

import dataclasses
import random
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.layers import BatchNormalization, Dense, Dropout, GaussianNoise

import kerasmodes as km
from kerasmodes.verifying import causes

X, Y = km.data.sums(num_samples=32, num_features=4, seed=0)
MSE = keras.losses.mean_squared_error


@dataclasses.dataclass(frozen=True)
class Case:
    """A model to verify.

    Args:
        build: Function that returns it.
        compile: Dict of arguments of `compile`.
        ways: Arguments of `km.verify` that show the fault at least cost.
        cause: The kind of cause to be named.
        words: What the words of the cause must have in them.
        data: The data.
    """

    build: Callable
    compile: dict = dataclasses.field(default_factory=dict)
    ways: dict = dataclasses.field(default_factory=dict)
    cause: str | None = None
    words: tuple = ()
    data: Any = (X, Y)


def verify(case, **arguments):
    """Returns the report of a case, in the ways that show its fault or in others."""
    given = {"replicas": 1, "resume": False, "steps": 3, "batch_size": 8, **case.ways}
    return km.verify(case.build, case.data, **{**given, **arguments}, **case.compile)


class OwnStep(km.Model):
    """A network with a step of its own; subclasses change what is in it."""

    regularizer = None

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.network = keras.Sequential(
            [keras.Input((4,)), Dense(1, kernel_regularizer=self.regularizer)]
        )
        self.prepare()

    def prepare(self):
        pass

    def call(self, x, training=False):
        return self.network(x, training=training)

    def build(self, input_shape):
        self.built = True

    def compute(self, x, y):
        return km.average_loss(MSE(y, self(x, training=True)))

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute(x, y)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return {"loss": loss}


class PlainMean(OwnStep):
    def compute(self, x, y):
        return tf.reduce_mean(MSE(y, self(x, training=True)))


class CountedPenalty(OwnStep):
    regularizer = "l2"

    def compute(self, x, y):
        return super().compute(x, y) + tf.add_n(self.losses)


class LocalMean(OwnStep):
    def compute(self, x, y):
        scores = self(x, training=True)
        return km.average_loss(MSE(y, scores - tf.reduce_mean(tf.abs(scores))))


class Counter(OwnStep):
    def prepare(self):
        self.count = 0

    def compute(self, x, y):
        self.count += 1
        return super().compute(x, y) / self.count


class Collector(OwnStep):
    def prepare(self):
        self.seen = []

    def compute(self, x, y):
        self.seen.append(1.0)
        return super().compute(x, y) * len(self.seen)


class PythonDraw(OwnStep):
    def compute(self, x, y):
        return super().compute(x, y) * (1 + random.random())


class NumPyDraw(OwnStep):
    def compute(self, x, y):
        return super().compute(x + np.random.normal(size=(1, 4)).astype("float32"), y)


class Clock(OwnStep):
    def compute(self, x, y):
        return super().compute(x, y) * (1 + time.perf_counter() % 1)


class Untraceable(OwnStep):
    def compute(self, x, y):
        if not tf.executing_eagerly():
            raise ValueError("Could not be traced")
        return super().compute(x, y)


class Broken(OwnStep):
    def compute(self, x, y):
        return super().compute(x, y) * tf.math.log(-tf.ones(()))


class KerasDraw(OwnStep):
    def prepare(self):
        self.seeds = keras.random.SeedGenerator(1)

    def compute(self, x, y):
        return super().compute(x + keras.random.truncated_normal(tf.shape(x), seed=self.seeds), y)


class TruncatedNoise(keras.layers.Layer):
    """Draws what XLA draws otherwise, and each replica the same."""

    def __init__(self):
        super().__init__()
        self.seeds = keras.random.SeedGenerator(1)

    def call(self, x):
        return x + keras.random.truncated_normal(tf.shape(x), seed=self.seeds)


class TensorFlowDraw(OwnStep):
    def compute(self, x, y):
        return super().compute(x + tf.random.normal(tf.shape(x)), y)


class LateOptimizer(OwnStep):
    def train_step(self, data):
        if self.optimizer is None:
            self.optimizer = keras.optimizers.Adam()
        return super().train_step(data)

    def compile(self, **kwargs):
        super().compile(optimizer=None, **kwargs)


class LostVariable(OwnStep):
    def prepare(self):
        self.scale = tf.Variable(1.0, trainable=False)

    def compute(self, x, y):
        self.scale.assign_add(1.0)
        return super().compute(x, y) * self.scale


class HiddenNaN(OwnStep):
    def compute(self, x, y):
        outputs = self(x, training=True)
        broken = tf.stack([tf.reduce_mean(outputs) * 0, tf.math.log(-tf.ones(()))])
        return km.average_loss(MSE(y, outputs)) + tf.reduce_max(broken)


class Pair(km.Model):
    """A small GAN with two optimizers; `mean` averages the generator's loss."""

    mean = staticmethod(km.average_loss)

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.generator = keras.Sequential([keras.Input((2,)), Dense(4)])
        self.critic = keras.Sequential([keras.Input((4,)), Dense(1, "tanh")])
        self.seeds, self.built = km.random.SeedGenerator(1), True

    def compile(self, optimizer="sgd", **kwargs):
        super().compile(optimizer=None, **kwargs)
        with self.distribute_strategy.scope():
            self.d_optimizer = km.build_optimizer("sgd", self.critic)
            self.g_optimizer = km.build_optimizer(optimizer, self.generator)

    def draw_latents(self, x):
        return km.random.normal((tf.shape(x)[0], 2), seed=self.seeds)

    def train_step(self, data):
        x, _ = data
        latents = self.draw_latents(x)
        with tf.GradientTape(persistent=True) as tape:
            real, fake = self.critic(x), self.critic(self.generator(latents))
            d_loss = km.average_loss(tf.nn.softplus(fake) + tf.nn.softplus(-real))
            g_loss = self.mean(tf.nn.softplus(-fake))
        d_weights, g_weights = self.critic.trainable_variables, self.generator.trainable_variables
        self.d_optimizer.apply(tape.gradient(d_loss, d_weights), d_weights)
        self.g_optimizer.apply(tape.gradient(g_loss, g_weights), g_weights)
        return {"d_loss": d_loss}


class PartlyPlainPair(Pair):
    mean = staticmethod(tf.reduce_mean)

    def draw_latents(self, x):
        return x[:, :2]


class UnbuiltPair(Pair):
    def compile(self, **kwargs):
        km.Model.compile(self, optimizer=None, **kwargs)
        self.d_optimizer = keras.optimizers.Adam()
        self.g_optimizer = keras.optimizers.Adam()


class Chaos(OwnStep):
    """What it computes magnifies rounding a hundredfold in each step."""

    def compute(self, x, y):
        loss = super().compute(x, y)
        return loss + 1e-3 * tf.sin(3e4 * tf.reduce_sum(self.network.layers[0].kernel ** 2))


def make_sequential(*layers, shape=(4,)):
    return lambda: keras.Sequential([keras.Input(shape), *(make() for make in layers), Dense(1)])


def make_functional():
    inputs = keras.Input((4,))
    hidden = Dense(3, "tanh")(inputs)
    return km.Model(inputs, Dense(1)(keras.layers.Add()([hidden, Dense(3)(inputs)])))


def shuffle_by_hand():
    """Returns a data set whose order is another one each time."""
    generator = np.random.default_rng(0)

    def draw():
        for place in generator.permutation(32):
            yield X[place], Y[place]

    spec = (tf.TensorSpec((4,)), tf.TensorSpec(Y.shape[1:]))
    return tf.data.Dataset.from_generator(draw, output_signature=spec).batch(8)


PLAIN = {"optimizer": "sgd", "loss": "mse"}
XLA = {"modes": ("graph", "xla")}
TRACED = {"modes": ("eager", "graph")}
REPLICAS = {"modes": ("graph",), "replicas": 2}
RESUMED = {"modes": ("graph",), "resume": True}

FAULTS = {
    "truncated noise": Case(
        make_sequential(lambda: Dropout(0.5), TruncatedNoise),
        PLAIN,
        XLA,
        causes.RANDOM,
        ("TruncatedNoise 'truncated_noise", "Use km.random"),
    ),
    "draw of Keras in the step": Case(
        KerasDraw, {"optimizer": "sgd"}, XLA, causes.RANDOM, ("verification_zoo.py",)
    ),
    "truncated noise on replicas": Case(
        make_sequential(TruncatedNoise),
        PLAIN,
        REPLICAS,
        causes.RANDOM,
        ("same on each replica", "TruncatedNoise"),
    ),
    "dropout of Keras in a file": Case(
        make_sequential(lambda: Dropout(0.5)),
        PLAIN,
        RESUMED,
        causes.RANDOM,
        ("in no file", "Dropout 'dropout", "km.random.Dropout"),
    ),
    "plain mean, SGD": Case(
        PlainMean, {"optimizer": "sgd"}, REPLICAS, causes.MEAN, ("every weight", "2 times")
    ),
    "plain mean, Adam": Case(
        PlainMean, {"optimizer": "adam"}, REPLICAS, causes.MEAN, ("km.average_loss",)
    ),
    "plain mean of one of two losses": Case(
        PartlyPlainPair, {"optimizer": "adam"}, REPLICAS, causes.MEAN, ("2 times", "kernel")
    ),
    "penalty on each replica": Case(
        CountedPenalty, {"optimizer": "sgd"}, REPLICAS, causes.MEAN, ("penalty",)
    ),
    "mean of a shard in the loss": Case(
        LocalMean, {"optimizer": "sgd"}, REPLICAS, causes.LOCAL, ("km.global_mean",)
    ),
    "counter on replicas": Case(
        Counter, {"optimizer": "sgd"}, REPLICAS, causes.PYTHON, ("Counter.count",)
    ),
    "batch normalization": Case(
        make_sequential(BatchNormalization),
        PLAIN,
        REPLICAS,
        causes.BATCH_NORMALIZATION,
        ("batch_normalization", "synchronized=True"),
    ),
    "counter": Case(Counter, {"optimizer": "sgd"}, TRACED, causes.PYTHON, ("Counter.count",)),
    "list": Case(Collector, {"optimizer": "sgd"}, TRACED, causes.PYTHON, ("Collector.seen",)),
    "draw of Python": Case(
        PythonDraw, {"optimizer": "sgd"}, TRACED, causes.PYTHON, ("Python's random", "km.random")
    ),
    "draw of NumPy": Case(
        NumPyDraw, {"optimizer": "sgd"}, TRACED, causes.PYTHON, ("numpy.random",)
    ),
    "draw of TensorFlow": Case(
        TensorFlowDraw,
        {"optimizer": "sgd"},
        TRACED,
        causes.NOT_REPEATED,
        ("RandomStandardNormal", "verification_zoo.py"),
    ),
    "optimizer made in the step": Case(
        LateOptimizer, {}, {"modes": ("eager", "graph"), "resume": True}, causes.LATE, ()
    ),
    "optimizer not built": Case(UnbuiltPair, {}, REPLICAS, causes.LATE, ("km.build_optimizer",)),
    "variable that is in no file": Case(
        LostVariable, {"optimizer": "sgd"}, RESUMED, causes.LOST, ("scale", "add_weight")
    ),
    "clock": Case(
        Clock, {"optimizer": "sgd"}, {"modes": ("eager", "graph")}, causes.NOT_REPEATED, ("time",)
    ),
    "hidden NaN": Case(
        HiddenNaN, {"optimizer": "sgd"}, {"modes": ("eager", "xla")}, causes.NOT_FINITE, ()
    ),
    "order of the data": Case(
        make_sequential(),
        PLAIN,
        TRACED,
        causes.ORDER,
        ("seed",),
        shuffle_by_hand(),
    ),
}

SOUND = {
    "dense": Case(lambda: km.SumRegressor(units=(3,))),
    "functional": Case(make_functional, {"optimizer": "adam", "loss": "mse"}),
    "sequential": Case(make_sequential(lambda: Dense(3)), PLAIN),
    "own step": Case(OwnStep, {"optimizer": "adam"}),
    "two optimizers": Case(Pair),
    "layers of Keras that draw": Case(
        make_sequential(lambda: Dropout(0.5), lambda: GaussianNoise(0.5)),
        PLAIN,
        {"modes": ("graph", "xla", "fused"), "replicas": 2},
    ),
    "dropout of km.random": Case(make_sequential(lambda: km.random.Dropout(0.5, seed=1)), PLAIN),
    "synchronized batch normalization": Case(
        make_sequential(lambda: BatchNormalization(synchronized=True)), PLAIN
    ),
    "recurrent layer first": Case(
        make_sequential(lambda: keras.layers.GRU(3), shape=(4, 1)), PLAIN, data=(X[..., None], Y)
    ),
    "sample weights": Case(
        make_sequential(),
        {**PLAIN, "weighted_metrics": ["mae"]},
        data=(X, Y, np.linspace(0, 1, 32, dtype="float32")),
    ),
    "layers": Case(
        make_sequential(
            lambda: BatchNormalization(synchronized=True), lambda: km.random.Dropout(0.5, seed=1)
        ),
        PLAIN,
    ),
    "data set with a schedule and weights": Case(
        make_sequential(),
        {
            "optimizer": keras.optimizers.SGD(
                keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5), momentum=0.9
            ),
            "loss": "mse",
            "weighted_metrics": ["mae"],
        },
        data=tf.data.Dataset.from_tensor_slices((X, Y, np.linspace(0, 1, 32, dtype="float32")))
        .shuffle(32, seed=1)
        .batch(8),
    ),
    "metrics": Case(
        make_sequential(),
        {**PLAIN, "metrics": ["mae", keras.metrics.RootMeanSquaredError()]},
    ),
    "schedule": Case(
        make_sequential(),
        {
            "optimizer": keras.optimizers.SGD(
                keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5), momentum=0.9
            ),
            "loss": "mse",
        },
    ),
    "data set": Case(
        make_sequential(),
        PLAIN,
        data=tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(32, seed=1).batch(8),
    ),
}

CHAOS = Case(Chaos, {"optimizer": "sgd"})
UNTRACEABLE = Case(Untraceable, {"optimizer": "sgd"})
BROKEN = Case(Broken, {"optimizer": "sgd"})
TWO_FAULTS = Case(make_sequential(BatchNormalization, TruncatedNoise), PLAIN)
