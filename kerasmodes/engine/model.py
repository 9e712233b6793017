"""`ModesMixin` and `Model`: how a step is run, chosen in `compile(mode=...)`.

What a step *is* belongs to the models; the modes' meaning to `modes.py`.
"""

import functools
import types

import keras

from kerasmodes import arguments, modes, replicas
from kerasmodes.engine import compile_config, keras_private
from kerasmodes.engine.executors import auto
from kerasmodes.engine.trainer import Trainer


def _refuse_hidden_methods(cls):
    """Raises if a class behind the mixin overrides what the mixin does: nothing would call it."""
    behind = cls.__mro__[cls.__mro__.index(Trainer) :]
    for owner in behind:
        if owner.__module__.split(".")[0] in ("keras", "kerasmodes"):
            continue
        hidden = [name for name in ("fit", "evaluate", "predict") if name in vars(owner)]
        if hidden:
            raise TypeError(
                f"`ModesMixin` must stand behind a class that overrides {', '.join(hidden)}. "
                f"Received: {cls.__name__} with {owner.__name__} behind it. Write "
                f"class {cls.__name__}({owner.__name__}, km.Model)."
            )


class ModesMixin(Trainer):
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

    # What holds of a model that was not compiled.
    _is_compiling = _is_fused = _finds_steps_per_execution = False
    _chooser = _compile_arguments = _handed_mode = None
    _steps = 1

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        owner = next(one for one in cls.__mro__ if "compile" in vars(one))
        # That of a class behind the mixin is called by the mixin's own.
        if owner is cls or not issubclass(owner, ModesMixin):
            cls.compile = compile_config.wrap_compile(owner.compile)
        _refuse_hidden_methods(cls)

    @compile_config.wrap_compile
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
        given = {
            "mode": mode,
            "run_eagerly": run_eagerly,
            "jit_compile": jit_compile,
            "steps_per_execution": steps_per_execution,
        }
        settings = self._resolve_mode(**given)
        args, kwargs = compile_config.for_class(super().compile, args, kwargs, settings)
        with self.distribute_strategy.scope():
            super().compile(*args, **kwargs)
            compile_config.replace_compiled_loss(self)
        self._set_mode(**given)
        self._handed_mode = mode

    def _resolve_mode(
        self, mode=None, run_eagerly=None, jit_compile="auto", steps_per_execution=None
    ):
        """Returns Keras's arguments of `compile` for a mode; raises if the mode cannot be had."""
        settings = modes.resolve(mode, run_eagerly, jit_compile, steps_per_execution)
        is_jitted = settings["jit_compile"] is True
        name = mode or modes.name_of(settings["run_eagerly"], is_jitted, fused=False)
        modes.check_replicas(name, self.distribute_strategy.num_replicas_in_sync)
        if is_jitted:
            _check_layers(self, f"{mode=}" if mode else f"{jit_compile=}")
        return settings

    def _set_mode(self, mode=None, run_eagerly=None, jit_compile="auto", steps_per_execution=None):
        """Lets a compiled model run as `_resolve_mode` says.

        A `compile` of the user's own may not have handed the settings on to Keras.
        """
        settings = modes.resolve(mode, run_eagerly, jit_compile, steps_per_execution)
        if mode is None:  # Then what was not given is as Keras's `compile` has it.
            given = {"run_eagerly": run_eagerly, "steps_per_execution": steps_per_execution}
            given["jit_compile"] = None if jit_compile == "auto" else jit_compile
            settings = {name: settings[name] for name in settings if given[name] is not None}
        for setting, value in settings.items():
            setattr(self, setting, value)
        self._is_fused = mode == "fused"
        self._finds_steps_per_execution = steps_per_execution is None
        chooses = mode == modes.AUTO and self._distribute_strategy is None
        self._chooser = auto.Chooser(self) if chooses else None
        self.train_function = self.test_function = self.predict_function = None

    @property
    def steps_per_execution(self):
        """K, the steps of one execution; 1 where `fit` finds it, which it does until assigned."""
        return self._steps

    def __setattr__(self, name, value):
        # TensorFlow leaves out an assignment of what is there already: a 1 would not be noticed.
        if name == "steps_per_execution":
            arguments.check_positive_integers(steps_per_execution=value)
            self._steps, self._finds_steps_per_execution = int(value), False
        else:
            super().__setattr__(name, value)

    @property
    def mode(self):
        """The mode that steps run in: `"eager"`, `"graph"`, `"xla"` or `"fused"`.

        `"auto"` until one of them is chosen.
        """
        chooser = getattr(self, "_chooser", None)
        if chooser is not None and not chooser.decided and not self.run_eagerly:
            return modes.AUTO
        return modes.name_of(self.run_eagerly, self.jit_compile, getattr(self, "_is_fused", False))

    @property
    def ends_executions_with_epoch(self):
        """Whether executions end with an epoch, where K does not divide it, unlike Keras's."""
        return self._is_fused or self._chooser is not None

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
        finds = self._finds_steps_per_execution
        for setting, value in settings.items():
            setattr(self, setting, value)
        self._is_fused, self._finds_steps_per_execution = mode == "fused", finds

    def track_loss(self, loss, num_examples):
        """Adds a loss to the running mean that the logs call `loss`.

        Args:
            loss: Scalar from `compute_loss`: this replica's share of the global batch's mean.
            num_examples: Examples that this replica holds, as the mean's weight.
        """
        num_replicas = self.distribute_strategy.num_replicas_in_sync
        loss = loss if num_replicas == 1 else loss * num_replicas
        keras_private.loss_trackers(self)[0].update_state(loss, sample_weight=num_examples)

    def get_compile_config(self):
        """Returns the arguments of `compile`, and which weights each optimizer was built for."""
        if not self.compiled or self._compile_arguments is None:
            return super().get_compile_config()
        return compile_config.config_of(self)

    def compile_from_config(self, config):
        """Compiles as `get_compile_config` says and builds each optimizer for its weights."""
        compile_config.compile_from(self, config)


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


# Files of the old format, `.h5`, name a class without its package.
keras.saving.get_custom_objects()["FunctionalModel"] = FunctionalModel


def with_modes(model):
    """Returns the same model, its class extended by the modes.

    For a model whose class is not yours to change. What its class overrides, it still does. A
    compiled model stays compiled, in Keras's own rules. Files, clones and copies of it have the
    class that it had (name one of your own in `custom_objects`): call `with_modes` on them again.
    """
    if not isinstance(model, ModesMixin):
        cls, arguments = model.__class__, keras_private.compile_arguments_of(model)
        steps_per_execution = model.steps_per_execution
        del model.steps_per_execution  # From here on a property of the class.
        # A file names a class by its module: it finds the one that everybody knows.
        names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
        model.__class__ = type(cls.__name__, (cls, Model), names)
        model.steps_per_execution = steps_per_execution
        model.train_function = model.test_function = model.predict_function = None
        compile_config.replace_compiled_loss(model)
        if arguments is not None and compile_config.compiles_as_keras(model):
            model._compile_arguments = types.SimpleNamespace(args=(), kwargs=arguments)
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


def _check_layers(model, received):
    """Raises when XLA is asked for and a layer refuses it; Keras would only warn and go on."""
    refusing = keras_private.refusing_layers(model)
    if refusing:
        raise ValueError(
            "`mode` must be 'graph' or 'eager' for a model with layers that XLA cannot compile. "
            f"Received: {received} with layers {refusing}"
        )
