"""Tests of Keras's callbacks on models with several optimizers: all of them, or a named one."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from seeds import set_seed

import kerasmodes as km
from kerasmodes.engine import model_state

IMAGES = np.random.default_rng(0).uniform(-1, 1, (16, 8, 8, 1)).astype("float32")
NAMES = ["discriminator_optimizer", "generator_optimizer"]
KNOWS_ONE = keras.__version__ < "3.15"
since_keras_3_15 = pytest.mark.skipif(KNOWS_ONE, reason="Keras knows one optimizer")


class Players(km.Model):
    """A small model with the optimizers of a GAN, and logs of their names."""

    def __init__(self):
        super().__init__()
        self.generator, self.discriminator = keras.layers.Dense(1), keras.layers.Dense(1)
        self.build((None, 3))

    def build(self, input_shape):
        self.generator.build(input_shape)
        self.discriminator.build(input_shape)
        self.built = True

    def compile(self, generator_optimizer, discriminator_optimizer, **kwargs):
        super().compile(optimizer=None, **kwargs)
        self.generator_optimizer = km.build_optimizer(generator_optimizer, self.generator)
        self.discriminator_optimizer = km.build_optimizer(
            discriminator_optimizer, self.discriminator
        )

    def train_step(self, images):
        g_loss = self._train(images, self.generator, self.generator_optimizer)
        d_loss = self._train(images, self.discriminator, self.discriminator_optimizer)
        return {"g_loss": g_loss, "d_loss": d_loss}

    def _train(self, images, player, optimizer):
        with tf.GradientTape() as tape:
            loss = km.average_loss(tf.reduce_mean(player(images[:, 0, :3, 0]) ** 2, axis=-1))
            scaled = optimizer.scale_loss(loss)
        weights = player.trainable_variables
        optimizer.apply(tape.gradient(scaled, weights), weights)
        return loss

    def test_step(self, images):
        return {"g_loss": tf.reduce_mean(self.generator(images[:, 0, :3, 0]))}


def compile_both(model, mode="graph", optimizer=keras.optimizers.SGD, **arguments):
    arguments = {"learning_rate": 0.5, **arguments}
    model.compile(optimizer(**arguments), optimizer(**arguments), mode=mode)
    return model


def make_players(mode="graph", **optimizer):
    set_seed(0)
    return compile_both(Players(), mode, **optimizer)


def compile_once(make_model):
    """Returns a function that returns one model, back at its start, with its compiled steps."""
    model = make_model()
    state = model_state.ModelState(model)
    start = state.copy()

    def renew():
        state.restore(start)
        return model

    return renew


@functools.cache
def _compile_players():
    return compile_once(make_players)


def renew_players():
    """Returns what `make_players()` does, with steps that other tests have compiled."""
    return _compile_players()()


def make_gan(mode="eager"):
    set_seed(0)
    gan = km.MSGGAN((8, 8, 1), 1, 4, preset=km.presets.Default(2, 2), seed=0)
    gan.compile(*(keras.optimizers.SGD(0.5) for _ in NAMES), penalties=None, mode=mode)
    return gan


def fit(model, *callbacks, epochs=2, **arguments):
    arguments = {"batch_size": 8, "verbose": 0, **arguments}
    return model.fit(IMAGES, epochs=epochs, callbacks=list(callbacks), **arguments).history


def rates(model):
    return [float(getattr(model, name).learning_rate) for name in NAMES]


def halve(**arguments):
    return keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2, **arguments)


@since_keras_3_15
@pytest.mark.slow
@pytest.mark.parametrize(
    ("make_model", "mode"),
    [
        (make_players, "fused"),
        pytest.param(make_players, "graph", marks=pytest.mark.sweep),
        pytest.param(make_gan, "eager", marks=pytest.mark.sweep),
        pytest.param(make_gan, "graph", marks=pytest.mark.sweep),
        pytest.param(make_gan, "fused", marks=pytest.mark.sweep),
    ],
)
def test_a_schedule_acts_on_all_optimizers_and_the_logs_name_them(make_model, mode, capsys):
    gan = make_model(mode)
    history = fit(gan, halve(verbose=1))
    printed = capsys.readouterr().out
    assert rates(gan) == [0.125, 0.125]
    for name in NAMES:
        assert history[f"learning_rate_{name}"] == [0.25, 0.125]
        assert f"setting {name} learning rate to 0.125" in printed


@since_keras_3_15
@pytest.mark.slow
def test_a_schedule_acts_on_the_named_optimizer():
    model = renew_players()
    history = fit(model, km.callbacks.ForOptimizer("generator_optimizer", halve()))
    assert rates(model) == [0.5, 0.125]
    assert history["learning_rate_generator_optimizer"] == [0.25, 0.125]
    assert "learning_rate_discriminator_optimizer" not in history


@since_keras_3_15
@pytest.mark.slow
def test_each_optimizer_may_have_a_schedule_of_its_own():
    model = renew_players()
    double = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 2 * rate)
    history = fit(
        model,
        km.callbacks.ForOptimizer("generator_optimizer", halve()),
        km.callbacks.ForOptimizer("discriminator_optimizer", double),
    )
    assert rates(model) == [2, 0.125]
    assert history["learning_rate_discriminator_optimizer"] == [1, 2]


def test_a_rate_that_is_set_counts_in_the_compiled_step():
    model = make_players("fused")
    stop = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.0)
    before = model.generator.get_weights()[0], model.discriminator.get_weights()[0]
    fit(model, km.callbacks.ForOptimizer("generator_optimizer", stop))
    np.testing.assert_array_equal(model.generator.get_weights()[0], before[0])
    assert np.any(model.discriminator.get_weights()[0] != before[1])


@since_keras_3_15
@pytest.mark.slow
@pytest.mark.parametrize("name", [None, "generator_optimizer"])
def test_a_plateau_reduces_rates(name):
    model = renew_players()
    plateau = keras.callbacks.ReduceLROnPlateau("g_loss", factor=0.5, patience=1, min_delta=100)
    wrapped = plateau if name is None else km.callbacks.ForOptimizer(name, plateau)
    history = fit(model, wrapped, epochs=3)
    assert rates(model) == [0.125 if name is None else 0.5, 0.125]
    assert history["learning_rate_generator_optimizer"] == [0.5, 0.5, 0.25]
    assert plateau.mode == "min"


@since_keras_3_15
@pytest.mark.slow
def test_optimizers_that_scale_losses_have_their_inner_rate_set():
    def scale(**arguments):
        return keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(**arguments))

    model = make_players("eager", optimizer=scale)
    fit(model, halve(), epochs=1)
    assert rates(model) == [0.25, 0.25]


@since_keras_3_15
@pytest.mark.slow
def test_averaged_weights_are_swapped_for_the_validation_only():
    model = make_players(learning_rate=0.1, use_ema=True, ema_momentum=0.5)
    seen = {}

    def note(key):
        return lambda *args, **kwargs: seen.setdefault(key, model.generator.get_weights()[0])

    watch = keras.callbacks.LambdaCallback(on_train_end=note("end"))
    watch.on_test_batch_begin = note("test")
    fit(model, keras.callbacks.SwapEMAWeights(), watch, epochs=1, validation_data=IMAGES)
    assert np.any(seen["test"] != seen["end"])
    alone = make_players(learning_rate=0.1, use_ema=True, ema_momentum=0.5)
    fit(alone, epochs=1)
    np.testing.assert_allclose(seen["end"], alone.generator.get_weights()[0], atol=1e-6)


@pytest.mark.slow
def test_tensorboard_counts_steps_and_writes_rates(tmp_path):
    board = keras.callbacks.TensorBoard(tmp_path, write_steps_per_second=True, write_graph=False)
    fit(renew_players(), board, epochs=2)
    assert board.model.optimizer.iterations == 4
    assert isinstance(board.model, Players)


@since_keras_3_15
@pytest.mark.slow
def test_tensorboard_writes_files(tmp_path):
    board = keras.callbacks.TensorBoard(tmp_path, write_steps_per_second=True)
    model = renew_players()
    fit(model, board, km.callbacks.ForOptimizer("generator_optimizer", halve()))
    tags = set()
    for path in (tmp_path / "train").glob("events*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            tags |= {value.tag for value in event.summary.value}
    assert {"epoch_steps_per_second", *(f"epoch_learning_rate_{name}" for name in NAMES)} <= tags


class Pair(km.Model):
    """A user's model: two optimizers in a list, logs of its own."""

    directions = {"gain": "max"}

    def __init__(self):
        super().__init__()
        self.parts = [keras.layers.Dense(1), keras.layers.Dense(1)]
        self.build((None, 3))

    def build(self, input_shape):
        for part in self.parts:
            part.build(input_shape)
        self.built = True

    def compile(self, **kwargs):
        super().compile(optimizer=None, **kwargs)
        self.optimizers = [km.build_optimizer(keras.optimizers.SGD(0.5), one) for one in self.parts]

    def train_step(self, x):
        for part, optimizer in zip(self.parts, self.optimizers, strict=True):
            with tf.GradientTape() as tape:
                loss = km.average_loss(tf.reduce_mean(part(x) ** 2, axis=-1))
            optimizer.apply(tape.gradient(loss, part.trainable_variables), part.trainable_variables)
        return {"gain": -loss, "first_loss": loss, "other": loss}

    def test_step(self, x):
        return {"gain": tf.reduce_mean(x), "first_loss": tf.reduce_mean(x), "other": 0.0}


