"""`ModesMixin` and `Model`: how a step is run, chosen in `compile(mode=...)`, and kept when saved.

What a step *is* belongs to the models; the modes' meaning to `modes.py`; the fused loop to
`fusing.py`. This is the one file that uses hooks of Keras beyond its documented interface
(`HOOKS` below, and the class of functional models), checked with Keras 3.15.1.
"""

import functools
import inspect
import types

import keras
import tensorflow as tf
from keras.src.models.functional import Functional
from keras.src.models.model import functional_init_arguments
from keras.src.trainers.epoch_iterator import EpochIterator

from kerasmodes import averaging, fusing, modes

HOOKS = {
    keras.Model: (
        "make_train_function",
        "make_test_function",
        "make_predict_function",
        "_make_function",
        "_maybe_symbolic_build",
        "_flatten_layers",
    ),
    EpochIterator: ("_enumerate_iterator",),
}


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
        _check_hooks()
        settings = modes.resolve(mode, run_eagerly, jit_compile, steps_per_execution)
        is_jitted = settings["jit_compile"] is True
        name = mode or modes.name_of(settings["run_eagerly"], is_jitted, fused=False)
        num_replicas = self.distribute_strategy.num_replicas_in_sync
        modes.check_replicas(name, num_replicas, settings["steps_per_execution"])
        _check_layers(self, settings["jit_compile"])
        args, kwargs = _compile_arguments(super().compile, args, kwargs, settings)
        with self.distribute_strategy.scope():
            super().compile(*args, **kwargs)
        if mode is not None:
            # A `compile` of the user's own may not have handed them on to Keras.
            for setting, value in settings.items():
                setattr(self, setting, value)
        self._is_fused = name == "fused"
        self._block_steps = self.steps_per_execution

    @property
    def mode(self):
        """The mode that steps run in: `"eager"`, `"graph"`, `"xla"` or `"fused"`."""
        return modes.name_of(self.run_eagerly, self.jit_compile, getattr(self, "_is_fused", False))

    def predict(self, *args, **kwargs):
        """As Keras's `predict`; when fused, each batch is one execution."""
        steps_per_execution = self.steps_per_execution
        self.steps_per_execution = 1 if self.mode == "fused" else steps_per_execution
        try:
            return super().predict(*args, **kwargs)
        finally:
            self.steps_per_execution = steps_per_execution

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
                function = fusing.make_step_function(step, lambda: self._block_steps, run)
        else:
            keras_make_function(force=True)
            function = getattr(self, f"{kind}_function")
        function.mode = self.mode
        setattr(self, f"{kind}_function", function)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Called by `fit` and `evaluate` with the iterator that cuts an epoch into executions."""
        super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)
        if iterator is not None and self.mode == "fused":
            _end_with_the_epoch(iterator, self)

    def _make_function(self, step_function):
        # A program of XLA runs whole or not at all.
        step = step_function if self.jit_compile else _after_its_batch(step_function)
        return super()._make_function(step)

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

    def __init__(self, *args, **kwargs):
        if functional_init_arguments(args, kwargs):
            self.__class__ = _functional_class(type(self))
        super().__init__(*args, **kwargs)


@keras.saving.register_keras_serializable(package="kerasmodes")
class FunctionalModel(Model, Functional):
    """What `Model(inputs, outputs)` makes; nothing to be named in a program."""


def with_modes(model):
    """Returns the same model, its class extended by `ModesMixin`.

    For a model whose class is not yours to change. Such a model trains in every mode, but is not
    meant to be saved: its new class is known to this process only.
    """
    if not isinstance(model, ModesMixin):
        model.__class__ = type(model.__class__.__name__, (ModesMixin, model.__class__), {})
    return model


def _functional_class(cls):
    """Returns the class with `FunctionalModel` in the place of `Model` among its bases.

    Keras would put its functional class under `Model` itself, hence under every model there is,
    and those that are not functional could not be made any more.
    """
    if cls is Model:
        return FunctionalModel
    if issubclass(cls, Model) and not issubclass(cls, FunctionalModel):
        cls.__bases__ = tuple(_functional_class(base) for base in cls.__bases__)
    return cls


def _end_with_the_epoch(epoch_iterator, model):
    """Makes the iterator's last block end where the epoch ends; tells the model each block's steps.

    Keras counts, and runs, whole blocks of K steps also where K does not divide the epoch.
    """
    if "_enumerate_iterator" in vars(epoch_iterator):
        return  # Keras keeps the iterator of the validation data over the epochs.
    blocks = epoch_iterator._enumerate_iterator

    def ending_blocks():
        for begin, end, batches in blocks():
            if epoch_iterator.num_batches:
                last = min(end, epoch_iterator.num_batches - 1)
                epoch_iterator._steps_seen -= end - last
                end = last
            model._block_steps = end - begin + 1
            yield begin, end, batches

    epoch_iterator._enumerate_iterator = ending_blocks


def _after_its_batch(step):
    """Returns the step, held back until its batch is there.

    In a graph, what does not depend on the batch (step counters, seeds) would else run once more
    when data of unknown length end, and the next epoch would see other numbers.
    """

    @functools.wraps(step)
    def waiting_step(data):
        with tf.control_dependencies([part for part in tf.nest.flatten(data) if tf.is_tensor(part)]):
            return step(data)

    return waiting_step


def _compile_arguments(compile, args, kwargs, settings):
    """Returns the arguments for the class's own `compile`: settings it knows, losses spread."""
    signature = inspect.signature(compile)
    parameters = signature.parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    known = {name: value for name, value in settings.items() if takes_all or name in parameters}
    bound = signature.bind(*args, **kwargs, **known)
    if "loss" in bound.arguments:
        bound.arguments["loss"] = averaging.spread_scalar(bound.arguments["loss"])
    return bound.args, bound.kwargs


def _check_hooks():
    missing = [
        f"{owner.__name__}.{name}"
        for owner, names in HOOKS.items()
        for name in names
        if not hasattr(owner, name)
    ]
    if missing:
        raise RuntimeError(
            f"Keras must have {', '.join(missing)}, on which the modes are built (checked with "
            f"Keras 3.15.1). Received: Keras {keras.__version__}"
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
    """Returns the model's optimizers by attribute name, or by name and place in a list or dict."""
    return {
        name if place is None else f"{name}/{place}": part
        for name, value in sorted(vars(model).items())
        for place, part in _places(value)
        if isinstance(part, keras.optimizers.Optimizer)
    }


def _places(value):
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, (list, tuple)) else [(None, value)]


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
