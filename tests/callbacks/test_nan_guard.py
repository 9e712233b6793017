"""Tests of `NaNGuard`: planted faults are found and named in every mode, and nothing else is."""

import dataclasses
import functools
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from seeds import set_seed

import kerasmodes as km
from kerasmodes.engine import execution_length, model_state

MODES = ("eager", "graph", "xla", "fused", "auto")
X = np.random.default_rng(0).uniform(1, 2, (48, 4)).astype("float32")
Y = X.sum(1, keepdims=True)
# Of two ways of compiled steps, the one that a test takes unless all are run.
GRAPH = ["graph", pytest.param("fused", marks=pytest.mark.sweep)]
FUSED = ["fused", pytest.param("graph", marks=pytest.mark.sweep)]
BATCH_SIZE = 4
BAD = 29  # The example that does harm: the second one of step 7.
STEP, ROW = divmod(BAD, BATCH_SIZE)


class Logarithm(keras.layers.Layer):
    def call(self, inputs):
        return tf.math.log(inputs)


class Root(keras.layers.Layer):
    def call(self, inputs):
        return tf.sqrt(tf.abs(inputs))


class Division(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return tf.reduce_mean((y_true - y_pred) / tf.reduce_min(y_true, 1, keepdims=True), 1)


class OwnStep(km.Model):
    """Two optimizers, and a log of its own."""

    def compile(self, **kwargs):
        super().compile(optimizer=None, **kwargs)
        with self.distribute_strategy.scope():
            self.first = km.build_optimizer("adam", self)
            self.second = km.build_optimizer("sgd", self)

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(y - self(x, training=True)))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.first.apply(gradients, self.trainable_variables)
        self.second.apply([0.001 * one for one in gradients], self.trainable_variables)
        return {"own_loss": loss, "ratio": tf.reduce_mean(1.0 / y)}


def list_modes(*first):
    """Returns all modes; those that are not among the first are a sweep."""
    return [one if one in first else pytest.param(one, marks=pytest.mark.sweep) for one in MODES]


def with_number(number, array=X):
    array = array.copy()
    array[BAD, -1] = number
    return array


def make_model(mode, layers=(), optimizer=None, loss="mean_squared_error", cls=km.Model, **more):
    """Returns a model of these layers and a last one; its optimizer has a state by default."""
    set_seed(0)
    optimizer = optimizer or keras.optimizers.SGD(0.01, momentum=0.9)
    inputs = outputs = keras.Input((4,))
    for layer in (*layers, keras.layers.Dense(1, name="last")):
        outputs = layer(outputs)
    model = cls(inputs, outputs)
    if cls is km.Model:
        more |= {"optimizer": optimizer, "loss": loss}
    model.compile(mode=mode, **more)
    return model


@functools.cache
def _compile_plain():
    model = make_model("graph")
    model.optimizer.build(model.trainable_variables)
    state = model_state.ModelState(model)
    return model, state, state.copy()


def renew_plain():
    """Returns what `make_model("graph")` does, with steps that other tests have compiled."""
    model, state, start = _compile_plain()
    state.restore(start)
    return model


def fit(model, *data, guard=None, **arguments):
    """Returns the guard's report, the warnings and the history of a fit."""
    guard = guard or km.callbacks.NaNGuard(check_data=False)
    if isinstance(data[0], np.ndarray):
        arguments = {"batch_size": BATCH_SIZE, "shuffle": False, **arguments}
    others = arguments.pop("callbacks", [])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = model.fit(*data, verbose=0, callbacks=[guard, *others], **arguments)
    return guard.report, [str(warning.message) for warning in caught], history


def read_state(model):
    state = model_state.ModelState(model)
    return [variable.name for variable in state.variables], [v.numpy() for v in state.copy()]