@functools.cache
def _compile_pair():
    def make_pair():
        pair = Pair()
        pair.compile(mode="graph")
        return pair

    return compile_once(make_pair)


def fit_pair(*callbacks, **arguments):
    pair = _compile_pair()()
    x = np.ones((8, 3), "float32")
    pair.fit(x, validation_data=(x,), epochs=2, verbose=0, callbacks=list(callbacks), **arguments)
    return pair


@since_keras_3_15
@pytest.mark.slow
def test_a_user_s_model_has_the_same():
    pair = fit_pair(halve())
    assert [float(one.learning_rate) for one in pair.optimizers] == [0.125, 0.125]
    pair = fit_pair(km.callbacks.ForOptimizer("optimizers/1", halve()))
    assert [float(one.learning_rate) for one in pair.optimizers] == [0.5, 0.125]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("monitor", "mode"), [("val_gain", "max"), ("gain", "max"), ("val_first_loss", "min")]
)
def test_directions_are_known_by_name_and_by_what_the_model_says(monitor, mode, tmp_path):
    stopping = keras.callbacks.EarlyStopping(monitor)
    best = keras.callbacks.ModelCheckpoint(
        tmp_path / "best.weights.h5", monitor, save_best_only=True, save_weights_only=True
    )
    fit_pair(stopping, best)
    assert (stopping.mode, best.mode) == (mode, mode)
    assert best.best is not None


