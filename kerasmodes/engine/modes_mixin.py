"""`ModesMixin`: how a step is run, chosen in `compile(mode=...)`.

What a step *is* belongs to the models; the modes' meaning to `modes.py`.
"""

import functools
import types
from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from kerasmodes import arguments, modes, replicas
from kerasmodes.engine import (
    compile_config,
    compiled_loss,
    data_checks,
    executors,
    fit_arguments,
    keras_private,
    saving,
    summed_gradients,
    target_checks,
)
from kerasmodes.engine.trainer import Trainer


def check_names(owner: type, attributes: Iterable[str]) -> None:
    """Raises a `TypeError` if attributes of a model, or of its class, hide those of the modes.

    A class that was made for the modes may override their methods.

    Args:
        owner: The class.
        attributes: Names of attributes.
    """
    is_foreign = issubclass(owner, keras.Model) and not issubclass(owner, ModesMixin)
    for name in attributes:
        if isinstance(vars(ModesMixin).get(name), property) or is_foreign and _is_called(name):
            raise TypeError(
                f"A model with modes must have no attribute {name!r} of its own: it tells how "
                f"steps run. Received: {owner.__name__}.{name}. Give yours another name, or put "
                "the model into one of km.Model that calls it."
            )


def _is_called(name):
    """Returns whether the modes have an attribute that Keras has not, and use it themselves."""
    is_public = not name.startswith("_") and name != "track_loss"  # That one is for steps.
    return is_public and name in vars(ModesMixin) and not hasattr(keras.Model, name)


def _check_bases(cls):
    """Raises if a class hides what the mixin has, or is behind it and would not be called."""
    for owner in cls.__mro__[: cls.__mro__.index(ModesMixin)]:
        if not _is_known(owner):
            check_names(owner, vars(owner))
    behind = cls.__mro__[cls.__mro__.index(Trainer) :]
    for owner in behind:
        if _is_known(owner):
            continue
        hidden = [name for name in ("fit", "evaluate", "predict") if name in vars(owner)]
        if hidden:
            base = "Sequential" if issubclass(cls, keras.Sequential) else "Model"
            raise TypeError(
                f"`ModesMixin` must stand behind a class that overrides {', '.join(hidden)}. "
                f"Received: {cls.__name__} with {owner.__name__} behind it. Write "
                f"class {cls.__name__}({owner.__name__}, km.{base})."
            )


def _is_known(cls):
    return cls.__module__.split(".")[0] in ("keras", "kerasmodes")