def assert_equal_states(one, other):
    for first, second in zip(read_state(one)[1], read_state(other)[1], strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.slow
@pytest.mark.parametrize("mode", list_modes("fused"))
def test_a_layer_is_named_and_the_state_before_the_step_is_back(mode, tmp_path):
    model = make_model(mode, [Logarithm(name="log")])
    guard = km.callbacks.NaNGuard(tmp_path)
    report, (message,), history = fit(model, with_number(0), Y, guard=guard, epochs=3)
    assert (report.epoch, report.step, report.stage) == (0, STEP, "forward")
    assert (report.operation, report.layer, report.restored_to) == ("Log", "log", (0, STEP))
    assert report.source.endswith("return tf.math.log(inputs)")
    assert report.ranges[0].least == 0 and report.ranges[0].num_broken == 0
    assert "log 'loss'" in message and "The logarithm of 0 or less" in message
    assert len(history.epoch) == 1 and np.isfinite(history.history["loss"]).all()
    with np.load(report.batch_path, allow_pickle=False) as batch:
        rows = slice(STEP * BATCH_SIZE, (STEP + 1) * BATCH_SIZE)
        np.testing.assert_array_equal(batch["x"], with_number(0)[rows])
        np.testing.assert_array_equal(batch["y"], Y[rows])
    sound = make_model(mode, [Logarithm()])
    sound.fit(X[: rows.start], Y[: rows.start], batch_size=BATCH_SIZE, shuffle=False, verbose=0)
    assert_equal_states(model, sound)


@pytest.mark.slow
@pytest.mark.parametrize("mode", FUSED)
def test_a_later_step_of_an_execution_in_a_later_epoch_is_found(mode):
    """The weights grow until they overflow: no step is like another."""
    optimizer = keras.optimizers.SGD(1e3, clipvalue=1.0)
    growing = keras.layers.Dense(4, "exponential", name="growing")
    more = {"steps_per_execution": 5}
    model = make_model(mode, [growing], optimizer, **more)
    report, _, _ = fit(model, X, Y, epochs=4)
    assert (report.stage, report.layer, report.operation) == ("forward", "growing", "Exp")
    assert report.advice.startswith("Exponentials overflow")
    again = make_model(mode, [keras.layers.Dense(4, "exponential")], optimizer="sgd")
    again.compile(keras.optimizers.SGD(1e3, clipvalue=1.0), "mean_squared_error", mode="graph")
    steps = [again.train_on_batch(X[i : i + 4], Y[i : i + 4]) for i in range(0, 48, 4)]
    assert report.step == int(np.argmin(np.isfinite(steps)))


class LogOfSum(keras.layers.Layer):
    def call(self, inputs):
        return tf.math.log(tf.reduce_sum(inputs, 1, keepdims=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "dropout"),
    [
        ("fused", keras.layers.Dropout),
        pytest.param("graph", keras.layers.Dropout, marks=pytest.mark.sweep),
        pytest.param("graph", km.random.Dropout, marks=pytest.mark.sweep),
        pytest.param("fused", km.random.Dropout, marks=pytest.mark.sweep),
    ],
)
def test_random_numbers_are_the_same_in_the_replay(mode, dropout):
    """One example in 39 has all its inputs dropped: the first one breaks the loss."""
    model = make_model(mode, [dropout(0.4, seed=1), LogOfSum(name="log")])
    report, _, history = fit(model, X, Y, epochs=20)
    assert (report.stage, report.layer, report.operation) == ("forward", "log", "Log")
    assert (report.epoch, report.ranges[0].least) == (history.epoch[-1], 0)


@pytest.mark.parametrize("mode", list_modes("eager"))
def test_a_division_in_the_loss_is_named(mode):
    report, (message,), _ = fit(make_model(mode, loss=Division()), X, with_number(0, Y))
    assert (report.step, report.stage, report.operation) == (STEP, "loss", "RealDiv")
    assert "It divides by 0" in message and "tf.reduce_min(y_true, 1" in report.source


@pytest.mark.parametrize("mode", list_modes("eager"))
def test_a_learning_rate_that_explodes_is_told_by_the_ranges(mode):
    report, (message,), _ = fit(make_model(mode, optimizer=keras.optimizers.SGD(1e12)), X, Y)
    assert (report.epoch, report.step, report.stage) == (0, 2, "loss")
    assert "try a lower learning rate" in message
    assert max(abs(report.ranges[0].least), report.ranges[0].most) > 1e18


@pytest.mark.slow
@pytest.mark.parametrize("mode", list_modes("eager"))
def test_a_number_in_the_data_is_found_by_its_place(mode):
    report, (message,), _ = fit(make_model(mode), with_number(np.nan), Y)
    assert (report.step, report.stage, report.part) == (STEP, "data", "x")
    assert (report.example, report.feature) == (ROW, (3,))
    assert f"x[{ROW}, 3] of the batch is not finite" in message
    assert dataclasses.asdict(report)["ranges"][0]["num_broken"] == 1  # It is plain data.


@pytest.mark.slow
@pytest.mark.parametrize("mode", [*GRAPH, pytest.param("eager", marks=pytest.mark.sweep)])
def test_a_gradient_is_named_with_the_layer_whose_it_is(mode):
    zeros = keras.layers.Dense(3, kernel_initializer="zeros", name="first")
    report, (message,), _ = fit(make_model(mode, [zeros, Root(name="root")]), X, Y)
    assert (report.epoch, report.step, report.stage) == (0, 0, "backward")
    assert (report.gradient_of, report.layer, report.logs) == ("Sqrt", "root", ())
    assert report.gradient == "first/kernel"
    assert "The forward pass was finite" in message and "square root has no finite slope" in message


@pytest.mark.parametrize("mode", list_modes("eager"))
def test_the_state_of_an_optimizer_is_watched(mode):
    """Adam's mean square overflows: no weight moves any more, and the loss stays finite."""
    model = make_model(mode, optimizer="adam", loss=lambda y, p: 1e20 * (y - p))
    report, _, _ = fit(model, X, Y)
    assert (report.epoch, report.step, report.stage) == (0, 0, "update")
    assert (report.operation, report.optimizer, report.logs) == ("Square", "optimizer", ())
    assert "velocity" in report.variable


def test_a_setting_that_is_infinite_is_named():
    report, _, _ = fit(make_model("eager", optimizer=keras.optimizers.SGD(np.inf)), X, Y)
    assert report.stage == "variable" and report.variable.endswith("/learning_rate")


@pytest.mark.slow
@pytest.mark.parametrize("mode", [*GRAPH, pytest.param("eager", marks=pytest.mark.sweep)])
def test_a_step_and_logs_of_the_users_own(mode):
    rows = (STEP + 1) * BATCH_SIZE  # Callbacks see the logs of an execution's last step.
    report, _, _ = fit(make_model(mode, cls=OwnStep), X[:rows], with_number(0, Y)[:rows])
    assert (report.step, report.logs, report.variables) == (STEP, ("ratio",), ())
    assert (report.stage, report.operation) == ("step", "RealDiv")
    assert "1.0 / y" in report.source


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["graph", pytest.param("eager", marks=pytest.mark.sweep)])
def test_two_replicas_are_searched_and_get_their_state_back(mode, two_replicas):
    rows = STEP * BATCH_SIZE
    with two_replicas.scope():
        model, sound = (make_model(mode, [Logarithm(name="log")]) for _ in range(2))
        report, _, _ = fit(model, with_number(0), Y)
    sound.fit(X[:rows], Y[:rows], batch_size=BATCH_SIZE, shuffle=False, verbose=0)
    assert (report.step, report.stage, report.layer) == (STEP, "forward", "log")
    assert_equal_states(model, sound)
    with two_replicas.scope():
        bad = fit(model, with_number(np.nan), Y)[0]
    assert (bad.step, bad.stage, bad.example, bad.feature) == (STEP, "data", ROW, (3,))


