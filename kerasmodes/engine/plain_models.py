"""`to_keras`: a model as a plain Keras model, which loads where kerasmodes is not installed.

What takes the place of a layer of this package in it is said by the layer's class: `make_plain`.
"""

import inspect
from typing import Any

import keras

from kerasmodes.engine import compile_config, keras_private, optimizers


def to_keras(model: keras.Model) -> keras.Model:
    """Returns a plain Keras model with the same weights and results, the model's own copy of them.

    `keras.models.load_model` loads its files in a program that does not import kerasmodes, on any
    backend of Keras. `export` writes it in every format that Keras has.

    A functional or sequential model stays one, its class and the modes are left out. If it learns
    by Keras's own `train_step` and was compiled, so is the plain model, with the state of the
    optimizer. Of any other class `call` is traced, as in inference: the plain model is a functional
    one, not compiled. Of `km.MSGGAN` it is the generator with the averaged weights. Layers of this
    package become Keras's; a layer of your own stays, and `load_model` needs its class.

    Args:
        model: A Keras model that is built, with or without modes.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If it is not built, `call` has operations that are not Keras's, or a layer of
            this package has no counterpart in Keras. `model.export` may still write it.

    Example:

    ```python
    model = km.SumRegressor()
    model.build((None, 20))
    km.to_keras(model).save("plain.keras")  # for a program without kerasmodes
    ```
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a keras.Model. Received: model={model!r}")
    copied = {}
    plain = _convert(model, copied)
    _check_layers(model, plain)
    for layer, copy in copied.values():
        if _is_copied(layer):
            copy_state(layer, copy)
    # Keras exports to ONNX only what was called.
    plain(plain.inputs[0] if isinstance(plain, keras.Sequential) else plain.input)
    _keep_training(model, plain)
    return plain


def make_copy(
    layer: keras.layers.Layer, cls: type, config: dict[str, Any], weights: list | None = None
) -> keras.layers.Layer:
    """Returns a layer of another class with a layer's shapes and weights.

    Args:
        layer: A built layer.
        cls: The class of the copy.
        config: The config of the copy.
        weights: Arrays in the order of `get_weights`; `None` takes those of the layer.
    """
    copy = cls.from_config(config)
    copy.build_from_config(layer.get_build_config())
    copy.set_weights(layer.get_weights() if weights is None else weights)
    return copy


def copy_state(layer: keras.layers.Layer, copy: keras.layers.Layer) -> None:
    """Gives a copy the state of a layer and of all layers in it, as a file would."""
    pairs = zip(keras_private.find_layers(layer), keras_private.find_layers(copy), strict=True)
    for one, other in pairs:
        state = {}
        one.save_own_variables(state)
        other.load_own_variables(state)


def _convert(layer, copied):
    """Returns what takes the place of a layer, a model or an operation, for one always the same."""
    if id(layer) not in copied:
        copied[id(layer)] = (layer, _make_plain(layer, copied))
    return copied[id(layer)][1]


def _make_plain(layer, copied):
    if _has_plain(layer):
        return layer.make_plain()
    if not isinstance(layer, keras.Model):
        return type(layer).from_config(layer.get_config())
    _check_built(layer)
    if _is_sequential(layer):
        inputs = _copy_input(layer.inputs[0], layer)
        layers = [_convert(one, copied) for one in layer.layers]
        return keras.Sequential([inputs, *layers], name=layer.name)
    if _is_functional(layer):
        graph = keras.Model(layer.input, layer.output, name=layer.name)
    else:
        graph = _trace_call(layer)
    return keras.models.clone_model(
        graph,
        input_tensors=keras.tree.map_structure(lambda one: _copy_input(one, graph), graph.input),
        clone_function=lambda one: _convert(one, copied),
    )


def _copy_input(tensor, model):
    """Returns a Keras input that is named as the model's, by which files of other formats name it.

    A tensor's own name is a number, unless it was given.
    """
    layers = keras_private.find_layers(model)
    inputs = [one for one in layers if isinstance(one, keras.layers.InputLayer)]
    name = next((one.name for one in inputs if one.output is tensor), tensor.name)
    return keras.Input(
        batch_shape=tensor.shape, dtype=tensor.dtype, sparse=tensor.sparse, name=name
    )


def _has_plain(layer):
    """Returns whether a class says what takes its place, and none behind it has another `call`."""
    owners = {
        name: next((place for place, cls in enumerate(type(layer).__mro__) if name in vars(cls)), 0)
        for name in ("make_plain", "call")
    }
    return hasattr(layer, "make_plain") and owners["make_plain"] <= owners["call"]


def _is_copied(layer):
    """Returns whether a layer was copied by its config, so that its state has to follow."""
    is_layer = isinstance(layer, keras.layers.Layer)
    return is_layer and not isinstance(layer, keras.Model) and not _has_plain(layer)


def _is_sequential(model):
    return isinstance(model, keras.Sequential) and type(model).call is keras.Sequential.call


def _is_functional(model):
    functional = keras_private.Functional
    return isinstance(model, functional) and type(model).call is functional.call


def _check_built(model):
    if not model.built:
        raise ValueError(
            "`model` must be built: call it once, or its `build`. "
            f"Received: the {type(model).__name__} {model.name!r}, which is not"
        )


def _trace_call(model):
    """Returns a functional model of what the `call` of a class computes in inference."""
    name = type(model).__name__
    if type(model).call is keras.Model.call:
        raise ValueError(
            "`model` must have a `call`. "
            f"Received: a {name} without one. Give a network that it holds."
        )
    _check_weights(model)
    inputs = _make_inputs(model)
    options = {"training": False} if "training" in _find_parameters(model) else {}
    try:
        outputs = model.call(*inputs, **options)
        return keras.Model(inputs[0] if len(inputs) == 1 else inputs, outputs, name=model.name)
    except Exception as error:  # Of any kind: what `call` does with a symbolic input is its own.
        raise ValueError(
            "`model` must have a `call` of Keras's layers and keras.ops, without tf.* and without "
            f"`if` on a tensor. Received: a {name} whose call ends in {type(error).__name__}: "
            f"{str(error).strip().splitlines()[0] if str(error).strip() else ''} "
            "Use model.export(path), which writes what TensorFlow has traced."
        ) from error


def _make_inputs(model):
    """Returns a Keras input for each argument of `call`, as the model was built."""
    config = model.get_build_config() or {}
    shapes = [config["input_shape"]] if "input_shape" in config else config.get("shapes_dict", {})
    shapes = shapes if isinstance(shapes, list) else list(shapes.values())
    needed = _list_needed(model)
    if len(shapes) < len(needed):
        given = ", ".join(needed)
        makers = ", ".join(f"{name} = keras.Input(...)" for name in needed)
        listed = f"[{given}]" if len(needed) > 1 else given
        raise ValueError(
            "`model` must know the shapes of all that its `call` needs. "
            f"Received: a {type(model).__name__} that does not, {shapes=}. "
            f"Give km.Model({listed}, model.call({given})) with {makers}."
        )
    names = _find_parameters(model)
    return [_make_input(model, name, shape) for name, shape in zip(names, shapes, strict=False)]


def _list_needed(model):
    """Returns the names of the arguments that `call` needs; the first one, if it needs none."""
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = {n: one for n, one in _find_parameters(model).items() if one.kind not in variadic}
    needed = [name for name, one in parameters.items() if one.default is one.empty]
    return needed or [*parameters][:1] or ["inputs"]


def _make_input(model, name, shape):
    if isinstance(shape, dict):
        return {key: _make_input(model, key, one) for key, one in shape.items()}
    if any(isinstance(size, (tuple, list)) for size in shape):
        return [_make_input(model, f"{name}_{place}", one) for place, one in enumerate(shape)]
    return keras.Input(batch_shape=(None, *shape[1:]), dtype=model.variable_dtype, name=name)


def _find_parameters(model):
    return inspect.signature(model.call).parameters


def _check_weights(model):
    """Raises if a model has weights beside those of its layers: no layer of Keras would hold them.

    A functional model would keep such a weight as a constant.
    """
    inner = {id(w) for layer in keras_private.find_layers(model)[1:] for w in layer.weights}
    own = [weight.path for weight in model.weights if id(weight) not in inner]
    if own:
        raise ValueError(
            "`model` must keep its weights in layers. Received: a "
            f"{type(model).__name__} with {own[0]!r} of its own. Use model.export(path)."
        )


def _check_layers(model, plain):
    """Raises if a layer of this package is left, which another program could not load."""
    for layer in keras_private.find_layers(plain):
        if any(cls.__module__.split(".")[0] == "kerasmodes" for cls in type(layer).__mro__):
            raise ValueError(
                "`model` must be made of layers that Keras has, too, and of your own. Received: a "
                f"{type(model).__name__} with the {type(layer).__name__} {layer.name!r} of "
                "kerasmodes. Use model.export(path), which needs no class."
            )


def _keep_training(model, plain):
    """Compiles the plain model as the model was, if it learns by Keras's own step."""
    is_of_keras = _is_sequential(model) or _is_functional(model)
    is_of_keras &= optimizers.trains_as_keras(model)
    if not model.compiled or not is_of_keras or not compile_config.compiles_as_keras(model):
        return
    config = model.get_compile_config()
    if config.get("optimizer") is None:  # None was given, or Keras cannot save an argument.
        return
    plain.compile_from_config(config)
    states = zip(plain.optimizer.variables, model.optimizer.variables, strict=True)
    for one, other in states if model.optimizer.built else ():
        one.assign(other)
