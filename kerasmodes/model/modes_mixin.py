"""`ModesMixin` and `Model`: how a step is run, chosen in `compile(mode=...)`.

What a step *is* belongs to the models; the modes' meaning to `modes.py`.
"""

import functools
import inspect
import types

import keras

from kerasmodes import modes, replicas
from kerasmodes.model import choosing, compiling, keras_private
from kerasmodes.model.functions import KerasHooks


class ModesMixin(KerasHooks):
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
            cls.compile = compiling.remembered(cls.compile)

    @compiling.remembered
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
            mode: `"eager"`, `"graph"`, `"xla"`, `"fused"`; `"auto"` for the fastest of the last
                three, found by timing training steps; or `None` for Keras's own rules.
            run_eagerly: As in Keras; must agree with `mode` when both are given.
            jit_compile: As in Keras; must agree with `mode` when both are given.
            steps_per_execution: As in Keras: K, the steps of one execution. `None` is 1; when
                fused, as many as an epoch has, a second of work takes and 64 MB of input hold.
            **kwargs: Passed to Keras's `compile`.

        Raises:
            ValueError: If the mode is unknown, contradicts another argument, or cannot run on
                several replicas.
            TypeError: If an argument is unknown.
            RuntimeError: If a hook of Keras that the modes need is gone.
        """
        keras_private.check_hooks()
        settings = modes.resolve(mode, run_eagerly, jit_compile, steps_per_execution)
        is_jitted = settings["jit_compile"] is True
        name = mode or modes.name_of(settings["run_eagerly"], is_jitted, fused=False)
        num_replicas = self.distribute_strategy.num_replicas_in_sync
        modes.check_replicas(name, num_replicas)
        _check_layers(self, settings["jit_compile"])
        args, kwargs = compiling.for_class(super().compile, args, kwargs, settings)
        with self.distribute_strategy.scope():
            super().compile(*args, **kwargs)
            compiling.replace_compiled_loss(self)
        if mode is not None:
            # A `compile` of the user's own may not have handed them on to Keras.
            for setting, value in settings.items():
                setattr(self, setting, value)
        self._is_fused = name == "fused"
        self._finds_steps_per_execution = steps_per_execution is None
        chooses = name == modes.AUTO and self._distribute_strategy is None
        self._chooser = choosing.Chooser(self) if chooses else None

    @property
    def mode(self):
        """The mode that steps run in: `"eager"`, `"graph"`, `"xla"` or `"fused"`.

        `"auto"` until one of them is chosen.
        """
        chooser = getattr(self, "_chooser", None)
        if chooser is not None and not chooser.decided and not self.run_eagerly:
            return modes.AUTO
        return modes.name_of(self.run_eagerly, self.jit_compile, getattr(self, "_is_fused", False))

    @functools.wraps(keras.Model.fit)
    def fit(self, *args, **kwargs):
        arguments = inspect.signature(super().fit).bind(*args, **kwargs)
        arguments.apply_defaults()
        batch_size = arguments.arguments["batch_size"]
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"`batch_size` must be positive. Received: batch_size={batch_size}")
        # A namespace, not a dictionary: Keras would track (and save) what a dictionary holds.
        self._fit_arguments = types.SimpleNamespace(**arguments.arguments)
        history = super().fit(*args, **kwargs)
        if self._chooser is not None:
            self._chooser.end()
            history.params["microseconds_per_step"] = dict(self._chooser.microseconds)
        history.params["mode"] = self.mode
        return history

    @functools.wraps(keras.Model.save)
    def save(self, *args, **kwargs):
        # With several workers, the chief alone writes files; the others have the same weights.
        if replicas.is_chief(self.distribute_strategy):
            super().save(*args, **kwargs)

    @functools.wraps(keras.Model.save_weights)
    def save_weights(self, *args, **kwargs):
        if replicas.is_chief(self.distribute_strategy):
            super().save_weights(*args, **kwargs)

    def run_in(self, mode, steps_per_execution):
        """Goes over to another mode, between two executions, with everything else as it is."""
        settings = modes.resolve(mode, steps_per_execution=steps_per_execution)
        for setting, value in settings.items():
            setattr(self, setting, value)
        self._is_fused = mode == "fused"

    def track_loss(self, loss, num_examples):
        """Adds a loss to the running mean that the logs call `loss`.

        Args:
            loss: Scalar from `compute_loss`: this replica's share of the global batch's mean.
            num_examples: Examples that this replica holds, as the mean's weight.
        """
        # Keras puts the tracker that `compile` makes first among the metrics.
        num_replicas = self.distribute_strategy.num_replicas_in_sync
        loss = loss if num_replicas == 1 else loss * num_replicas
        self.metrics[0].update_state(loss, sample_weight=num_examples)

    def get_compile_config(self):
        """Returns the arguments of `compile`, and which weights each optimizer was built for."""
        if not self.compiled:
            return {}
        return compiling.config_of(self)

    def compile_from_config(self, config):
        """Compiles as `get_compile_config` says and builds each optimizer for its weights."""
        args, kwargs = compiling.arguments_of(config)
        self.compile(*args, **kwargs)
        with self.distribute_strategy.scope():
            compiling.build_optimizers(self, config)


@keras.saving.register_keras_serializable(package="kerasmodes")
class Model(ModesMixin, keras.Model):
    """`keras.Model` with modes: override `train_step`, keep `compile`, `fit`, `save`.

    Example:

    ```python
    class MyModel(km.Model):
        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                losses = keras.losses.mean_squared_error(y, self(x, training=True))
                loss = km.average_loss(losses)
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply(gradients, self.trainable_variables)
            self.track_loss(loss, num_examples=tf.shape(x)[0])
            return self.get_metrics_result()
    ```
    """

    def __init__(self, *args, **kwargs):
        if keras_private.functional_init_arguments(args, kwargs):
            self.__class__ = _functional_class(type(self))
        super().__init__(*args, **kwargs)


@keras.saving.register_keras_serializable(package="kerasmodes")
class FunctionalModel(Model, keras_private.Functional):
    """What `Model(inputs, outputs)` makes; nothing to be named in a program."""


def with_modes(model):
    """Returns the same model, its class extended by `ModesMixin`.

    For a model whose class is not yours to change. Such a model trains in every mode, but is not
    meant to be saved: its new class is known to this process only.
    """
    if not isinstance(model, ModesMixin):
        model.__class__ = type(model.__class__.__name__, (ModesMixin, model.__class__), {})
        compiling.replace_compiled_loss(model)
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


def _check_layers(model, jit_compile):
    """Raises when XLA is asked for and a layer refuses it; Keras would only warn and go on."""
    if jit_compile is not True:
        return
    refusing = keras_private.refusing_layers(model)
    if refusing:
        raise ValueError(
            "`mode` must be 'graph' or 'eager' for a model with layers that XLA cannot compile. "
            f"Received: jit_compile={jit_compile} with layers {refusing}"
        )
