"""Tests of examples that are read where they are used: the numbers of a fit on arrays.

Two real workers are in `tests/test_workers.py`; a fit that resumes, in `callbacks/test_resume.py`.
"""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from seeds import set_seed

import kerasmodes as km
from kerasmodes.engine import examples, keras_private, super_batches

NUM_EXAMPLES, BATCH_SIZE = 11, 4
X, Y = km.data.sums(num_samples=NUM_EXAMPLES, num_features=3, seed=1)
ONE_DEVICE = tf.distribute.get_strategy()
MODES = (None, "eager", "graph", "xla", "fused", "auto")


class Rows:
    """The rows of arrays; it notes which were read."""

    def __init__(self, *arrays):
        self.arrays, self.read = arrays, []

    def __len__(self):
        return len(self.arrays[0])

    def __getitem__(self, index):
        self.read.append(index)
        return tuple(array[index] for array in self.arrays)


@functools.cache
def make_regressor(strategy=ONE_DEVICE, mode="eager"):
    """Returns one model for each mode and strategy."""
    with strategy.scope():
        model = km.SumRegressor(units=())
        model.build((None, 3))
        model.compile("sgd", mode=mode)
    return model


def train(model, data, **arguments):
    """Returns all numbers of a fit from the beginning, and of what follows."""
    set_seed(0)
    model.set_weights([np.full((3, 1), 0.5), np.zeros(1)])
    history = model.fit(**data, epochs=2, verbose=0, **arguments).history
    arguments = {name: value for name, value in data.items() if name == "batch_size"}
    evaluated = [data[name] for name in ("x", "y") if name in data]
    return {
        **history,
        "weights": np.concatenate([weight.ravel() for weight in model.get_weights()]),
        "evaluate": model.evaluate(*evaluated, **arguments, verbose=0),
        "predict": model.predict(data["x"], **arguments, verbose=0),
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "arguments"),
    [
        pytest.param(
            mode,
            arguments,
            marks=[]
            if (mode, len(arguments)) in (("eager", 0), ("fused", 2))
            else [pytest.mark.sweep],
        )
        for mode in MODES
        for arguments in (
            {},
            {"shuffle": False},
            {"shuffle": "batch", "class_weight": {0: 2.0, 1: 0.5}},
            {"initial_epoch": 1},
        )
    ],
)
def test_a_source_has_the_numbers_of_arrays_in_memory(mode, arguments):
    arrays = {"x": X, "y": Y, "batch_size": BATCH_SIZE}
    model = make_regressor(mode=mode)
    expected = train(model, arrays, **arguments, validation_data=(X, Y))
    data = {"x": km.data.from_source(Rows(X, Y), BATCH_SIZE, num_threads=2)}
    validation = km.data.from_source(Rows(X, Y), BATCH_SIZE)
    found = train(model, data, **arguments, validation_data=validation)
    assert set(found) == set(expected)
    for name, value in found.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


@pytest.mark.parametrize("num_taken", range(4))
def test_a_pass_is_resumed_at_any_batch(num_taken):
    data = km.data.from_source(Rows(X, Y), BATCH_SIZE)
    source = examples.ExampleSource(keras_private.get_data_adapter(data), ONE_DEVICE, 2)
    state = {"seed": None, "pass": 0, "batches": num_taken}
    reader, reason = source.reopen(state, None)
    assert reason is None and source.capture(reader, None)["batches"] == num_taken
    batches = list(super_batches.iterate_batches(reader.take(9)))
    assert [len(x) for x, _ in batches] == [4, 4, 3][num_taken:]
    for x, _ in batches[:1]:
        np.testing.assert_array_equal(x, X[4 * num_taken :][:4])
    ((first, _),) = super_batches.iterate_batches(source.take_batch())
    np.testing.assert_array_equal(first, X[:4])


@pytest.mark.slow
@pytest.mark.sweep
@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_replicas_have_the_numbers_of_one_device(two_replicas, mode):
    found, expected = (
        train(make_regressor(one, mode), {"x": km.data.from_source(Rows(X, Y), BATCH_SIZE)})
        for one in (two_replicas, ONE_DEVICE)
    )
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], atol=1e-6, err_msg=name)


def test_each_example_is_read_once_in_an_epoch_and_the_first_once_before():
    source = Rows(X, Y)
    model = make_regressor()
    model.evaluate(km.data.from_source(source, BATCH_SIZE), verbose=0)
    assert sorted(source.read) == sorted([0, *range(NUM_EXAMPLES)])


def test_a_batch_size_that_replicas_cannot_share_is_refused(two_replicas):
    with pytest.raises(ValueError, match="must be divisible by the 2 replicas"):
        make_regressor(two_replicas).evaluate(km.data.from_source(Rows(X, Y), 3), verbose=0)


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_another_batch_size_than_that_of_the_data_is_refused(method):
    data = km.data.from_source(Rows(X, Y), BATCH_SIZE)
    with pytest.raises(ValueError, match="must be given to km.data.from_source. Received: batch"):
        getattr(make_regressor(), method)(data, batch_size=32)


