"""`ModesMixin` and `Model`: how a step is run, chosen in `compile(mode=...)`, and kept when saved.

What a step *is* belongs to the models; the modes' meaning to `modes.py`; the fused loop to
`fusing.py`. This is the one file that uses hooks of Keras beyond its documented interface
(`make_train_function`, `make_test_function`, `make_predict_function`, `_flatten_layers`), checked
with Keras 3.15.1.
"""

import functools
import inspect
import types

import keras

from kerasmodes import averaging, fusing, modes

HOOKS = ("make_train_function", "make_test_function", "make_predict_function", "_flatten_layers")


def _remembered(compile):
    """Returns `compile` that keeps the arguments of its outermost call, for saving."""

    @functools.wraps(compile)
    def remembering(self, *args, **kwargs):
        is_outermost = not getattr(self, "_is_compiling", False)
        self._is_compiling = True
        try:
            compile(self, *args, **kwargs)
        finally:
            self._is_compiling = not is_outermost
        if is_outermost:
            # A namespace, not a dictionary: Keras would track (and save) what a dictionary holds.
            self._compile_arguments = types.SimpleNamespace(args=args, kwargs=kwargs)

    return remembering


class ModesMixin:
    """Gives any `keras.Model` subclass the modes; put it before the Keras class.

    `compile` takes `mode=` beside the class's own arguments. A subclass that overrides `compile`
    with arguments of its own (two optimizers, say) is saved with them, its optimizers with their
    state, without further code.

    Example:

    ```python
    class MyModel(km.ModesMixin, keras.Sequential):
        pass

    model = MyModel([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("adam", "mean_squared_error", mode="xla")
    ```
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "compile" in cls.__dict__:
            cls.compile = _remembered(cls.compile)

    @_remembered
    def compile(
        self,
        *args,
        mode=None,
        run_eagerly=None,
        jit_compile="auto",
        steps_per_execution=None,
        **kwargs,
    ):
        """Configures the model for training, as Keras's `compile`, in a mode.

        Args:
            *args: Passed to Keras's `compile`.
            mode: `"eager"`, `"graph"`, `"xla"`, `"fused"`, or `None` for Keras's own rules.
            run_eagerly: As in Keras; must agree with `mode` when both are given.
            jit_compile: As in Keras; must agree with `mode` when both are given.
            steps_per_execution: As in Keras: K, the steps of one execution. `None` is 1, and 100
                when fused.
            **kwargs: Passed to Keras's `compile`.

        Raises:
            ValueError: If the mode is unknown, contradicts another argument, or cannot run on
                several replicas.
            TypeError: If an argument is unknown.
            RuntimeError: If a hook of Keras that the modes need is gone.
        """
        _check_hooks(self)
        settings = modes.resolve(mode, run_eagerly, jit_compile, steps_per_execution)
        is_jitted = settings["jit_compile"] is True
        name = mode or modes.name_of(settings["run_eagerly"], is_jitted, fused=False)
        num_replicas = self.distribute_strategy.num_replicas_in_sync
        modes.check_replicas(name, num_replicas, settings["steps_per_execution"])
        _check_layers(self, settings["jit_compile"])
        arguments = inspect.signature(super().compile).bind(*args, **kwargs, **settings).arguments
        if "loss" in arguments:
            arguments["loss"] = averaging.spread_scalar(arguments["loss"])
        arguments.update(arguments.pop("kwargs", {}))
        with self.distribute_strategy.scope():
            super().compile(*arguments.pop("args", ()), **arguments)
        self._is_fused = name == "fused"

    @property
    def mode(self):
        """The mode that steps run in: `"eager"`, `"graph"`, `"xla"` or `"fused"`."""
        return modes.name_of(self.run_eagerly, self.jit_compile, getattr(self, "_is_fused", False))

    def make_train_function(self, force=False):
        self._make_for_mode("train", super().make_train_function, force)

    def make_test_function(self, force=False):
        self._make_for_mode("test", super().make_test_function, force)

    def make_predict_function(self, force=False):
        self._make_for_mode("predict", super().make_predict_function, force)

    def _make_for_mode(self, kind, keras_make_function, force):
        """Makes `train_function` and its siblings anew when there is none for the present mode."""
        made = getattr(self, f"{kind}_function")
        if made is not None and getattr(made, "mode", None) == self.mode and not force:
            return
        if self.mode == "fused":
            step, run = getattr(self, f"{kind}_step"), self.distribute_strategy.run
            if kind == "predict":
                function = fusing.make_predict_function(step, run)
            else:
                function = fusing.make_step_function(step, self.steps_per_execution, run)
        else:
            keras_make_function(force=True)
            function = getattr(self, f"{kind}_function")
        function.mode = self.mode
        setattr(self, f"{kind}_function", function)

    def track_loss(self, loss, num_examples):
        """Adds a loss to the running mean that the logs call `loss`.

        Args:
            loss: Scalar from `compute_loss`: this replica's share of the global batch's mean.
            num_examples: Examples that this replica holds, as the mean's weight.
        """
        # Keras puts the tracker that `compile` makes first among the metrics.
        num_replicas = self.distribute_strategy.num_replicas_in_sync
        self.metrics[0].update_state(loss * num_replicas, sample_weight=num_examples)

    def get_compile_config(self):
        """Returns the arguments of `compile`, and which weights each optimizer was built for."""
        if not self.compiled:
            return {}
        return {
            "args": keras.saving.serialize_keras_object(list(self._compile_arguments.args)),
            "kwargs": keras.saving.serialize_keras_object(dict(self._compile_arguments.kwargs)),
            "optimizer_weights": _optimizer_weights(self),
        }

    def compile_from_config(self, config):
        """Compiles as `get_compile_config` says and builds each optimizer for its weights."""
        args = keras.saving.deserialize_keras_object(config["args"])
        kwargs = keras.saving.deserialize_keras_object(config["kwargs"])
        self.compile(*args, **kwargs)
        with self.distribute_strategy.scope():
            _build_optimizers(self, config["optimizer_weights"])


@keras.saving.register_keras_serializable(package="kerasmodes")
class Model(ModesMixin, keras.Model):
    """`keras.Model` with modes: override `train_step`, keep `compile`, `fit`, `save`.

    Example:

    ```python
    class MyModel(km.Model):
        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                loss = km.average_loss(tf.square(self(x, training=True) - y))
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply(gradients, self.trainable_variables)
            return {"loss": loss}
    ```
    """


def with_modes(model):
    """Returns the same model, its class extended by `ModesMixin`.

    For a model whose class is not yours to change. Such a model trains in every mode, but is not
    meant to be saved: its new class is known to this process only.
    """
    if not isinstance(model, ModesMixin):
        model.__class__ = type(model.__class__.__name__, (ModesMixin, model.__class__), {})
    return model


def _check_hooks(model):
    for name in HOOKS:
        if not hasattr(keras.Model, name):
            raise RuntimeError(
                f"`keras.Model` must have {name}, which kerasmodes overrides (checked with Keras "
                f"3.15.1). Received: Keras {keras.__version__}"
            )


def _check_layers(model, jit_compile):
    """Raises when XLA is asked for and a layer refuses it; Keras would only warn and go on."""
    if jit_compile is not True:
        return
    refusing = [layer.name for layer in model._flatten_layers() if not layer.supports_jit]
    if refusing:
        raise ValueError(
            "`mode` must be 'graph' or 'eager' for a model with layers that XLA cannot compile. "
            f"Received: jit_compile={jit_compile} with layers {refusing}"
        )


def _optimizers(model):
    """Returns the model's optimizers by attribute name."""
    return {
        name: value
        for name, value in sorted(vars(model).items())
        if isinstance(value, keras.optimizers.Optimizer)
    }


def _optimizer_weights(model):
    """Returns, for each built optimizer, the places in `model.weights` of what it updates."""
    places = {id(weight): place for place, weight in enumerate(model.weights)}
    return {
        name: [places[id(v)] for v in optimizer._trainable_variables]
        for name, optimizer in _optimizers(model).items()
        if optimizer.built
    }


def _build_optimizers(model, optimizer_weights):
    if optimizer_weights and not model.built:
        raise ValueError(
            "The model must be built before its optimizers' state can be loaded. Received: "
            f"{model.__class__.__name__} with built=False. Define `build(input_shape)`, or load "
            "with compile=False."
        )
    optimizers = _optimizers(model)
    for name, places in optimizer_weights.items():
        if not optimizers[name].built:
            weights = model.weights
            optimizers[name].build([weights[place] for place in places])