@pytest.mark.slow
def test_a_direction_that_nobody_knows_is_asked_for_before_the_first_step():
    pair = Pair()
    pair.compile(mode="graph")
    words = r"`mode` must be 'min' or 'max'.*EarlyStopping\(monitor='val_other', mode='auto'\)"
    with pytest.raises(ValueError, match=words):
        pair.fit(np.ones((8, 3)), verbose=0, callbacks=[keras.callbacks.EarlyStopping("val_other")])
    assert int(pair.optimizers[0].iterations.numpy()) == 0
    fit_pair(keras.callbacks.EarlyStopping("val_other", mode="max"))


@pytest.mark.slow
def test_the_gan_s_own_logs_have_directions():
    expected = {"val_g_loss": "min", "val_real_accuracy": "max"}
    stoppings = [keras.callbacks.EarlyStopping(name) for name in expected]
    fit(make_gan(), *stoppings, epochs=1, batch_size=16, validation_data=IMAGES)
    assert [one.mode for one in stoppings] == [*expected.values()]


@pytest.mark.parametrize(
    ("optimizer", "callback", "words"),
    [
        ({"learning_rate": keras.optimizers.schedules.CosineDecay(0.1, 9)}, halve(), "CosineDecay"),
        (
            {"learning_rate": keras.optimizers.schedules.CosineDecay(0.1, 9)},
            keras.callbacks.ReduceLROnPlateau("g_loss"),
            "ReduceLROnPlateau for 'discriminator_optimizer'",
        ),
        ({}, keras.callbacks.SwapEMAWeights(), "use_ema=True. Received: SwapEMAWeights for"),
        ({}, km.callbacks.ForOptimizer("optimizer", halve()), "'generator_optimizer'. Received"),
        (
            {},
            km.callbacks.ForOptimizer("generator_optimizer", keras.callbacks.SwapEMAWeights()),
            "SwapEMAWeights for 'generator_optimizer' without",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_first_step(optimizer, callback, words):
    model = make_players(**optimizer)
    with pytest.raises(ValueError, match=words):
        fit(model, callback)
    assert int(model.generator_optimizer.iterations.numpy()) == 0


@since_keras_3_15
@pytest.mark.slow
def test_a_single_optimizer_is_checked_and_used_as_in_keras():
    x, y = km.data.sums(16, 3, seed=0)
    model = km.SumRegressor(())
    model.compile(keras.optimizers.SGD(0.5))
    history = model.fit(x, y, verbose=0, callbacks=[halve()]).history
    assert history["learning_rate"] == [0.25]
    named = km.callbacks.ForOptimizer("optimizer", halve())
    assert model.fit(x, y, verbose=0, callbacks=[named]).history["learning_rate_optimizer"]
    model.compile(keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 9)))
    with pytest.raises(ValueError, match="a learning rate with a schedule of its own alone"):
        model.fit(x, y, verbose=0, callbacks=[keras.callbacks.ReduceLROnPlateau("loss")])


def test_a_model_without_any_optimizer_is_refused():
    class Plain(km.Model):
        def train_step(self, x):
            return {"loss": tf.reduce_sum(x)}

    model = Plain()
    model.compile(optimizer=None)
    with pytest.raises(ValueError, match="Received: Plain without one"):
        model.fit(np.ones((4, 1)), verbose=0, callbacks=[halve()])


def test_several_optimizers_have_no_rate_in_common():
    class OwnScheduler(keras.callbacks.LearningRateScheduler):
        def on_epoch_begin(self, epoch, logs=None):
            self.has_rate = hasattr(self.model.optimizer, "learning_rate")

        on_epoch_end = on_epoch_begin

    if not KNOWS_ONE:
        own = OwnScheduler(lambda epoch, rate: rate)
        fit(make_players("eager"), own, epochs=1)
        assert not own.has_rate
    one = OwnScheduler(lambda epoch, rate: rate)
    fit(make_players("eager"), km.callbacks.ForOptimizer(NAMES[0], one), epochs=1)
    assert one.has_rate


def test_a_class_is_no_callback():
    with pytest.raises(TypeError, match="`callback` must be a keras.callbacks.Callback"):
        km.callbacks.ForOptimizer("generator_optimizer", keras.callbacks.ReduceLROnPlateau)


class Counting(keras.callbacks.Callback):
    count = 0

    def get_state(self):
        return {"count": self.count}

    def set_state(self, state):
        self.count = state["count"]


def test_what_the_callback_counts_can_be_resumed():
    first, second = (km.callbacks.ForOptimizer("optimizer", Counting()) for _ in range(2))
    first.callback.count = 3
    second.set_state(first.get_state())
    assert second.callback.count == 3


@since_keras_3_15
@pytest.mark.slow
def test_all_callbacks_together_do_the_same_in_fused_as_in_eager(tmp_path):
    def train(mode):
        callbacks = [
            keras.callbacks.EarlyStopping("val_g_loss", patience=1, restore_best_weights=True),
            keras.callbacks.ModelCheckpoint(tmp_path / f"{mode}.keras", "val_g_loss"),
            halve(),
            keras.callbacks.ReduceLROnPlateau("val_g_loss", patience=1, min_delta=100),
            keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
            keras.callbacks.TensorBoard(tmp_path / mode, write_steps_per_second=True),
        ]
        model = make_players(mode, learning_rate=0.05, use_ema=True, ema_momentum=0.5)
        history = fit(model, *callbacks, epochs=3, shuffle=False, validation_data=IMAGES)
        assert (tmp_path / f"{mode}.keras").exists()
        return history, model.get_weights()

    (expected, weights), (found, other_weights) = train("eager"), train("fused")
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5)
    for one, other in zip(weights, other_weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.skipif(not KNOWS_ONE, reason="Keras knows several optimizers")
def test_callbacks_of_keras_3_14_act_on_a_named_optimizer_or_are_refused():
    model = make_players()
    history = fit(model, km.callbacks.ForOptimizer("generator_optimizer", halve()))
    assert rates(model) == [0.5, 0.125]
    assert history["learning_rate"] == [0.25, 0.125]
    with pytest.raises(ValueError, match="Wrap it in km.callbacks.ForOptimizer"):
        fit(model, halve())
    model = make_players(use_ema=True)
    with pytest.raises(ValueError, match="Use Keras 3.15"):
        fit(model, keras.callbacks.SwapEMAWeights())
    assert int(model.generator_optimizer.iterations.numpy()) == 0


def test_what_a_callback_of_ones_own_monitors_is_its_own_business():
    class Own(keras.callbacks.Callback):
        monitor, mode = "score", "auto"

    own = Own()
    model = km.SumRegressor(units=())
    model.compile("sgd", mode="eager")
    x, y = km.data.sums(num_samples=8)
    model.fit(x, y, callbacks=[own], verbose=0)
    assert own.mode == "auto"
