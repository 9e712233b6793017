"""The sum regressor in stock Keras and in kerasmodes' modes: `fit`, `evaluate`, `predict`.

A stock peer's process never imports kerasmodes. Its model has the layers of `km.SumRegressor`
and Keras's own training step, which `km.SumRegressor` spells out.
"""

import math
import time

import keras
import tensorflow as tf

from peers import sum_data


class StockRegressor(keras.Model):
    def __init__(self, units):
        super().__init__()
        self.hidden_layers = [keras.layers.Dense(n, activation="relu") for n in units]
        self.output_layer = keras.layers.Dense(1)

    def call(self, x):
        for layer in self.hidden_layers:
            x = layer(x)
        return self.output_layer(x)


class EpochTimer(keras.callbacks.Callback):
    """Collects the seconds of each epoch, from begin to end, callbacks included."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self._start)


class IdleTimer(keras.callbacks.Callback):
    """Adds up the idle seconds between the last step of an epoch and the first step of the next."""

    def __init__(self):
        super().__init__()
        self.idle = 0.0
        self._left = None

    def begin(self, batch, logs=None):
        if batch == 0 and self._left:
            wall, work = time.perf_counter() - self._left[0], time.process_time() - self._left[1]
            self.idle += max(0.0, wall - work)

    def end(self, batch, logs=None):
        self._left = time.perf_counter(), time.process_time()

    on_train_batch_begin = on_test_batch_begin = begin
    on_train_batch_end = on_test_batch_end = end


def make_model(mode, units=sum_data.UNITS):
    """Returns the uncompiled model; mode `None` is stock Keras."""
    keras.utils.set_random_seed(0)
    if mode is None:
        return StockRegressor(units)
    import kerasmodes as km

    return km.SumRegressor(units=tuple(units))


def compile_model(model, mode, arguments):
    """Compiles with Adam 1e-3 and the squared error; a mode of `None` is stock Keras."""
    how = {} if mode is None else {"mode": mode}
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3), loss="mean_squared_error", **how, **arguments
    )


def make_fit(
    mode=None,
    num_samples=10_000,
    num_features=20,
    batch_size=1,
    epochs=3,
    source="arrays",
    units=sum_data.UNITS,
    **arguments,
):
    """Returns a function that trains for `epochs` and returns the time of each.

    Args:
        mode: Name of a mode, or `None` for stock Keras.
        num_samples: Examples in an epoch.
        num_features: Width of an example.
        batch_size: Examples in a batch.
        epochs: Epochs of one `fit`.
        source: `"arrays"`, shuffled by `fit`, or `"arrays in order"`; `"dataset"`, in order, or
            `"shuffled dataset"`.
        units: Widths of the hidden layers.
        **arguments: Passed to `compile`.
    """
    model = make_model(mode, units)
    compile_model(model, mode, arguments)
    fit_arguments = _make_fit_arguments(source, num_samples, num_features, batch_size)
    num_steps = math.ceil(num_samples / batch_size)
    timer = EpochTimer()

    def run():
        timer.seconds = []
        start = time.perf_counter()
        model.fit(**fit_arguments, epochs=epochs, verbose=0, callbacks=[timer])
        return sum_data.summarize_times(timer.seconds, num_steps, time.perf_counter() - start)

    model.fit(**fit_arguments, epochs=1, verbose=0, callbacks=[timer])
    return run


def make_inference(method, mode=None, num_samples=10_000, batch_size=32):
    """Returns a function that times whole calls of `"evaluate"` or `"predict"`."""
    x, y = sum_data.sums(num_samples)
    model = make_model(mode)
    compile_model(model, mode, {})
    model.fit(x[:batch_size], y[:batch_size], batch_size=batch_size, verbose=0)
    data = (x, y) if method == "evaluate" else (x,)
    num_steps = math.ceil(num_samples / batch_size)

    def run():
        start = time.perf_counter()
        getattr(model, method)(*data, batch_size=batch_size, verbose=0)
        return {"samples": [1e6 * (time.perf_counter() - start) / num_steps]}

    run()
    return run


def make_first_fit(mode=None, num_samples=1, **arguments):
    """Returns a function that times `compile` and the first `fit`; for a fresh process."""
    model = make_model(mode)
    x, y = sum_data.sums(num_samples)

    def run():
        start = time.perf_counter()
        compile_model(model, mode, arguments)
        model.fit(x, y, batch_size=1, verbose=0)
        return {"samples": [time.perf_counter() - start]}

    return run


def make_epochs(mode, kind, num_samples, epochs):
    """Returns a function that measures which share of a fit is idle between epochs, in percent.

    Args:
        mode: As in `make_fit`.
        kind: `"finite"`, `"finite, with validation"` or `"repeated"` (with `steps_per_epoch`).
        num_samples: Examples of an epoch, in batches of 1.
        epochs: Epochs of the fit.
    """
    x, y = sum_data.sums(num_samples)
    model = make_model(mode)
    compile_model(model, mode, {})

    def make_data():
        data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(num_samples)
        data = data.map(lambda x, y: (2.0 * x, 2.0 * y), tf.data.AUTOTUNE).batch(1)
        return data.prefetch(tf.data.AUTOTUNE)

    arguments = {"x": make_data(), "shuffle": False, "verbose": 0}
    if kind == "repeated":
        arguments |= {"x": make_data().repeat(), "steps_per_epoch": num_samples}
    elif kind == "finite, with validation":
        arguments["validation_data"] = make_data().take(num_samples // 2)

    def run():
        timer, start = IdleTimer(), time.perf_counter()
        model.fit(**arguments, epochs=epochs, callbacks=[timer])
        timer.begin(0)  # adds the time that the end of the fit takes
        return {"samples": [100.0 * timer.idle / (time.perf_counter() - start)]}

    model.fit(**arguments, epochs=1)
    return run


def make_memory(mode, batch_megabytes=8, num_batches=60, num_features=2048):
    """Returns a function that measures the peak memory of one epoch; for a fresh process."""
    batch_size = batch_megabytes * 2**20 // (4 * num_features)
    dataset = tf.data.Dataset.range(num_batches).map(
        lambda index: (
            tf.random.stateless_uniform((batch_size, num_features), [index, 0]),
            tf.zeros((batch_size, 1)),
        )
    )
    model = make_model(mode, units=(8,))
    compile_model(model, mode, {})

    def run():
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # resets the peak to the memory that is resident now
        before = _read_status_megabytes("VmRSS")
        model.fit(dataset, epochs=1, shuffle=False, verbose=0)
        return {"samples": [_read_status_megabytes("VmHWM") - before]}

    return run


def _make_fit_arguments(source, num_samples, num_features, batch_size):
    x, y = sum_data.sums(num_samples, num_features)
    if source.startswith("arrays"):
        return {"x": x, "y": y, "batch_size": batch_size, "shuffle": source == "arrays"}
    dataset = tf.data.Dataset.from_tensor_slices((x, y))
    if source == "shuffled dataset":
        dataset = dataset.shuffle(num_samples)
    return {"x": dataset.batch(batch_size)}


def _read_status_megabytes(name):
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(name))
    return int(line.split()[1]) / 1024
