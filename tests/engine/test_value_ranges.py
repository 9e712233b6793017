"""Tests of ids and labels out of range, which XLA would not notice."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km
from kerasmodes.engine import value_ranges

IDS = np.random.default_rng(0).integers(0, 10, (8, 3)).astype("int32")
LABELS = np.arange(8) % 3
X = np.ones((8, 3), "float32")
WRONG_IDS, WRONG_LABELS = IDS.copy(), LABELS.copy()
WRONG_IDS[6, 1], WRONG_LABELS[5] = 10, 3
SPARSE = "sparse_categorical_crossentropy"
ID_WORDS = r"`x` must be in \[-10, 10\), the rows of the Embedding 'words'. Received: x\[6, 1\]=10"
LABEL_WORDS = r"`y` must be in \[0, 3\), the 3 classes of the output. Received: y\[5\]=3"


def make_embedding(kind="functional", mode="eager"):
    embedding, dense = keras.layers.Embedding(10, 2, name="words"), keras.layers.Dense(1)
    pool = keras.layers.GlobalAveragePooling1D()
    if kind == "sequential":
        model = km.Sequential([embedding, pool, dense])
    else:
        inputs = keras.Input((3,), dtype="int32")
        model = km.Model(inputs, dense(pool(embedding(inputs))))
    model.compile("sgd", "mse", mode=mode)
    return model


def make_classifier(loss=SPARSE, mode="eager"):
    inputs = keras.Input((3,))
    model = km.Model(inputs, keras.layers.Dense(3, activation="softmax")(inputs))
    model.compile("sgd", loss, mode=mode)
    return model


def batches(*arrays):
    return tf.data.Dataset.from_tensor_slices(arrays).batch(4)


@pytest.mark.parametrize("kind", ["functional", "sequential"])
@pytest.mark.parametrize(
    "mode",
    ["fused", *(pytest.param(m, marks=pytest.mark.sweep) for m in ("eager", "graph", "xla"))],
)
def test_an_id_that_an_embedding_has_not_is_refused_before_the_first_step(kind, mode):
    model = make_embedding(kind, mode)
    for call in (
        lambda: model.fit(WRONG_IDS, X[:, :1], verbose=0),
        lambda: model.fit(IDS, X[:, :1], validation_data=(WRONG_IDS, X[:, :1]), verbose=0),
        lambda: model.evaluate(WRONG_IDS, X[:, :1], verbose=0),
        lambda: model.predict(WRONG_IDS, verbose=0),
    ):
        with pytest.raises(ValueError, match=ID_WORDS):
            call()
    assert not model.optimizer.built or int(model.optimizer.iterations.numpy()) == 0


@pytest.mark.parametrize(
    "mode",
    ["fused", *(pytest.param(m, marks=pytest.mark.sweep) for m in ("eager", "graph", "xla"))],
)
def test_a_label_that_the_outputs_have_not_is_refused_before_the_first_step(mode):
    model = make_classifier(mode=mode)
    for method in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=LABEL_WORDS):
            method(X, WRONG_LABELS, verbose=0)
    with pytest.raises(ValueError, match=f"In `validation_data`: {LABEL_WORDS}"):
        model.fit(X, LABELS, validation_data=(X, WRONG_LABELS), verbose=0)
    assert int(model.optimizer.iterations.numpy()) == 0


def test_a_sequential_model_is_checked_before_it_is_built():
    model = km.Sequential([keras.layers.Dense(2), keras.layers.Dense(3, activation="softmax")])
    model.compile("sgd", SPARSE, mode="fused")
    with pytest.raises(ValueError, match=LABEL_WORDS):
        model.fit(X, WRONG_LABELS, verbose=0)
    assert not model.built


def test_layers_that_do_not_tell_their_shape_are_no_hindrance():
    layers = [keras.layers.Lambda(lambda x: x[:, :2]), keras.layers.Dense(3, activation="softmax")]
    model = km.Sequential(layers)
    model.compile("sgd", SPARSE, mode="eager")
    assert np.isfinite(model.fit(X, LABELS, verbose=0).history["loss"][0])


def test_a_step_of_one_s_own_may_change_ids():
    class Halving(km.Sequential):
        def train_step(self, data):
            x, y = data
            return super().train_step((x // 100, y))

    model = Halving([keras.layers.Embedding(10, 2), keras.layers.GlobalAveragePooling1D()])
    model.compile("sgd", "mse", mode="eager")
    model.fit(IDS * 100, X[:, :2], verbose=0)


@pytest.mark.parametrize(
    ("mode", "steps_per_execution"),
    [
        ("fused", None),
        *(
            pytest.param(*one, marks=pytest.mark.sweep)
            for one in (("xla", None), ("xla", 2), ("auto", None))
        ),
    ],
)
def test_a_data_set_is_looked_at_where_xla_would_not(mode, steps_per_execution):
    model = make_classifier()
    model.compile("sgd", SPARSE, mode=mode, steps_per_execution=steps_per_execution)
    words = LABEL_WORDS.replace("5", "1") + " in a batch"
    with pytest.raises(ValueError, match=words):
        model.fit(batches(X, WRONG_LABELS), verbose=0)
    before = model.get_weights()
    model.predict(batches(X, WRONG_LABELS), verbose=0)
    with pytest.raises(ValueError, match=words):
        model.fit(X, LABELS, validation_data=batches(X, WRONG_LABELS), verbose=0)
    assert np.isfinite(before[0]).all()


SPARSE_LOSS = keras.losses.SparseCategoricalCrossentropy


class Shifted(SPARSE_LOSS):
    """Takes labels from 1."""

    def call(self, y_true, y_pred):
        return super().call(y_true - 1, y_pred)


@pytest.mark.filterwarnings("ignore:.*received `from_logits=True`")
@pytest.mark.parametrize(
    ("loss", "labels"),
    [
        (SPARSE_LOSS(ignore_class=255), np.where(LABELS == 1, 255, LABELS)),
        (SPARSE_LOSS(ignore_class=-1), LABELS - 1),
        (SPARSE_LOSS(from_logits=True), LABELS[:, np.newaxis]),
        (Shifted(), LABELS + 1),
        (SPARSE, LABELS + 0.9),
        (SPARSE, LABELS - 0.9 * (LABELS == 0)),
        (SPARSE, (LABELS > 1)),
        (lambda y, p: keras.losses.sparse_categorical_crossentropy(y % 3, p), LABELS + 3),
    ],
)
def test_what_keras_takes_is_no_false_alarm(loss, labels):
    assert np.isfinite(make_classifier(loss).fit(X, labels, verbose=0).history["loss"][0])


@pytest.mark.parametrize(
    ("loss", "wrong"),
    [
        (keras.losses.sparse_categorical_crossentropy, 3),
        (SPARSE_LOSS(ignore_class=255), -1),
        (SPARSE_LOSS(from_logits=True), np.nan),
        (SPARSE, -1.5),
    ],
)
def test_labels_beyond_are_found_beside_an_ignored_class(loss, wrong):
    labels = LABELS.astype("float64")
    labels[7] = wrong
    with pytest.raises(ValueError, match=rf"Received: y\[7\]={float(wrong)}"):
        make_classifier(loss).fit(X, labels, verbose=0)


def test_what_stands_before_an_embedding_may_take_any_number():
    inputs = keras.Input((3,), dtype="int32")
    hashed = keras.layers.Hashing(10)(inputs)
    other = km.Model(inputs, keras.layers.Embedding(2, 2)(inputs))  # Of the same input.
    pooled = keras.layers.Flatten()(keras.layers.Embedding(10, 2)(hashed))
    model = km.Model(inputs, keras.layers.Dense(1)(pooled))
    model.compile("sgd", "mse", mode="eager")
    model.fit(IDS + 1000, X[:, :1], verbose=0)
    model.fit(-IDS, X[:, :1], verbose=0)
    make_embedding().fit(-IDS - 1, X[:, :1], verbose=0)  # -1 is the last row.
    assert value_ranges.find_ranges(other, tf.TensorSpec([None, 3]), None)[0].high == 2


def test_the_input_and_the_output_are_named():
    inputs = {name: keras.Input((3,), name=name) for name in ("a", "words")}
    embedded = keras.layers.Flatten()(keras.layers.Embedding(10, 2)(inputs["words"]))
    outputs = {"c": keras.layers.Dense(3)(inputs["a"]), "d": keras.layers.Dense(1)(embedded)}
    model = km.Model(inputs, outputs)
    model.compile("sgd", {"c": SPARSE_LOSS(from_logits=True), "d": "mse"}, mode="eager")
    y = {"c": LABELS, "d": X[:, :1]}
    model.fit({"a": X, "words": IDS}, y, verbose=0)
    with pytest.raises(ValueError, match=r"Received: x\['words'\]\[6, 1\]=10"):
        model.fit({"a": X, "words": WRONG_IDS}, y, verbose=0)
    with pytest.raises(ValueError, match=r"Received: y\['c'\]\[5\]=3"):
        model.fit({"a": X, "words": IDS}, {**y, "c": WRONG_LABELS}, verbose=0)