class ModesMixin(Trainer):
    """Gives any `keras.Model` subclass the modes; put it before the class that it extends.

    `compile` takes `mode=` beside the class's own arguments. A subclass that overrides `compile`
    with arguments of its own (two optimizers, say) is saved with them, its optimizers with their
    state, without further code.

    Example:

    ```python
    class Network(keras.Model):  # of another package
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x):
            return self.dense(x)

    class NetworkWithModes(km.ModesMixin, Network):
        pass

    model = NetworkWithModes()
    model.compile("adam", "mean_squared_error", mode="xla")
    ```
    """

    # What holds of a model that was not compiled. Python gives a name that begins with two
    # underscores that of this class: an attribute of a user's own class is another one.
    given_mode = __compile_arguments = __selector = None
    output_watch = __gradient_dtype = None
    is_loaded_with_modes = True  # Files of what `with_modes` has extended name a class without.
    __finds_steps_per_execution = False
    __steps = 1

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        owner = next(one for one in cls.__mro__ if "compile" in vars(one))
        # That of a class behind the mixin is called by the mixin's own.
        if owner is cls or not issubclass(owner, ModesMixin):
            cls.compile = compile_config.record_compile_arguments(owner.compile)
        _check_bases(cls)

    @compile_config.record_compile_arguments
    def compile(
        self,
        *args: Any,
        mode: str | None = None,
        run_eagerly: bool | None = None,
        jit_compile: bool | str | None = "auto",
        steps_per_execution: int | None = None,
        gradient_dtype: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Configures the model for training, as Keras's `compile`, in a mode.

        Args:
            *args: Passed to Keras's `compile`.
            mode: `"eager"`, `"graph"`, `"xla"`, `"fused"`; `"auto"` for the fastest of the last
                three, found by timing training steps; or `None` for Keras's own rules.
            run_eagerly: As in Keras; must agree with `mode` when both are given.
            jit_compile: As in Keras; must agree with `mode` when both are given.
            steps_per_execution: As in Keras: K, the steps of one execution. `None` is 1; when
                fused, as many as an epoch has, a second of work takes and 64 MB of input hold; in
                `"graph"` and `"xla"`, 50 ms of steps on arrays, if no callback asks for each.
            gradient_dtype: `"bfloat16"`: replicas add up their gradients in bfloat16, by messages
                of half the length, with 8 significant bits. Or `None`: as they are. One replica
                adds up nothing, and rounds nothing.
            **kwargs: Passed to Keras's `compile`.

        Raises:
            ValueError: If the mode is unknown, contradicts another argument, or cannot run on
                several replicas; if `gradient_dtype` is another.
            TypeError: If an argument is unknown.
            RuntimeError: If a hook of Keras that the modes need is gone.
        """
        keras_private.check_hooks()
        summed_gradients.check_dtype(gradient_dtype)
        given = {
            "mode": mode,
            "run_eagerly": run_eagerly,
            "jit_compile": jit_compile,
            "steps_per_execution": steps_per_execution,
        }
        settings = self.resolve_mode(**given)
        args, kwargs = compile_config.bind_arguments(super().compile, args, kwargs, settings)
        with self.distribute_strategy.scope():
            super().compile(*args, **kwargs)
            compiled_loss.replace_compiled_loss(self)
        self.set_mode(**given)
        self.gradient_dtype = gradient_dtype

    @functools.wraps(keras.Model.build_from_config)
    def build_from_config(self, config):
        super().build_from_config(config)
        # Keras has made the weights of a model without a `build` of its own, and does not say so.
        self.built = self.built or keras_private.has_all_weights(self)

    def resolve_mode(
        self,
        mode: str | None = None,
        run_eagerly: bool | None = None,
        jit_compile: bool | str | None = "auto",
        steps_per_execution: int | None = None,
    ) -> dict[str, Any]:
        """Returns Keras's arguments of `compile` for a mode.

        Args:
            mode, run_eagerly, jit_compile, steps_per_execution: As in `compile`.

        Raises:
            ValueError: If this model cannot have the mode.
        """
        settings = modes.resolve(mode, run_eagerly, jit_compile, steps_per_execution)
        is_jitted = settings["jit_compile"] is True
        name = modes.find_name(mode, settings["run_eagerly"], is_jitted)
        modes.check_replicas(name, self.distribute_strategy.num_replicas_in_sync)
        if is_jitted:
            _check_xla(self, f"{mode=}" if mode else f"{jit_compile=}")
        return settings

    def set_mode(
        self,
        mode: str | None = None,
        run_eagerly: bool | None = None,
        jit_compile: bool | str | None = "auto",
        steps_per_execution: int | None = None,
    ) -> None:
        """Lets a compiled model run in a mode, with everything else as it is.

        A callback may call it, but for `"auto"`: the next execution runs in that mode.

        Args:
            mode, run_eagerly, jit_compile, steps_per_execution: As in `compile`.

        Raises:
            ValueError: If this model cannot have the mode, or was not compiled.
        """
        fit_arguments.check_compiled(self, "set_mode")
        settings = self.resolve_mode(mode, run_eagerly, jit_compile, steps_per_execution)
        if mode is None:  # Then what was not given is as Keras's `compile` has it.
            given = {"run_eagerly": run_eagerly, "steps_per_execution": steps_per_execution}
            given["jit_compile"] = None if jit_compile == "auto" else jit_compile
            settings = {name: settings[name] for name in settings if given[name] is not None}
        for setting, value in settings.items():
            setattr(self, setting, value)
        is_chosen = mode is not None and modes.MODES[mode].is_chosen_by_time
        self.__selector = None
        if is_chosen and keras_private.find_own_strategy(self) is None:
            self.__selector = executors.ModeSelector(self, executors.make_executor)
        elif is_chosen:  # Under a strategy there is nothing to choose.
            mode = modes.find_name(None, self.run_eagerly, self.jit_compile)
        self.given_mode = mode
        self.__finds_steps_per_execution = steps_per_execution is None
        self.train_function = self.test_function = self.predict_function = None

    def adopt_mode(self, mode: str, steps_per_execution: int) -> None:
        """Called by the selector of mode `"auto"`: tells what it runs from here on.

        To change the mode, there is `set_mode`.

        Args:
            mode: `"graph"`, `"xla"` or `"fused"`.
            steps_per_execution: K that was found for it.
        """
        settings = modes.resolve(mode, steps_per_execution=steps_per_execution)
        finds = self.__finds_steps_per_execution
        for setting, value in settings.items():
            setattr(self, setting, value)
        self.given_mode, self.__finds_steps_per_execution = mode, finds

    @property
    def steps_per_execution(self) -> int:
        """K, the steps of one execution; 1 as long as `fit` finds K. An assigned K is kept."""
        return self.__steps

    def __setattr__(self, name, value):
        # TensorFlow leaves out an assignment of what is there already: a 1 would not be noticed.
        if name == "steps_per_execution":
            arguments.check_positive_integers(steps_per_execution=value)
            self.__steps, self.__finds_steps_per_execution = int(value), False
        else:
            super().__setattr__(name, value)

    @property
    def gradient_dtype(self) -> str | None:
        """The dtype in which replicas add up their gradients, `None` for that of each."""
        return self.__gradient_dtype

    @gradient_dtype.setter
    def gradient_dtype(self, dtype):
        summed_gradients.check_dtype(dtype)
        self.__gradient_dtype = dtype
        self.train_function = None

    @property
    def has_asked_steps(self) -> bool:
        """Whether K was given, to `compile` or by assignment."""
        return not self.__finds_steps_per_execution

    @property
    def asked_steps_per_execution(self) -> int | None:
        """K that the user asked for; `None` where `fit` finds it."""
        is_free = modes.MODES[self.mode].fits_epochs and not self.has_asked_steps
        return None if is_free else self.__steps

    @property
    def steps_of_iterators(self) -> int:
        """K, the steps of one execution on batches that are read one by one; 1 if none was given.

        A K that was found is one for batches that are stacked.
        """
        return self.__steps if self.has_asked_steps else 1

    @property
    def mode(self) -> str:
        """The mode that steps run in: `"eager"`, `"graph"`, `"xla"` or `"fused"`.

        `"auto"` until one of them is chosen.
        """
        return modes.find_name(self.given_mode, self.run_eagerly, self.jit_compile)

    @property
    def mode_selector(self) -> executors.ModeSelector | None:
        """What chooses the mode, if `compile` was given `"auto"`."""
        return self.__selector

    @property
    def fits_epochs(self) -> bool:
        """Whether executions end with an epoch, where K does not divide it, unlike Keras's."""
        return self.__selector is not None or modes.MODES[self.mode].fits_epochs

    def check_batch(self, x: Any, y: Any, sample_weight: Any, method: str) -> None:
        """Called before data are read, to refuse in words what the model cannot learn from.

        It is called once more where a step has failed on a batch, with the sizes of that batch.

        This one refuses text for numbers, and targets and weights that Keras's own losses would
        broadcast, where the shape of the outputs is known. A class overrides it to say what its
        step needs.

        Args:
            x, y, sample_weight: Nested `tf.TensorSpec` of a batch; `None` for what is not given.
            method: `"fit"`, `"evaluate"` or `"predict"`.

        Raises:
            ValueError: If the batches do not fit.
        """
        data_checks.check_inputs(self, x)
        if method != "predict":
            target_checks.check_plain_step(self, y, sample_weight)

    @functools.wraps(keras.Model.save)
    def save(self, filepath, overwrite=True, zipped=None, **kwargs):
        # With several workers, the chief alone writes files; the others have the same weights.
        if not replicas.is_chief(self.distribute_strategy):
            return
        save = functools.partial(super().save, overwrite=overwrite, zipped=zipped, **kwargs)
        if zipped is not False and saving.can_replace(filepath, overwrite):
            saving.replace_file(save, filepath)
        else:
            save(filepath)

    @functools.wraps(keras.Model.save_weights)
    def save_weights(self, filepath, overwrite=True, max_shard_size=None):
        if not replicas.is_chief(self.distribute_strategy):
            return
        save = functools.partial(
            super().save_weights, overwrite=overwrite, max_shard_size=max_shard_size
        )
        with saving.treat_as_built(self, keras_private.has_all_weights(self)):
            if max_shard_size is None and saving.can_replace(filepath, overwrite):
                saving.replace_file(save, filepath)
            else:
                save(filepath)

    @functools.wraps(keras.Model.load_weights)
    def load_weights(self, *args, **kwargs):
        with saving.treat_as_built(self, keras_private.has_all_weights(self)):
            super().load_weights(*args, **kwargs)

    @functools.wraps(keras.Model.compute_loss)
    def compute_loss(self, *args, **kwargs):
        given = {**dict(zip(("x", "y", "y_pred"), args, strict=False)), **kwargs}
        target_checks.check_outputs(self, given.get("y"), given.get("y_pred"))
        return replicas.mark_share(super().compute_loss(*args, **kwargs))

    @functools.wraps(keras.Model.get_metrics_result)
    def get_metrics_result(self):
        if keras_private.keeps_results():
            return super().get_metrics_result()
        results = {}
        for metric in self.metrics:
            result = metric.result()
            results |= result if isinstance(result, dict) else {metric.name: result}
        return results

    def _aggregate_additional_loss(self, loss):
        """Called with what a layer gave to `add_loss`, and with its penalties on weights."""
        if replicas.is_share(loss):
            return loss
        if replicas.has_shard() and len(loss.shape) > 0:
            raise ValueError(
                "`add_loss` must be given a scalar on several replicas: a mean over the examples. "
                f"Received: a tensor with shape={tuple(loss.shape)}. Use km.average_loss."
            )
        return super()._aggregate_additional_loss(loss)

    def track_loss(self, loss: tf.Tensor, num_examples: int | tf.Tensor) -> None:
        """Adds a loss to the running mean that the logs call `loss`.

        Args:
            loss: Scalar from `compute_loss`: this replica's share of the global batch's mean.
            num_examples: Examples that this replica holds, as the mean's weight.
        """
        num_replicas = self.distribute_strategy.num_replicas_in_sync
        loss = loss if num_replicas == 1 else loss * num_replicas
        keras_private.find_loss_trackers(self)[0].update_state(loss, sample_weight=num_examples)

    def keep_compile_arguments(self, args: tuple, kwargs: dict[str, Any]) -> None:
        """Keeps what `compile` was given, for files and clones.

        Args:
            args: Positional arguments.
            kwargs: Arguments by name.
        """
        # A namespace, not a dictionary: Keras would track (and save) what a dictionary holds.
        self.__compile_arguments = types.SimpleNamespace(args=args, kwargs=kwargs)

    def get_compile_config(self, **resolved: Any) -> dict[str, Any]:
        """Returns the arguments of `compile`, and which weights each optimizer was built for.

        Args:
            **resolved: Arguments of a `compile` of the class's own, with what it has made of them;
                saved in place of what was given. A default that changes later does then not change
                the model of a file.
        """
        if not self.compiled or self.__compile_arguments is None:
            return super().get_compile_config()
        return compile_config.make_config(self, self.__compile_arguments, resolved)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as `get_compile_config` says and builds each optimizer for its weights."""
        compile_config.compile_from_config(self, config)


def _check_xla(model, received):
    """Raises when XLA is asked for and Keras, which would only warn, refuses it."""
    refusing = keras_private.find_refusing_layers(model)
    if refusing:
        raise ValueError(
            "`mode` must be 'graph' or 'eager' for a model with layers that XLA cannot compile. "
            f"Received: {received} with layers {refusing}"
        )
    if keras_private.refuses_xla(model):
        raise ValueError(
            "`mode` must be 'graph' or 'eager' where Keras allows no XLA: after "
            "tf.config.experimental.enable_op_determinism(), and on the GPU of a Mac. "
            f"Received: {received}"
        )