def test_a_model_without_modes_reads_it_batch_by_batch():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    data = km.data.from_source(Rows(X, Y), BATCH_SIZE)
    expected = keras.ops.convert_to_numpy(model(X))
    np.testing.assert_allclose(model.predict(data, verbose=0), expected, atol=1e-6)


def test_random_numbers_of_an_example_follow_from_it():
    def add_noise(example, generator):
        return example[0] + generator.normal(size=3), example[1]

    data = km.data.from_source(Rows(X, Y), BATCH_SIZE, map_func=add_noise)
    first, second = (data.read([3, 5], seed) for seed in ((0, 0), (0, 1)))
    np.testing.assert_array_equal(data.read([5], (0, 0))[0], first[0][1:])
    assert (first[0] != second[0]).all() and (first[0] != X[[3, 5]]).all()
    np.testing.assert_array_equal(first[1], Y[[3, 5]])
    np.testing.assert_array_equal(data[0][0], data[0][0])


@pytest.mark.slow
def test_random_numbers_differ_between_epochs_but_not_between_validations():
    drawn = []

    def draw(example, generator):
        drawn.append(generator.random())
        return example

    data = km.data.from_source(Rows(X[:4], Y[:4]), 4, map_func=draw)
    model = make_regressor()
    model.fit(data, epochs=2, verbose=0)
    assert len({*drawn}) == 1 + 2 * 4
    del drawn[:]
    for _ in range(2):
        model.evaluate(data, verbose=0)
    assert drawn[:4] == drawn[4:]


def test_examples_of_any_structure_become_batches():
    examples = [{"a": [1.0, i], "b": (np.uint8(i), True)} for i in range(3)]
    batch = km.data.from_source(examples, 3)[0]
    np.testing.assert_array_equal(batch["a"][1], [0, 1, 2])
    assert batch["a"][0].dtype == "float32" and batch["b"][0].dtype == "uint8"
    assert batch["b"][1].dtype == "bool"


@pytest.mark.parametrize(
    ("examples", "words"),
    [
        (
            [np.zeros(2), np.zeros(3)],
            r"as the first one: float32\[2\]. Received: float32\[3\] in source\[1\]",
        ),
        ([(1.0, 2), (1.0, 2.0)], r"\('float32\[\]', 'int64\[\]'\)"),
        ([(1.0, "a")], r"must be nested arrays and numbers. Received: a str in source\[0\]"),
    ],
)
def test_examples_that_make_no_batch_are_named(examples, words):
    with pytest.raises(ValueError, match=words):
        km.data.from_source(examples, 2)[0]


class Noting(km.Model):
    """Notes the structure of what its step is given."""

    def __init__(self):
        super().__init__()
        self.structures, self.built = [], True

    def train_step(self, data):
        self.structures.append(tf.nest.map_structure(lambda part: part.shape.rank, data))
        return {}


@pytest.mark.parametrize("x", [X, {"a": X}, (X, Y)], ids=["array", "dictionary", "tuple"])
def test_a_step_is_given_inputs_alone_as_of_arrays(x):
    model = Noting()
    model.compile(optimizer=None, mode="eager")
    model.fit(x, batch_size=NUM_EXAMPLES, verbose=0)
    example = tf.nest.map_structure(lambda part: part[0], x)
    source = [(example,) if isinstance(x, tuple) else example] * NUM_EXAMPLES
    model.fit(km.data.from_source(source, NUM_EXAMPLES), verbose=0)
    of_arrays, of_source = model.structures
    assert of_source == of_arrays


def test_a_source_of_more_than_three_parts_is_refused():
    data = km.data.from_source(Rows(X, Y, Y, Y), BATCH_SIZE)
    with pytest.raises(ValueError, match=r"sample_weight\)`. Received: a tuple of 4 in source\[0"):
        make_regressor().fit(data, verbose=0)


class Broken(Rows):
    """Rows of which one cannot be read."""

    def __init__(self, error):
        super().__init__(X, Y)
        self.error = error

    def __getitem__(self, index):
        if index == 9:
            raise self.error
        return super().__getitem__(index)


@pytest.mark.parametrize("num_threads", [1, 3])
def test_what_a_source_raises_reaches_the_user_with_its_example(num_threads):
    data = km.data.from_source(Broken(KeyError("a key")), BATCH_SIZE, num_threads=num_threads)
    with pytest.raises(KeyError, match="a key") as caught:
        make_regressor().predict(data, verbose=0)
    assert caught.value.__notes__ == ["It was raised by source[9]."]


def test_a_source_that_ends_early_is_named():
    data = km.data.from_source(Broken(StopIteration()), BATCH_SIZE)
    with pytest.raises(RuntimeError, match=r"Received: StopIteration from source\[9\]"):
        make_regressor().predict(data, verbose=0)


def test_what_a_map_func_raises_is_told_with_its_example():
    data = km.data.from_source(Rows(X, Y), 2, lambda example, generator: example[2])
    with pytest.raises(IndexError) as caught:
        data[1]
    assert caught.value.__notes__ == ["It was raised by `map_func` of source[2]."]