@pytest.mark.slow
def test_which_of_two_optimizers_is_named():
    model = make_model("eager", cls=OwnStep)
    model.second.learning_rate = np.inf
    report, _, _ = fit(model, X, Y)
    assert (report.epoch, report.step, report.stage) == (0, 0, "variable")
    assert report.variable.lower().startswith("second: sgd")
    assert len(report.variables) >= 2
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.sweep
@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_the_gan_and_which_of_its_optimizers(mode):
    images = np.random.default_rng(0).uniform(-1, 1, (8, 8, 8, 1)).astype("float32")
    gan = km.MSGGAN((8, 8, 1), 1, 4, preset=km.presets.Default(2, 2), seed=0)
    gan.compile(keras.optimizers.SGD(np.inf), keras.optimizers.SGD(), mode=mode)
    report, _, _ = fit(gan, images, batch_size=4)
    assert (report.epoch, report.step, report.stage) == (0, 0, "variable")
    assert report.variable.startswith("generator_optimizer: sgd")
    assert any(name.startswith("conv2d") for name in report.variables)
    assert all(np.isfinite(weight).all() for weight in gan.get_weights())


def make_dataset(x=None, y=Y):
    x = with_number(np.nan) if x is None else x
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH_SIZE)


@pytest.mark.slow
@pytest.mark.parametrize("mode", list_modes("auto"))
def test_a_data_set(mode):
    report, _, _ = fit(make_model(mode), make_dataset())
    assert (report.step, report.example, report.feature) == (STEP, ROW, (3,))


@pytest.mark.sweep
def test_several_steps_of_a_data_set():
    report, _, _ = fit(make_model("graph", steps_per_execution=5), make_dataset())
    assert (report.step, report.example, report.feature) == (STEP, ROW, (3,))


@pytest.mark.slow
@pytest.mark.parametrize("steps", [pytest.param(1, marks=pytest.mark.sweep), 5])
def test_batches_of_a_generator_end_as_without_a_guard(steps):
    def generate():
        yield from make_dataset(X).as_numpy_iterator()

    def train(callbacks):
        model = make_model("graph", steps_per_execution=steps)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            history = model.fit(generate(), verbose=0, epochs=1, callbacks=callbacks)
        return model, history.history, [str(one.message)[:30] for one in caught]

    plain, guarded = train([]), train([km.callbacks.NaNGuard()])
    assert plain[1:] == guarded[1:]
    assert_equal_states(plain[0], guarded[0])


class Lengths(km.Model):
    def __init__(self):
        super().__init__()
        self.last = keras.layers.Dense(1)
        self.last.build((None, 1))
        self.built = True

    def call(self, inputs):
        return self.last(tf.reduce_sum(inputs, axis=1)[:, tf.newaxis])


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["eager", pytest.param("graph", marks=pytest.mark.sweep)])
def test_ragged_batches(mode, tmp_path):
    rows = tf.ragged.constant([[1.0, 2.0], [3.0], [4.0, 5.0], [6.0, float("inf")]])
    model = Lengths()
    model.compile("sgd", "mean_squared_error", mode=mode)
    data = tf.data.Dataset.from_tensor_slices((rows, np.ones((4, 1), "float32"))).batch(2)
    report, _, _ = fit(model, data, guard=km.callbacks.NaNGuard(tmp_path))
    assert (report.step, report.part, report.example, report.feature) == (1, "x", 1, (1,))
    with np.load(report.batch_path, allow_pickle=False) as batch:
        np.testing.assert_array_equal(batch["x/0"], [4, 5, 6, np.inf])


