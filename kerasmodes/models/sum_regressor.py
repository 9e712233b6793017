"""`SumRegressor`: a small regression network whose training step is spelled out.

How the step is run (eager, compiled, fused) is not here: that is `model.py`.
"""

import keras
import tensorflow as tf

from kerasmodes.engine import Model, finite_data, target_checks


@keras.saving.register_keras_serializable(package="kerasmodes")
class SumRegressor(Model):
    """Dense layers with ReLU and one linear output: learns, say, the sum of its inputs.

    `fit` takes inputs `[batch, features]` with any number of features, targets `[batch, 1]` or
    `[batch]`, and sample weights `[batch]`. `predict` returns `[batch, 1]`.

    Args:
        units: Widths of the hidden layers, positive ints; `()` makes a linear model.

    Example:

    ```python
    x, y = km.data.sums(num_samples=1_000)
    model = km.SumRegressor()
    model.compile(optimizer="adam", mode="fused")
    model.fit(x, y, batch_size=8, epochs=2, validation_split=0.1)
    ```
    """

    def __init__(self, units=(20, 10), **kwargs):
        is_sequence = isinstance(units, (list, tuple))
        if not is_sequence or not all(type(width) is int and width > 0 for width in units):
            raise ValueError(
                f"`units` must be a tuple of positive integers. Received: units={units!r}"
            )
        super().__init__(**kwargs)
        self.units = tuple(units)
        dtype = self.dtype_policy  # That of a file may differ from the program's.
        self.hidden_layers = [keras.layers.Dense(n, "relu", dtype=dtype) for n in units]
        self.output_layer = keras.layers.Dense(1, dtype=dtype)

    def compile(self, optimizer="adam", loss="mean_squared_error", **kwargs):
        """As Keras's `compile` (see `km.ModesMixin.compile`), with Adam and the squared error.

        Args:
            optimizer: Any Keras optimizer.
            loss: Any Keras loss, or a function of `(y_true, y_pred)` of as many terms as you like,
                that returns one value an example or their mean.
            **kwargs: `mode`, `metrics` and the other arguments of `compile`.
        """
        super().compile(optimizer=optimizer, loss=loss, **kwargs)

    def fit(self, x=None, y=None, *args, **kwargs):
        """As Keras's `fit`; arrays must be finite, those of `validation_data` too.

        Raises:
            ValueError: If an array holds NaN or infinity; the first one is named.
        """
        others = {name: kwargs.get(name) for name in ("sample_weight", "validation_data")}
        finite_data.check_finite(x=x, y=y, **others)
        return super().fit(x, y, *args, **kwargs)

    def build(self, input_shape):
        if len(input_shape) != 2 or input_shape[-1] is None:
            raise ValueError(
                "`x` must have shape [batch, features]. "
                f"Received: x with shape={tuple(input_shape)}"
            )
        width = input_shape[-1]
        for layer in [*self.hidden_layers, self.output_layer]:
            if not layer.built:
                layer.build((None, width))
            width = layer.units
        self.built = True

    def call(self, x):
        for layer in self.hidden_layers:
            x = layer(x)
        return self.output_layer(x)

    def check_batch(self, x, y, sample_weight, method):
        self._check_inputs(x)
        if method == "predict":
            return
        _check_targets(y, sample_weight)

    def _check_inputs(self, x):
        width = self.layers[0].input_spec.axes[-1] if self.built else None
        received = f"a {type(x).__name__}"
        if hasattr(x, "shape"):
            received = f"x with shape={target_checks.show_shape(x.shape)}"
        if not hasattr(x, "shape") or not tf.TensorShape(x.shape).is_compatible_with([None, width]):
            raise ValueError(
                f"`x` must have shape [batch, {width or 'features'}], in one array. "
                f"Received: {received}"
            )
        dtype = tf.as_dtype(x.dtype)
        if not (dtype.is_floating or dtype.is_integer or dtype.is_bool):
            raise ValueError(f"`x` must hold numbers. Received: x of dtype={dtype.name}")

    def _unpack(self, data):
        """Returns a batch's inputs, its targets as a column, and its weights."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        _check_targets(y, sample_weight)
        # A row against a column would be broadcast by a loss of the user's own.
        return x, tf.reshape(y, [-1, 1]), sample_weight

    def train_step(self, data):
        x, y, sample_weight = self._unpack(data)
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(x, y, y_pred, sample_weight, training=True)
            scaled_loss = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled_loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        self.track_loss(loss, num_examples=tf.shape(x)[0])
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def test_step(self, data):
        x, y, sample_weight = self._unpack(data)
        y_pred = self(x, training=False)
        loss = self.compute_loss(x, y, y_pred, sample_weight, training=False)
        self.track_loss(loss, num_examples=tf.shape(x)[0])
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def _check_targets(y, sample_weight):
    if not hasattr(y, "shape"):
        raise ValueError(f"`y` must be given, in one array [batch, 1]. Received: y={y!r}")
    target_checks.check_targets(y, sample_weight, (None, 1))
