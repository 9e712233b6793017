"""Tests of what is used of Keras beyond its documentation: it is there, or its absence is named."""

import ast
import importlib.util
import pathlib

import keras
import pytest

import kerasmodes as km
from kerasmodes.engine import keras_private

X, Y = km.data.sums(num_samples=4, num_features=3)
PACKAGE = pathlib.Path(km.__file__).parent


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return X, Y


def make_objects(two_replicas):
    """Returns an object of each kind that `ATTRIBUTES` names."""
    compiled = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    compiled.compile("sgd", "mse", metrics=["mae"])
    compiled.fit(X, Y, verbose=0)
    _, metrics = compiled.metrics
    optimizer = keras.optimizers.Adam()
    optimizer.build([])
    loss = keras_private.find_compiled_loss(compiled)
    with two_replicas.scope():
        variable = keras.Variable(0.0)
    return {
        "a compiled model": compiled,
        "compiled metrics": metrics,
        "a built compiled loss": loss,
        "an entry of a compiled loss": loss._flat_losses[0],
        "a distributed variable": variable.value,
        "a TensorBoard callback": keras.callbacks.TensorBoard(),
        "a functional model": keras.Model(compiled.inputs, compiled.outputs),
        "a layer": keras.layers.Dense(1),
        "a symbolic tensor": compiled.inputs[0],
        "a metric": keras.metrics.MeanSquaredError(),
        "an optimizer": optimizer,
        "a loss": keras.losses.MeanSquaredError(),
        "an adapter of arrays": keras_private.get_data_adapter(X, Y),
        "an adapter of a PyDataset": keras_private.get_data_adapter(Batches()),
    }


def test_what_is_read_of_keras_is_still_there(two_replicas):
    """Where this fails, Keras has changed: look at `keras_private.py` for each name."""
    objects = make_objects(two_replicas)
    assert set(objects) == set(keras_private.ATTRIBUTES)
    gone = [
        f"{name} of {kind}"
        for kind, names in keras_private.ATTRIBUTES.items()
        for name in names.split()
        if not hasattr(objects[kind], name)
    ]
    assert not gone, f"Keras {keras.__version__} lost {gone}"


def test_the_lists_name_all_that_is_read():
    listed = " ".join([*keras_private.ATTRIBUTES.values(), *keras_private.HOOKS.values()]).split()
    tree = ast.parse(pathlib.Path(keras_private.__file__).read_text("utf-8"))
    read = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    private = {name for name in read if name.startswith("_") and not name.startswith("__")}
    assert private - set(listed) == set()


def test_no_other_file_imports_what_is_private_of_keras():
    importers = [
        path.name for path in PACKAGE.rglob("*.py") if "keras.src" in path.read_text("utf-8")
    ]
    assert importers == ["keras_private.py"]


def test_a_hook_that_keras_dropped_is_named_at_compile(monkeypatch):
    model = km.SumRegressor(units=())
    monkeypatch.setitem(keras_private.HOOKS, keras.Model, "_flatten_layers _make_gone")
    words = rf"Keras must have Model._make_gone, .*3.15.1.*Received: Keras {keras.__version__}"
    with pytest.raises(RuntimeError, match=words):
        model.compile("sgd")


def test_a_method_that_keras_wraps_otherwise_is_named_at_compile(monkeypatch):
    model = km.SumRegressor(units=())
    monkeypatch.setitem(keras_private.OWN_METHODS, "fit", lambda self: None)
    with pytest.raises(RuntimeError, match=r"Keras must have a wrapped Model.fit, .*3.15.1"):
        model.compile(mode="graph")


def test_a_name_that_keras_dropped_is_named_at_import(monkeypatch):
    monkeypatch.delattr("keras.src.trainers.compile_utils.CompileMetrics")
    spec = importlib.util.spec_from_file_location("imported_again", keras_private.__file__)
    words = rf"what the modes are built on .*CompileMetrics.*Received: Keras {keras.__version__}"
    with pytest.raises(ImportError, match=words):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def test_it_is_known_whether_keras_divides_activity_penalties():
    layer = keras.layers.Activation("linear", activity_regularizer=keras.ops.sum)
    layer(keras.ops.ones((2, 1)))
    assert float(layer.losses[0]) == (1 if keras_private.divides_activity_penalties() else 2)