@pytest.mark.slow
@pytest.mark.sweep
def test_batches_of_a_distributed_data_set_are_not_kept(two_replicas):
    with two_replicas.scope():
        model = make_model("graph")
        data = two_replicas.experimental_distribute_dataset(make_dataset())
        report, (message,), _ = fit(model, data)
    assert (report.stage, report.step) == ("unknown", STEP)
    assert "was not searched for" in message
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.slow
@pytest.mark.parametrize("mode", FUSED)
def test_a_step_that_a_loss_scale_skips_is_no_failure(mode):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        inner = keras.optimizers.Adam()
        optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0**40)
        model = make_model(mode, optimizer=optimizer)
        report, messages, _ = fit(model, X, Y)
    finally:
        keras.config.set_dtype_policy("float32")
    assert report is None and messages == []
    assert float(optimizer.dynamic_scale.numpy()) < 2.0**40


class Masked(keras.layers.Layer):
    """Adds minus infinity where a mask is, as attention does, and takes the softmax."""

    def build(self, input_shape):
        mask = [0.0, 0.0, 0.0, -np.inf]
        self.mask = self.add_weight(shape=(4,), trainable=False, name="mask")
        self.mask.assign(mask)

    def call(self, inputs):
        log = tf.math.log(inputs - inputs[:, :1])  # Infinite; the next line hides it.
        inputs = tf.where(tf.math.is_finite(log), tf.stop_gradient(log), inputs)
        return tf.nn.softmax(inputs + self.mask)


@pytest.mark.slow
@pytest.mark.parametrize("mode", GRAPH)
def test_infinities_without_harm_are_no_failure(mode):
    report, messages, _ = fit(make_model(mode, [Masked()]), X, Y, epochs=2)
    assert report is None and messages == []


@pytest.mark.slow
def test_among_infinities_without_harm_the_one_that_does_harm_is_named():
    layers = [Masked(name="masked"), keras.layers.Rescaling(1.0, -1.0), Logarithm(name="log")]
    report, _, _ = fit(make_model("eager", layers), X, Y)
    assert (report.layer, report.operation, report.step) == ("log", "Log", 0)


class Nothing(keras.metrics.Metric):
    value = tf.constant(np.nan)

    def update_state(self, y_true, y_pred, sample_weight=None):
        pass

    def result(self):
        return self.value


@pytest.mark.slow
def test_a_metric_that_is_nan_is_named_and_may_be_ignored():
    model = make_model("graph", metrics=[Nothing(name="nothing")])
    report, (message,), _ = fit(model, X, Y)
    assert report.logs == ("nothing",) and "NaNGuard(ignore=[...])" in message
    guard = km.callbacks.NaNGuard(ignore=["nothing"])
    report, messages, _ = fit(model, X, Y, guard=guard, epochs=2)
    assert report is None and messages == []


@pytest.mark.slow
def test_an_error_in_place_of_the_warning():
    model = renew_plain()
    guard = km.callbacks.NaNGuard(raise_error=True, check_data=False)
    with pytest.raises(FloatingPointError, match="It came from the data: x"):
        fit(model, with_number(np.nan), Y, guard=guard)
    assert guard.report.step == STEP
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


class Sabotage(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 5:
            self.model.trainable_variables[0].assign([[np.inf]] * 4)


@pytest.mark.slow
def test_a_fault_that_no_step_has_made_is_said_to_be_one():
    model = renew_plain()
    report, (message,), _ = fit(model, X, Y, callbacks=[Sabotage()])
    assert report.stage == "unknown" and "such as a callback" in message
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


class OnlyCompiled(keras.layers.Layer):
    def call(self, inputs):
        return inputs if tf.executing_eagerly() else inputs + np.nan


@pytest.mark.slow
@pytest.mark.parametrize("mode", FUSED)
def test_a_fault_of_compiled_steps_alone_is_said_to_be_one(mode):
    report, (message,), _ = fit(make_model(mode, [OnlyCompiled()]), X, Y)
    assert (report.epoch, report.step, report.stage) == (0, 0, "unknown")
    assert report.logs == ("loss",) and "The same step is finite when it runs eagerly" in message


@pytest.mark.slow
def test_a_schedule_of_a_callback_takes_part_in_the_replay():
    """In the second epoch the learning rate is one that explodes."""
    model = make_model("eager", optimizer=keras.optimizers.SGD(1e-3))
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch: 1e-3 if epoch == 0 else 1e12)
    report, _, _ = fit(model, X, Y, epochs=3, callbacks=[schedule])
    assert (report.epoch, report.step, report.stage) == (1, 2, "loss")


