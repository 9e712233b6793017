"""Tests of what `fit`, `evaluate` and `predict` refuse before a step: each in words."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km

X, Y = km.data.sums(num_samples=12, num_features=3, seed=1)
THREE = np.repeat(Y, 3, axis=1)
DENSE = keras.layers.Dense


def make_regressor(mode="graph", **arguments):
    model = km.SumRegressor(())
    model.compile("sgd", mode=mode, **arguments)
    return model


def make_functional():
    inputs = keras.Input((3,))
    model = km.Model(inputs, DENSE(1)(inputs))
    model.compile("sgd", "mse", mode="eager")  # What is checked before a step is so in any mode.
    return model


def batches(*arrays):
    return tf.data.Dataset.from_tensor_slices(arrays).batch(4)


REFUSED = [
    ((X[:, 0], Y), r"`x` must have shape \[batch, features\], in one array. Received: x with"),
    ((X[:, None], Y), r"`x` must have shape .* Received: x with shape=\[batch, 1, 3\]"),
    (([X, X], Y), "in one array. Received: a tuple"),
    (({"a": X}, Y), "in one array. Received: a dict"),
    ((X + 1j, Y), "`x` must hold numbers. Received: x of dtype=complex64"),
    ((X, THREE), r"`y` must have the shape of the model's output, \[batch, 1\]. Received: y "),
    ((X, Y[:, :, None, None]), r"Received: y with shape=\[batch, 1, 1, 1\]"),
    ((X, None), r"`y` must be given, in one array \[batch, 1\]. Received: y=None"),
    ((X, Y, THREE), r"`sample_weight` must be one number an example, \[batch\]. Received: sam"),
    ((None, Y), "`x` must be given. Received: x=None"),
    ((X[:0], Y[:0]), "`x` must hold at least one example. Received: 0 examples"),
]


@pytest.mark.parametrize(
    ("mode", "data", "message"),
    [
        pytest.param(mode, *one, marks=[] if i % 3 == place else pytest.mark.sweep)
        for i, one in enumerate(REFUSED)
        for place, mode in enumerate(("eager", "graph", "fused"))
    ],
)
def test_the_regressor_refuses_what_it_cannot_learn(mode, data, message):
    x, y, *weights = data
    model = make_regressor(mode)
    with pytest.raises(ValueError, match=message):
        model.fit(x, y, sample_weight=weights[0] if weights else None, verbose=0)
    assert not model.built


def test_a_width_is_that_of_the_built_model():
    model = make_regressor("eager")
    model.fit(X, Y, verbose=0)
    for call in (
        lambda: model.fit(X[:, :2], Y, verbose=0),
        lambda: model.evaluate(X[:, :2], Y, verbose=0),
        lambda: model.predict(X[:, :2], verbose=0),
        lambda: model.fit(batches(X[:, :2], Y), verbose=0),
    ):
        with pytest.raises(ValueError, match=r"`x` must have shape \[batch, 3\]"):
            call()


def test_a_step_by_hand_refuses_the_same():
    model = make_regressor("eager")
    with pytest.raises(ValueError, match="`y` must have the shape of the model's output"):
        model.train_on_batch(X, THREE)
    with pytest.raises(ValueError, match="`y` must be given"):
        model.test_on_batch(X)


def test_validation_data_are_checked_before_the_first_step():
    for data, message in (
        ((X, THREE), "`y` must have the shape"),
        ((X[:, :2], Y), r"`x` must have shape \[batch, 3\]"),
        ((X[:0], Y[:0]), "`validation_data` must hold at least one example. Received: 0 examples"),
        (batches(X, THREE), "`y` must have the shape"),
        (batches(X, Y).repeat(), "`validation_steps` must be a positive integer for data without"),
        ((X,), "`y` must be given"),
    ):
        model = make_regressor()
        model.build((None, 3))
        with pytest.raises(ValueError, match=message):
            model.fit(X, Y, validation_data=data, verbose=0)
        assert not model.optimizer.built or int(model.optimizer.iterations.numpy()) == 0


@pytest.mark.slow
@pytest.mark.parametrize("mode", [pytest.param("graph", marks=pytest.mark.sweep), "fused"])
def test_data_without_end_need_steps(mode):
    endless, model = batches(X, Y).repeat(), make_regressor(mode)
    with pytest.raises(ValueError, match="`steps_per_epoch` must be a positive integer for data w"):
        model.fit(endless, verbose=0)
    model.fit(endless, steps_per_epoch=2, verbose=0)
    for call in (model.evaluate, model.predict):
        with pytest.raises(ValueError, match="`steps` must be a positive integer for data without"):
            call(endless, verbose=0)


class Endless(keras.utils.PyDataset):
    num_batches = None

    def __getitem__(self, index):
        return X, Y


def test_a_py_dataset_without_end_needs_steps():
    with pytest.raises(ValueError, match="`steps_per_epoch` must be a positive integer for data w"):
        make_regressor().fit(Endless(), verbose=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 2.5}, "`batch_size` must be a positive integer. Received: batch_size=2.5"),
        ({"batch_size": "8"}, "Received: batch_size='8'"),
        ({"batch_size": 0}, "Received: batch_size=0"),
        ({"validation_batch_size": 0.5}, "`validation_batch_size` must be a positive integer."),
        ({"epochs": 1.5}, "`epochs` must be an integer, at least 0. Received: epochs=1.5"),
        ({"epochs": -1}, "Received: epochs=-1"),
        ({"initial_epoch": "1"}, "`initial_epoch` must be an integer, at least 0"),
        ({"steps_per_epoch": 1.5}, "`steps_per_epoch` must be a positive integer"),
        ({"steps_per_epoch": -1}, "Received: steps_per_epoch=-1"),
        ({"validation_steps": -1}, "`validation_steps` must be a positive integer"),
        (
            {"validation_freq": 0},
            "`validation_freq` must be a positive integer or a list of epochs",
        ),
        ({"validation_freq": 1.5}, "Received: validation_freq=1.5"),
        ({"validation_split": 1.5}, r"`validation_split` must be a number in \[0, 1\). Received"),
    ],
)
def test_numbers_of_fit_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_regressor().fit(X, Y, verbose=0, **arguments)


def test_batch_sizes_of_the_others_are_checked():
    model = make_regressor("eager")
    with pytest.raises(ValueError, match="`batch_size` must be a positive integer"):
        model.evaluate(X, Y, batch_size=2.5, verbose=0)
    with pytest.raises(ValueError, match="`batch_size` must be a positive integer"):
        model.predict(X, batch_size=0, verbose=0)
    model.fit(X, Y, batch_size=np.int64(4), verbose=0)


@pytest.mark.parametrize("callback", ["x", keras.callbacks.EarlyStopping])
def test_callbacks_are_objects(callback):
    with pytest.raises(TypeError, match="`callbacks` must be a list of `keras.callbacks.Callback`"):
        make_regressor().fit(X, Y, callbacks=[callback], verbose=0)


@pytest.mark.parametrize("class_weight", [[1.0, 2.0], np.array([1.0, 2.0])])
def test_weights_of_classes_are_a_dictionary(class_weight):
    with pytest.raises(TypeError, match=r"`class_weight` must be a dictionary.*dict\(enumerate"):
        make_regressor().fit(X, Y, class_weight=class_weight, verbose=0)


def test_what_was_not_compiled_says_so():
    for model in (km.SumRegressor(), km.MSGGAN((8, 8, 1), 1, 4)):
        with pytest.raises(ValueError, match=r"You must call `compile\(\)` before calling `fit"):
            model.fit(np.zeros((4, 8, 8, 1), "float32"), verbose=0)


def test_a_batch_smaller_than_the_replicas_is_refused(two_replicas):
    with two_replicas.scope():
        model = make_regressor()
    with pytest.raises(ValueError, match="divisible by the 2 replicas.* Received: batch_size=1"):
        model.fit(X, Y, batch_size=1, verbose=0)


def test_compiling_twice_starts_from_scratch():
    model = make_regressor("eager")
    model.fit(X, Y, verbose=0)
    model.compile("adagrad", mode="fused")
    model.fit(X, Y, verbose=0)
    assert (model.mode, type(model.optimizer).__name__) == ("fused", "Adagrad")


TEXT = np.full((12, 3), "a")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((TEXT, Y), "`x` must hold numbers. Received: x of dtype=<U1. Convert them; text is given"),
        ((X.astype(object), Y), "`x` must hold numbers. Received: x of dtype=object"),
        ((X, TEXT), "`y` must hold numbers. Received: y of dtype=<U1"),
        ((np.float32(1), Y), r"`x` must have an axis of examples. Received: x with shape=\[\]"),
        ((X.tolist(), Y), r"`x` must be an array, .* Received: a list of Python's. Use np.asarray"),
        (("data.csv", Y), "`x` must be an array, .* Received: a str of Python's"),
        ((X, [1.0] * 12), "`y` must be an array, .* Received: a list of Python's"),
        ((batches(TEXT, Y),), "`x` must hold numbers. Received: x of dtype=string"),
        ((batches(X, TEXT[:, :1]),), "`y` must hold numbers. Received: y of dtype=string"),
        ((batches(X, Y).filter(lambda x, y: False),), "at least one batch. Received: data that en"),
    ],
)
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("make", [make_regressor, make_functional])
def test_what_is_no_number_is_refused_in_words(make, data, message):
    with pytest.raises(ValueError, match=message):
        make().fit(*data, verbose=0)


def test_arrays_of_bfloat16_are_numbers():
    model = km.SumRegressor(())
    model.compile("sgd", mode="eager")
    model.fit(X.astype(tf.bfloat16.as_numpy_dtype), Y, verbose=0)
    assert int(model.optimizer.iterations.numpy()) == 1


def test_a_step_of_ones_own_may_take_more_than_three_parts():
    class Four(km.SumRegressor):
        def train_step(self, data):
            x, _, half, names = data
            return {"half": tf.reduce_mean(half), "names": tf.size(names)}

    model = Four(())
    model.compile("sgd", mode="graph")
    four = batches(X, Y, Y / 2, ["name"] * 12)
    history = model.fit(four, verbose=0).history
    np.testing.assert_allclose(history["half"], [np.mean(Y[-4:]) / 2], rtol=1e-5)
    with pytest.raises(ValueError, match=r"`x`, `\(x,\)`, `\(x, y\)`, or `\(x, y, sample_weight"):
        model.evaluate(four, verbose=0)


def test_validation_data_of_another_width_are_refused_before_the_first_step():
    inputs = keras.Input((3,))
    model = km.Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse", mode="eager")
    data = np.ones((4, 3), "float32"), np.ones((4, 1), "float32")
    with pytest.raises(ValueError, match=r"`x` must have shape \[batch, 3\]. Received: x with"):
        model.fit(*data, validation_data=(np.ones((4, 5)), data[1]), verbose=0)
    assert int(model.optimizer.iterations.numpy()) == 0


class Widths(keras.utils.PyDataset):
    num_batches = 2

    def __getitem__(self, index):
        return X[:4, : 3 - index], Y[:4]


@pytest.mark.parametrize("form", ["generator", "PyDataset"])
def test_the_batch_whose_width_differs_is_refused(form):
    model = make_functional()
    data = Widths() if form == "PyDataset" else ((X[:4, :width], Y[:4]) for width in (3, 2))
    words = r"`x` must have shape \[batch, 3\]. Received: x with shape=\[batch, 2\]\n"
    with pytest.raises(ValueError, match=words):
        model.fit(data, verbose=0)
    assert int(model.optimizer.iterations.numpy()) == 1


class TwoParts(keras.utils.PyDataset):
    """The third batch has other sizes than the two by which Keras knows them."""

    num_batches = 3

    def __init__(self, x=X[:4], y=Y[:4]):
        super().__init__()
        self.last = x, y

    def __getitem__(self, index):
        return self.last if index == 2 else (X[:4], Y[:4])


OTHER_SIZES = {
    "x": (X[:4, :2], r"`x` must have shape \[batch, 3\] in all .* x with shape=\[batch, 2\]"),
    "y": (THREE[:4], r"`y` must have shape \[batch, 1\] in all .* y with shape=\[batch, 3\]"),
}
FIRST_WAYS = [("x", "eager", "generator"), ("y", "graph", "PyDataset")]


@pytest.mark.parametrize(
    ("part", "mode", "form"),
    [
        pytest.param(*way, marks=[] if way in FIRST_WAYS else pytest.mark.sweep)
        for way in itertools.product(
            OTHER_SIZES, ("eager", "graph", "xla", "fused"), ("generator", "PyDataset")
        )
    ],
)
def test_sizes_that_change_after_two_batches_are_named(part, mode, form):
    values, words = OTHER_SIZES[part]
    model, data = make_regressor(mode), TwoParts(**{part: values})
    with pytest.raises(ValueError, match=words) as raised:
        model.fit(data if form == "PyDataset" else (data[i] for i in range(3)), verbose=0)
    assert "yielded an element of shape" in str(raised.value.__context__)


def test_parts_of_one_shape_are_named_together():
    inputs = keras.Input((1,))
    model = km.Model(inputs, DENSE(1)(inputs))
    model.compile("sgd", "mse", mode="eager")
    with pytest.raises(
        ValueError, match=r"`x` or `y` must .* Received: x or y with shape=\[batch, "
    ):
        model.fit(((Y[:2], THREE[:2] if i == 2 else Y[:2]) for i in range(3)), verbose=0)


def test_a_sequential_model_takes_sequences_of_other_lengths_than_its_first_ones():
    model = km.Sequential([keras.layers.SimpleRNN(2), DENSE(1)])
    model.compile("sgd", "mse", mode="eager")
    model.fit(np.ones((4, 5, 1)), Y[:4], verbose=0)
    assert model.predict(np.ones((4, 6, 1)), verbose=0).shape == (4, 1)
    with pytest.raises(ValueError, match=r"`x` must have shape .*, 1\]. Received: x .*, 5, 2\]"):
        model.predict(np.ones((4, 5, 2)), verbose=0)


@pytest.mark.parametrize(
    "make", [make_functional, lambda: km.Sequential([keras.Input((3,)), DENSE(1)])]
)
def test_examples_without_an_axis_for_them_are_refused(make):
    model = make()
    model.compile("sgd", "mse", mode="eager")
    words = r"`x` must have shape \[batch, 3\]. Received: x with shape=\[batch\]. The first axis is"
    for data in (batches(X, Y).unbatch(), tf.data.Dataset.from_tensors((X[0], Y[0]))):
        with pytest.raises(ValueError, match=words):
            model.fit(data, verbose=0)
    with pytest.raises(ValueError, match=words):
        model.predict(X[0], verbose=0)
    with pytest.raises(ValueError, match=r"Received: x with shape=\[batch, 3, 2\]"):
        model.predict(np.ones((4, 3, 2)), verbose=0)
    assert model.predict(X[:, :, np.newaxis], verbose=0).shape == (12, 1)


def test_inputs_of_one_number_need_no_axis_for_it():
    inputs = keras.Input((1,))
    model = km.Model(inputs, DENSE(1)(inputs))
    model.compile("sgd", "mse", mode="eager")
    assert model.predict(X[:, 0], verbose=0).shape == (12, 1)


@pytest.mark.parametrize("mode", ["eager", pytest.param("fused", marks=pytest.mark.sweep)])
def test_parts_with_other_numbers_of_examples_are_named(mode):
    model = make_regressor(mode)
    words = "`x` and `y` must have as many examples in a batch. Received: 4 in x, 2 in y"
    with pytest.raises(ValueError, match=words):
        model.fit(((X[:4], Y[:2]) for _ in range(2)), verbose=0)


def test_parts_with_other_numbers_of_examples_are_not_said_to_be_what_xla_cannot_compile():
    model = make_regressor("xla")
    with pytest.raises(tf.errors.InvalidArgumentError, match="Incompatible shapes: "):
        model.fit(((X[:4], Y[:2]) for _ in range(2)), verbose=0)


def make_sequential_of_a_name():
    model = km.Sequential([keras.Input((3,), name="numbers"), DENSE(1)])
    model.compile("sgd", "mse", mode="eager")
    return model


@pytest.mark.filterwarnings("ignore:The structure of `inputs`")  # Keras's own.
def test_a_sequential_model_takes_its_input_by_name():
    make_sequential_of_a_name().fit({"numbers": X}, Y, batch_size=12, verbose=0)
    with pytest.raises(ValueError, match=r"`x\['numbers'\]` must have shape \[batch, 3\]"):
        make_sequential_of_a_name().fit({"numbers": X[:, :2]}, Y, verbose=0)


def test_inputs_of_other_names_are_refused_by_keras():
    with pytest.raises(ValueError, match="structure of `inputs` doesn't match"):
        make_sequential_of_a_name().fit({"image": X, "label": Y}, Y, batch_size=12, verbose=0)


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_inputs_are_checked_one_by_one(names):
    inputs = [keras.Input((3,), name=names[0]), keras.Input((2,), name=names[1])]
    model = km.Model(inputs, DENSE(1)(keras.layers.Concatenate()(inputs)))
    model.compile("sgd", "mse", mode="eager")
    model.fit([X, X[:, :2]], Y, verbose=0)
    model.fit(dict(zip(names, (X, X[:, :2]), strict=True)), Y, verbose=0)
    with pytest.raises(
        ValueError, match=r"`x\[1\]` must have shape \[batch, 2\]. Received: x\[1\] w"
    ):
        model.fit([X, X], Y, verbose=0)
    words = rf"`x\['{names[1]}'\]` must have shape \[batch, 2\]. Received: x\['{names[1]}'\] with"
    with pytest.raises(ValueError, match=words):
        model.predict(dict.fromkeys(names, X), verbose=0)


def test_a_data_set_of_unknown_width_trains():
    signature = tf.TensorSpec([None, None]), tf.TensorSpec([None, 1])
    data = tf.data.Dataset.from_generator(lambda: iter([(X, Y)]), output_signature=signature)
    data = data.apply(tf.data.experimental.assert_cardinality(1))
    assert np.isfinite(make_functional().fit(data, verbose=0).history["loss"][0])


def test_complex_inputs_are_refused_where_a_model_takes_real_ones():
    with pytest.raises(ValueError, match="`x` must hold real numbers. Received: x of dtype=compl"):
        make_functional().fit(X + 1j, Y, verbose=0)
    inputs = keras.Input((3,), dtype="complex64")
    outputs = keras.layers.Lambda(keras.ops.real)(inputs)
    model = km.Model(inputs, outputs)
    model.compile(mode="eager")
    predicted = model.predict((X + 1j).astype("complex64"), verbose=0)
    np.testing.assert_allclose(predicted, X, 1e-6)


def test_an_input_may_be_left_out_and_others_are_still_checked():
    inputs = [keras.Input((2,), optional=True, name="a"), keras.Input((3,), name="b")]

    class Second(keras.layers.Layer):
        def call(self, first, second):
            return second

    model = km.Model(inputs, DENSE(1)(Second()(*inputs)))
    model.compile("sgd", "mse", mode="eager")
    model.fit([None, X], Y, verbose=0)
    with pytest.raises(ValueError, match=r"`x\[1\]` must have shape \[batch, 3\]"):
        model.fit([None, X[:, :2]], Y, verbose=0)


def test_a_class_of_a_program_without_a_name_is_trained():
    program = """
class Network(km.Model):
    def call(self, x, training=None):
        return super().call(x, training=training)
"""
    names = {"km": km, "__builtins__": __builtins__}
    exec(program, names)
    inputs = keras.Input((3,))
    model = names["Network"](inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mean_squared_error", mode="eager")
    assert model.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0).history["loss"]