@pytest.mark.slow
def test_a_model_that_is_not_built_yet():
    model = km.SumRegressor(())
    model.compile("sgd", mode="fused")
    report, _, _ = fit(model, make_dataset())
    assert (report.step, report.example) == (STEP, ROW)


class Parts(km.Model):
    """Its step calls its parts, which have their weights: nothing ever builds the model itself."""

    def __init__(self):
        super().__init__()
        self.network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])

    def train_step(self, data):
        return {"loss": tf.reduce_mean(self.network(data[0]))}


def fit_parts(model):
    model.compile("sgd", mode="eager")
    data = tf.data.Dataset.from_tensor_slices((with_number(np.nan), Y)).batch(BATCH_SIZE)
    return fit(model, data)


def test_a_model_that_only_its_parts_built_is_searched_and_gets_its_state_back():
    model = Parts()
    report, _, _ = fit_parts(model)
    assert (report.step, report.example, report.restored_to) == (STEP, ROW, (0, STEP))
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_a_model_with_a_layer_that_nothing_builds_is_said_not_to_be_built():
    model = Parts()
    model.unused = keras.layers.Dense(1)
    _, (message,), _ = fit_parts(model)
    assert "was not built when the fit began" in message
    assert "Build it with `model.build(input_shape)`" in message


@pytest.mark.slow
def test_a_failure_in_the_very_first_step_of_an_unbuilt_optimizer():
    model = make_model("eager", optimizer="adam")
    x = X.copy()
    x[2, 1] = np.nan
    before = [weight.copy() for weight in model.get_weights()]
    report, _, _ = fit(model, x, Y)
    assert (report.step, report.example, report.feature) == (0, 2, (1,))
    for weight, own in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, own)
    assert all(not np.any(v.numpy()) for v in model.optimizer.variables if "momentum" in v.path)


@pytest.mark.slow
@pytest.mark.parametrize("mode", list_modes("fused"))
def test_a_sound_fit_is_the_same_as_without(mode):
    plain, guarded = make_model(mode, [Logarithm()]), make_model(mode, [Logarithm()])
    history = plain.fit(X, Y, batch_size=BATCH_SIZE, epochs=3, verbose=0, shuffle=False)
    report, messages, own = fit(guarded, X, Y, epochs=3)
    assert report is None and messages == [] and own.history == history.history
    assert_equal_states(plain, guarded)


def test_arrays_are_checked_before_the_first_step():
    model = make_model("graph")
    before = model.get_weights()
    message = rf"`x` must be finite. Received: x\[{BAD}, 3\]=nan. Remove such examples; or"
    with pytest.raises(ValueError, match=message):
        fit(model, with_number(np.nan), Y, guard=km.callbacks.NaNGuard())
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_weights_are_checked_before_the_first_step():
    model = make_model("graph")
    model.trainable_variables[1].assign([np.nan])
    with pytest.raises(ValueError, match="must be finite when a fit begins. Received: .*last/bias"):
        fit(model, X, Y)


def test_a_model_without_modes_is_refused():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mean_squared_error")
    with pytest.raises(TypeError, match="Received: Sequential. Use km.with_modes"):
        fit(model, X, Y)


@pytest.mark.parametrize("ignore", ["loss", [1]])
def test_wrong_names_are_refused(ignore):
    with pytest.raises(ValueError, match="`ignore` must be a list of names of logs. Received: ig"):
        km.callbacks.NaNGuard(ignore=ignore)


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="`directory` must be a folder. Received: the file"):
        km.callbacks.NaNGuard(tmp_path / "file")


class LogOfMetric(keras.metrics.Mean):
    """The mean of a logarithm, which not every target has."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        return super().update_state(tf.math.log(y_true))


@pytest.mark.parametrize("mode", list_modes("eager"))
def test_a_metric_is_named_with_its_line(mode):
    model = make_model(mode, metrics=["mae", LogOfMetric(name="log_mean")])
    report, (message,), _ = fit(model, X, with_number(0, Y))
    assert (report.step, report.stage, report.metric) == (STEP, "metric", "log_mean")
    assert (report.logs, report.operation, report.place) == (("log_mean",), "Log", (ROW, 0))
    assert "tf.math.log(y_true)" in report.source
    assert f"operation Log of metric 'log_mean' ({report.source}), at [{ROW}, 0]" in message
    assert "input 0 of the metric" in message


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(float("nan"), id="float", marks=pytest.mark.sweep),
        pytest.param(tf.constant(np.nan), id="tensor"),
    ],
)
def test_a_metric_whose_result_is_nan_itself_is_named(value):
    metric = Nothing(name="nothing")
    metric.value = value
    report, _, _ = fit(make_model("eager", metrics=["mae", metric]), X, Y)
    assert (report.step, report.stage, report.metric) == (0, "metric", "nothing")


def fit_with_validation(model, x, y, **arguments):
    """Returns the report and the message of a fit whose validation data do harm."""
    data = (x, y) if y is not None else x
    report, (message,), history = fit(model, X, Y, validation_data=data, epochs=3, **arguments)
    assert report.is_validation and history.epoch == [0]
    assert (report.step, report.validation_step) == (None, STEP)
    assert f"stopped in epoch 1, validation batch {STEP + 1} (mode" in message
    return report, message


@pytest.mark.parametrize("mode", list_modes("fused"))
def test_an_example_of_the_validation_data_is_named(mode, tmp_path):
    guard = km.callbacks.NaNGuard(tmp_path, check_data=False)
    model = make_model(mode)
    report, message = fit_with_validation(model, with_number(np.nan), Y, guard=guard)
    assert (report.stage, report.example, report.feature) == ("data", ROW, (3,))
    assert report.logs == ("val_loss",) and "The model is as it was after the last step" in message
    assert report.batch_path == tmp_path / f"epoch_0001_validation_{STEP + 1:06d}.npz"
    with np.load(report.batch_path, allow_pickle=False) as batch:
        assert np.isnan(batch["x"][ROW, 3])
    sound = make_model(mode)
    fit(sound, X, Y, epochs=1)
    assert_equal_weights(model, sound)


def assert_equal_weights(one, other):
    for first, second in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("mode", list_modes("eager"))
def test_a_layer_that_fails_in_the_validation_is_named(mode):
    model = make_model(mode, [Logarithm(name="log")])
    report, message = fit_with_validation(model, make_dataset(with_number(0)), None)
    assert (report.stage, report.layer, report.operation) == ("forward", "log", "Log")
    assert report.place == (ROW, 3) and "The logarithm of 0 or less" in message


@pytest.mark.sweep
@pytest.mark.parametrize("mode", list_modes("graph"))
def test_a_metric_that_fails_in_the_validation_is_named(mode):
    model = make_model(mode, metrics=["mae", LogOfMetric(name="log_mean")])
    report, _ = fit_with_validation(model, X, with_number(0, Y))
    assert (report.stage, report.metric) == ("metric", "log_mean")
    assert report.logs == ("val_log_mean",)


class DropsInTests(keras.layers.Layer):
    """The logarithm of a sum, of which evaluation drops some terms: all of one in 39 examples."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dropout = km.random.Dropout(0.4, seed=1)

    def call(self, inputs, training=False):
        kept = inputs if training else self.dropout(inputs, training=True)
        return tf.math.log(tf.reduce_sum(kept, 1, keepdims=True))


@pytest.mark.sweep
@pytest.mark.parametrize("mode", list_modes("fused"))
def test_random_numbers_of_the_validation_are_drawn_again(mode):
    model = make_model(mode, [DropsInTests(name="drops")])
    report, _, _ = fit(model, X, Y, validation_data=(X, Y), epochs=20)
    assert report.is_validation and report.validation_step is not None
    assert (report.stage, report.operation, report.ranges[0].least) == ("forward", "Log", 0)


@pytest.mark.parametrize("name", [pytest.param("loss", marks=pytest.mark.sweep), "val_loss"])
def test_a_log_of_the_validation_may_be_ignored_by_its_own_name(name):
    guard = km.callbacks.NaNGuard(ignore=[name], check_data=False)
    data = (with_number(np.nan), Y)
    report, messages, _ = fit(renew_plain(), X, Y, validation_data=data, guard=guard)
    assert (report is None) == (name == "val_loss") == (messages == [])


def test_validation_data_that_cannot_be_read_twice_are_said_to_be_so():
    def generate():
        yield from make_dataset().as_numpy_iterator()

    report, messages, _ = fit(renew_plain(), X, Y, validation_data=generate())
    (message,) = (one for one in messages if one.startswith("Training was stopped"))
    assert report.is_validation and report.validation_step is None
    assert "stopped in epoch 1, validation (mode" in message and "cannot be read twice" in message


@pytest.mark.sweep
def test_two_replicas_find_the_batch_of_a_validation(two_replicas):
    with two_replicas.scope():
        model = make_model("graph", [Logarithm(name="log")])
        report, _ = fit_with_validation(model, with_number(0), Y)
    assert (report.stage, report.layer) == ("forward", "log")


def test_validation_arrays_are_checked_before_the_first_step():
    model = renew_plain()
    message = rf"`validation_data` must be finite. Received: validation_data\[0\]\[{BAD}, 3\]=nan."
    with pytest.raises(ValueError, match=message):
        model.fit(
            *(X, Y),
            validation_data=(with_number(np.nan), Y),
            verbose=0,
            callbacks=[km.callbacks.NaNGuard()],
        )


def make_forked(mode, **more):
    """Returns a model with an output that no loss takes."""
    set_seed(0)
    inputs = keras.Input((4,))
    outputs = {"a": keras.layers.Dense(1)(inputs), "b": Logarithm(name="log")(inputs)}
    model = km.Model(inputs, outputs)
    model.compile("adam", {"a": "mean_squared_error"}, mode=mode, **more)
    return model


@pytest.mark.parametrize("mode", list_modes("graph"))
def test_an_output_that_no_loss_takes_is_watched(mode):
    report, (message,), _ = fit(make_forked(mode), with_number(0), {"a": Y}, epochs=2)
    assert (report.epoch, report.step, report.stage) == (0, STEP, "forward")
    assert (report.layer, report.logs, report.place) == ("log", ("outputs",), (ROW, 3))
    assert "NaN or infinity in the outputs." in message


class Forked(km.Model):
    """A model with an output that no loss takes, and of which only a call tells the outputs."""

    def __init__(self):
        super().__init__()
        self.last, self.log = keras.layers.Dense(1), Logarithm(name="log")

    def call(self, inputs):
        return {"a": self.last(inputs), "b": self.log(inputs)}


@pytest.mark.slow
@pytest.mark.parametrize("mode", list_modes("graph"))
def test_an_output_that_only_a_call_tells_and_no_loss_takes_is_watched(mode):
    model = Forked()
    model(X[:1])
    model.compile("adam", {"a": "mean_squared_error"}, mode=mode)
    report, _, _ = fit(model, with_number(0), {"a": Y})
    assert (report.epoch, report.step, report.stage) == (0, STEP, "forward")
    assert (report.layer, report.logs) == (f"{model.name}/log", ("outputs",))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["graph", pytest.param("eager", marks=pytest.mark.sweep)])
def test_an_output_of_one_replica_that_no_loss_takes_is_watched(mode, two_replicas):
    with two_replicas.scope():
        report, _, _ = fit(make_forked(mode), with_number(0), {"a": Y})
    assert (report.step, report.stage) == (STEP, "forward")
    assert (report.layer, report.logs) == ("log", ("outputs",))


def test_outputs_may_be_ignored():
    guard = km.callbacks.NaNGuard(ignore=["outputs"], check_data=False)
    report, messages, _ = fit(make_forked("eager"), with_number(0), {"a": Y}, guard=guard)
    assert report is None and messages == []


@pytest.mark.sweep
def test_outputs_of_an_earlier_fit_do_not_count():
    model = make_forked("graph")
    fit(model, X, {"a": Y})
    model.fit(with_number(0), {"a": Y}, verbose=0)
    report, messages, _ = fit(model, X, {"a": Y})
    assert report is None and messages == []


class AddsLog(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs["own"] = float("nan") if epoch == 1 else 1.0


def test_a_log_that_a_callback_adds_stops_too():
    report, (message,), history = fit(renew_plain(), X, Y, epochs=4, callbacks=[AddsLog()])
    assert (report.epoch, report.stage, report.logs) == (1, "callback", ("own",))
    assert "A callback has added it" in message and history.epoch == [0, 1]


def test_a_sound_fit_leaves_no_folder(tmp_path):
    fit(renew_plain(), X, Y, guard=km.callbacks.NaNGuard(tmp_path / "nan"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_below_a_file_is_refused_before_the_first_step(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ValueError, match=r"`directory` must be a folder. Received: .*file. is a file"
    ):
        fit(renew_plain(), X, Y, guard=km.callbacks.NaNGuard(tmp_path / "file" / "nan"))


@pytest.mark.parametrize("mode", list_modes("fused"))
def test_a_log_of_a_step_in_the_middle_of_an_execution_is_seen(mode):
    model = make_model(mode, cls=OwnStep, steps_per_execution=12)
    broken = Y.copy()
    broken[BAD] = 0  # The loss stays finite, and all other steps do.
    report, (message,), _ = fit(model, X, broken)
    assert (report.epoch, report.step, report.logs) == (0, STEP, ("ratio",))
    assert "log 'ratio'" in message


class LastRatio(keras.metrics.Metric):
    """A metric that forgets all batches but the last one."""

    def __init__(self):
        super().__init__(name="ratio")
        self.number = self.add_weight(name="number", initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.number.assign(tf.reduce_mean(1.0 / y_true))

    def result(self):
        return self.number + 0.0


@pytest.mark.slow
@pytest.mark.parametrize("mode", list_modes("fused"))
def test_a_metric_of_the_users_own_that_forgets_is_seen_in_the_middle_of_an_execution(mode):
    model = make_model(mode, metrics=[LastRatio()], steps_per_execution=12, loss="mae")
    broken = Y.copy()
    broken[BAD] = 0
    report, _, _ = fit(model, X, broken)
    assert (report.epoch, report.step, report.logs) == (0, STEP, ("ratio",))


def test_a_log_of_a_step_in_the_middle_is_seen_on_two_replicas(two_replicas):
    with two_replicas.scope():
        model = make_model("graph", cls=OwnStep, steps_per_execution=12)
    targets = Y.copy()
    targets[BAD - ROW : BAD - ROW + 2] = 0.0  # Of one replica's shard alone.
    report, _, _ = fit(model, X, targets)
    assert report.logs == ("ratio",) and report.step == STEP


@pytest.mark.parametrize("mode", list_modes("graph"))
@pytest.mark.parametrize("data", ["arrays", pytest.param("dataset", marks=pytest.mark.sweep)])
def test_a_log_that_may_be_broken_has_the_value_that_it_has_without_the_guard(mode, data):
    targets = Y.copy()
    targets[BAD] = 0.0
    dataset = tf.data.Dataset.from_tensor_slices((X, targets)).batch(BATCH_SIZE)
    given = {"x": X, "y": targets, "batch_size": BATCH_SIZE, "shuffle": False}
    given = given if data == "arrays" else {"x": dataset}
    logs = []
    for callbacks in ([km.callbacks.NaNGuard(ignore=["ratio"])], []):
        model = make_model(mode, cls=OwnStep, steps_per_execution=12)
        logs.append(model.fit(**given, verbose=0, callbacks=callbacks).history)
    assert logs[0] == logs[1] and np.isfinite(logs[0]["ratio"]).all()


def test_a_log_of_one_of_several_joined_steps_is_seen(monkeypatch):
    monkeypatch.setattr(execution_length, "SECONDS", 1e9)  # Executions of 1, 2, 4 and 5 steps.
    broken = Y.copy()
    broken[BAD] = 0
    report, _, _ = fit(make_model("graph", cls=OwnStep), X, broken)
    assert (report.epoch, report.step, report.logs) == (0, STEP, ("ratio",))


def test_a_fit_without_a_guard_does_not_look_at_outputs():
    model = make_forked("eager")
    fit(model, X, {"a": Y})
    assert model.output_watch is None
    model.fit(with_number(0), {"a": Y}, verbose=0)
    report, messages, _ = fit(model, X, {"a": Y})
    assert report is None and messages == [] and model.output_watch is None


def test_names_to_ignore_that_are_not_logged_are_told_once():
    guard = km.callbacks.NaNGuard(ignore=["val_lost", "val_loss", "outputs"])
    arguments = {"validation_data": (X, Y), "validation_freq": 2, "epochs": 4, "guard": guard}
    report, (message,), _ = fit(renew_plain(), X, Y, **arguments)
    assert report is None
    assert "Received: ['val_lost'], which this fit does not log" in message
    assert message.endswith("Its logs: outputs, loss, val_loss")


class OwnFunctions(km.Model):
    """A model whose steps and tests are functions of its own, of Keras's iterators."""

    def make_train_function(self, force=False):
        self.train_function = tf.function(lambda iterator: self.train_step(next(iterator)))

    def make_test_function(self, force=False):
        self.test_function = tf.function(lambda iterator: self.test_step(next(iterator)))


def make_own_functions(rate=0.01):
    inputs = keras.Input((4,))
    model = OwnFunctions(inputs, keras.layers.Dense(1)(inputs))
    model.compile(keras.optimizers.SGD(rate), "mean_squared_error", mode="graph")
    return model


@pytest.mark.parametrize("data", [(X, Y), (tf.data.Dataset.from_tensor_slices((X, Y)).batch(4),)])
def test_a_train_function_of_ones_own_keeps_its_iterators(data):
    report, told, history = fit(make_own_functions(), *data, epochs=2)
    assert (report, told) == (None, [])
    assert len(history.history["loss"]) == 2


def test_a_failure_in_a_train_function_of_ones_own_is_told_without_the_step():
    model = make_own_functions(rate=1e30)
    report, _, _ = fit(model, X, Y)
    assert "for a `train_function` of your own, no batches are kept" in report.remark
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_a_failure_in_a_test_function_of_ones_own_is_told_without_the_batch():
    validation = with_number(np.nan), Y
    report, _, _ = fit(make_own_functions(), X, Y, validation_data=validation)
    assert report.logs == ("val_loss",)
    assert "Which batch it was, and why, was not found" in report.remark


class TrainsInner(km.Model):
    """A step that uses the optimizer of a model within."""

    def __init__(self):
        super().__init__()
        self.inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        self.inner.compile(keras.optimizers.Adam(0.01))

    def call(self, x):
        return self.inner(x)

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(self(x) - y))
        weights = self.inner.trainable_variables
        self.inner.optimizer.apply(tape.gradient(loss, weights), weights)
        return {"loss": loss}


def test_the_optimizer_of_a_model_within_gets_its_state_back():
    model = TrainsInner()
    model.build((None, 4))
    model.compile(optimizer=None, mode="eager")
    report, _, _ = fit(model, with_number(np.nan), Y)
    assert report.restored_to == (0, STEP)
    assert int(model.inner.optimizer.iterations.numpy()) == STEP
    assert all(np.isfinite(v.numpy()).all() for v in model.inner.optimizer.variables)
