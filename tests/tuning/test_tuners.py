"""Tests of `km.tuning.search`: what it runs, resumes and refuses."""

import functools
import shutil

import keras
import keras_tuner
import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf
from tiny_searches import (
    NUM_FEATURES,
    Formula,
    list_scores,
    list_statuses,
    make_space,
    make_sums,
    search_sums,
)

import kerasmodes as km


class Interruption(keras.callbacks.Callback):
    """Raises what Ctrl-C raises, in the second trial: keras-tuner copies callbacks for each."""

    trials = 0

    def on_train_begin(self, logs=None):
        Interruption.trials += 1
        if Interruption.trials == 2:
            raise KeyboardInterrupt


class Compiled(keras.callbacks.Callback):
    """Notes how each model of a search was compiled."""

    def on_train_begin(self, logs=None):
        COMPILED.append((self.model.mode, self.model.optimizer.name, self.model.loss))


COMPILED = []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"mode": "eager", "steps_per_execution": 2}, ("eager", 2)),
        *(
            pytest.param(*one, marks=pytest.mark.sweep)
            for one in (
                ({"mode": "fused"}, ("fused", None)),
                ({"mode": "auto", "steps_per_execution": 2}, ("auto", 2)),
                ({"run_eagerly": True}, ("eager", 1)),
                ({}, ("graph", 1)),
            )
        ),
    ],
)
def test_a_model_that_a_search_compiles_again_keeps_its_mode(settings, expected, tmp_path):
    def build(hp):
        model = km.SumRegressor((hp.Int("width", 2, 9),))
        model.compile("adam", "mse", **settings)
        return model

    COMPILED.clear()
    tuner = km.tuning.search(
        build,
        objective=keras_tuner.Objective("val_mse", "min"),
        max_trials=1,
        epochs=1,
        optimizer="sgd",
        loss="mae",
        metrics=["mse"],
        directory=tmp_path,
        callbacks=[Compiled()],
        **make_sums(),
    )
    ((mode, optimizer, loss),) = COMPILED
    assert (mode, optimizer, loss) == (expected[0], "sgd", "mae")
    km.tuning.save_best_model(tuner, tmp_path / "best.keras")
    best = keras.models.load_model(tmp_path / "best.keras")
    assert (best.mode, best.asked_steps_per_execution) == expected


@pytest.mark.slow
def test_a_model_that_is_not_compiled_is_compiled_by_the_search(tmp_path):
    def build(hp):
        return km.Sequential([keras.Input((NUM_FEATURES,)), keras.layers.Dense(hp.Int("n", 1, 1))])

    given = {"optimizer": keras.optimizers.SGD(0.1), "loss": "mse", "max_trials": 1, "epochs": 1}
    tuner = km.tuning.search(build, directory=tmp_path, **given, **make_sums())
    assert list_statuses(tuner) == ["COMPLETED"]


def test_a_model_that_is_too_large_fails_its_trial(tmp_path):
    with pytest.raises(RuntimeError, match="Oversized model"):
        search_sums(tmp_path, max_model_size=3, max_trials=1)


@pytest.mark.slow
def test_wrong_data_end_the_search_before_the_first_trial(tmp_path):
    x = np.zeros((16, NUM_FEATURES + 1), "float32")
    with pytest.raises(ValueError, match=r"`x` must have shape \[batch, 4\]"):
        search_sums(tmp_path, x=x)
    assert not list(tmp_path.glob("*/trial_*"))
    search_sums(tmp_path, max_trials=1, epochs=1)  # The folder is as good as new.


def test_an_objective_that_is_no_log_ends_the_search_before_the_first_trial(tmp_path):
    with pytest.raises(
        ValueError, match="`objective` must be one of loss. Received: objective='val_loss'"
    ):
        search_sums(tmp_path, validation_split=0.0)
    assert not list(tmp_path.glob("*/trial_*"))


def test_that_of_several_objectives_which_is_no_log_is_named(tmp_path):
    objectives = ["val_loss", "val_mean_absolute_error"]
    with pytest.raises(ValueError, match="one of loss, val_loss. Received: objective='val_mean_a"):
        search_sums(tmp_path, objective=objectives)


@pytest.mark.slow
def test_an_objective_that_no_callback_logs_ends_the_search_in_its_first_epoch(tmp_path):
    with pytest.raises(ValueError, match="`objective` must be one of .*objective='val_frechet'"):
        search_sums(tmp_path, objective="val_frechet", callbacks=[keras.callbacks.Callback()])


@pytest.mark.parametrize(
    ("name", "direction", "words"),
    [
        ("val_loss", "max", "the direction 'min'. Received: objective='val_loss' with direction"),
        ("val_frechet", "max", "the direction 'min'"),
        ("val_accuracy", "min", "the direction 'max'"),
        ("val_own", "down", "the direction min or max"),
    ],
)
def test_a_wrong_direction_is_named_before_the_search(name, direction, words, tmp_path):
    with pytest.raises(ValueError, match=f"`objective` must have {words}"):
        search_sums(tmp_path, objective=keras_tuner.Objective(name, direction))
    assert not list(tmp_path.iterdir())


def test_an_objective_without_a_known_direction_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError, match="`objective` must be a log of which it is known"):
        search_sums(tmp_path, objective="val_own")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_each_trial_writes_files_of_its_own(tmp_path):
    writers = [
        keras.callbacks.CSVLogger(tmp_path / "logs" / "history.csv"),
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras"),
        keras.callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False),
    ]
    search_sums(tmp_path, max_trials=2, epochs=1, callbacks=writers)
    for trial in ("trial_0", "trial_1"):
        assert (tmp_path / "logs" / trial / "history.csv").read_text().count("\n") == 2
        assert (tmp_path / trial / "best.keras").exists()
        assert (tmp_path / "backup" / trial / "latest.weights.h5").exists()
    assert not (tmp_path / "best.keras").exists()


def test_an_unknown_argument_is_named_before_the_search(tmp_path):
    words = "of `search` or of `fit`. Received: max_trails=int. Did you mean 'max_trials'"
    with pytest.raises(ValueError, match=words):
        search_sums(tmp_path, max_trails=3)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("max_epochs", "It is `epochs` here"),
        ("project_name", "Each search has its own `directory` here"),
        ("hyperband_iterations", "keras-tuner's own tuners take it"),
    ],
)
def test_an_argument_of_keras_tuner_alone_tells_what_to_do(name, words, tmp_path):
    with pytest.raises(ValueError, match=f"Received: {name}=int. {words}"):
        search_sums(tmp_path, **{name: 3})
    assert not list(tmp_path.iterdir())


def test_a_model_in_the_place_of_a_hypermodel_is_named_before_the_search(tmp_path):
    with pytest.raises(TypeError, match="`hypermodel` must be a .*Received: a SumRegressor"):
        km.tuning.search(km.SumRegressor(), directory=tmp_path, **make_sums())
    assert not list(tmp_path.iterdir())


def test_an_objective_on_validation_data_that_are_missing_says_so(tmp_path):
    words = "`objective` must be one of loss.*'val_loss'. Give `validation_data` or `validation_spl"
    with pytest.raises(ValueError, match=words):
        search_sums(tmp_path, validation_split=0.0)


class Refuse(km.SumRegressor):
    """Refuses some widths in `fit`, as a model may that does not fit a device."""

    def fit(self, *args, **kwargs):
        if self.width in REFUSED:
            raise ValueError(f"width {self.width} is refused")
        return super().fit(*args, **kwargs)


REFUSED = []


def search_widths(directory, refused, **arguments):
    REFUSED[:] = refused

    def build(hp):
        model = Refuse(())
        model.width = hp.Choice("width", [2, 3, 4, 5])
        model.compile("sgd", "mse", mode="eager")
        return model

    defaults = {"max_trials": 4, "epochs": 1, "seed": 0, **make_sums()}
    return km.tuning.search(build, "grid", directory=directory, **{**defaults, **arguments})


@pytest.mark.slow
def test_an_error_in_fit_fails_its_trial_alone_and_leaves_its_traceback(tmp_path):
    tuner = search_widths(tmp_path, refused=[2, 4])
    statuses = {
        trial.hyperparameters["width"]: trial.status for trial in tuner.oracle.trials.values()
    }
    assert statuses == {2: "FAILED", 3: "COMPLETED", 4: "FAILED", 5: "COMPLETED"}
    (failed,) = (t for t in tuner.oracle.trials.values() if t.hyperparameters["width"] == 4)
    assert "width 4 is refused" in failed.message
    folder = tmp_path / "grid" / f"trial_{failed.trial_id}"
    assert "width 4 is refused" in (folder / "traceback.txt").read_text()


@pytest.mark.slow
def test_three_failures_in_a_row_end_the_search_with_the_reason(tmp_path):
    with pytest.raises(RuntimeError, match="(?s)limit of 3.*width 5 is refused"):
        search_widths(tmp_path, refused=[3, 4, 5])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "error", "words"),
    [
        # It is not in the first batch, which is looked at before the first trial.
        (11, RuntimeError, "(?s)limit of 2.*numbers must be finite"),
        (-1, keras_tuner.errors.FailedTrialError, "numbers must be finite. Received: val_loss"),
    ],
    ids=["training", "validation"],
)
def test_a_number_that_is_not_finite_fails_its_trial(place, error, words, tmp_path):
    sums = make_sums()
    sums["x"][place, 0] = np.nan
    examples = tf.data.Dataset.from_tensor_slices((sums["x"], sums["y"])).batch(4)
    data = {"x": examples.take(3), "y": None, "validation_data": examples.skip(3)}
    space = make_space(optimizer="sgd", batch_size=2)
    with pytest.raises(error, match=words):
        search_sums(tmp_path, max_trials=2, validation_split=0.0, hyperparameters=space, **data)


def test_arrays_that_are_not_finite_end_the_search_before_its_first_trial(tmp_path):
    sums = make_sums()
    sums["x"][0, 0] = np.nan
    with pytest.raises(ValueError, match=r"`x` must be finite. Received: x\[0, 0\]=nan"):
        search_sums(tmp_path, **sums)


def search_formula(directory, max_trials=1, **arguments):
    formula = Formula()
    arguments |= {"max_trials": max_trials, "epochs": 1, "directory": directory, "verbose": 0}
    return km.tuning.search(formula, **arguments), formula


def test_settings_of_keras_tuner_are_passed_on(tmp_path):
    space = make_space(width=4)
    tuner, formula = search_formula(tmp_path, hyperparameters=space, executions_per_trial=2)
    assert tuner.oracle.trials["0"].hyperparameters["width"] == tuner.oracle.trials["0"].score == 4
    assert len(formula.callbacks) == 2


@pytest.mark.slow
def test_same_seed_and_resumed_search_give_the_same_trials(random_search, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        search_sums(tmp_path, callbacks=[Interruption()])
    # As a process leaves it that is killed while it writes.
    (tmp_path / "random" / "trial_1" / "checkpoint.weights.h5").write_bytes(b"half of a check")
    resumed = search_sums(tmp_path)
    assert len(list_scores(resumed)) == 3
    assert list_scores(resumed) == list_scores(random_search)


# So does the search whose damaged files are set aside, below.
@pytest.mark.sweep
@pytest.mark.slow
def test_more_trials_extend_a_search(tmp_path):
    first = search_sums(tmp_path, max_trials=1, epochs=1)
    both = search_sums(tmp_path, max_trials=2, epochs=1)
    assert len(both.oracle.trials) == 2
    assert both.oracle.trials["0"].score == first.oracle.trials["0"].score


@pytest.mark.slow
def test_a_model_that_is_not_built_by_shapes_can_be_resumed(tmp_path):
    class Built(km.Model):
        def __init__(self):
            super().__init__()
            self.network = keras.Sequential([keras.Input((NUM_FEATURES,)), keras.layers.Dense(1)])
            self.built = True

        def call(self, inputs):
            return self.network(inputs)

    def build(hp):
        model = Built()
        model.compile(keras.optimizers.SGD(hp.Choice("rate", [0.1, 0.2])), "mse", mode="eager")
        return model

    for max_trials in (1, 2):
        tuner = km.tuning.search(
            build, max_trials=max_trials, epochs=1, directory=tmp_path, **make_sums()
        )
    assert list_statuses(tuner) == ["COMPLETED"] * 2


@pytest.mark.slow
def test_a_fit_of_ones_own_may_return_what_is_no_log(tmp_path):
    class Sizes(keras_tuner.HyperModel):
        def build(self, hp):
            model = km.SumRegressor([hp.Int("width", 2, 4)])
            model.compile("sgd", "mse", mode="eager")
            return model

        def fit(self, hp, model, *args, **kwargs):
            model.fit(*args, **kwargs)
            return {"size": model.count_params()}

    objective = keras_tuner.Objective("size", "min")
    tuner = km.tuning.search(
        Sizes(), "grid", objective, epochs=1, directory=tmp_path, **make_sums()
    )
    assert tuner.get_best_hyperparameters()[0]["width"] == 2


@pytest.mark.parametrize("callbacks", [None, (keras.callbacks.TerminateOnNaN(),)])
def test_callbacks_may_be_none_or_a_tuple_as_in_fit(callbacks, tmp_path):
    tuner, formula = search_formula(tmp_path, callbacks=callbacks)
    assert list_statuses(tuner) == ["COMPLETED"]
    kinds = [type(callback) for callback in formula.callbacks[0]]
    assert (keras.callbacks.TerminateOnNaN in kinds) == bool(callbacks)


def test_hyperparameters_stay_as_they_are_and_resume_their_search(tmp_path):
    space = make_space(width=[4, 5, 6])
    before = space.get_config()
    for max_trials in (1, 2):
        tuner, _ = search_formula(tmp_path, max_trials, hyperparameters=space)
    assert space.get_config() == before
    assert list_statuses(tuner) == ["COMPLETED"] * 2


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ({"validation_freq": 2}, ValueError, "`validation_freq` must be 1.*validation_freq=2"),
        ({"x": iter([])}, TypeError, "`x` must be data that each trial reads .*a list_iterator"),
        ({"validation_data": iter([])}, TypeError, "`validation_data` must be data that each"),
        ({"objective": []}, ValueError, "`objective` must be one or more.*objective=.."),
        ({"x": None}, ValueError, "`x` must be the data of the search"),
        ({"callbacks": keras.callbacks.EarlyStopping()}, TypeError, "`callbacks` must be a list"),
        ({"callbacks": [keras.callbacks.EarlyStopping]}, TypeError, "`callbacks` must be a list"),
        ({"hypermodel": lambda hp: None}, TypeError, "`hypermodel` must build a Keras model"),
    ],
)
def test_what_can_never_train_is_named_before_the_first_trial(wrong, error, words, tmp_path):
    arguments = {"hypermodel": km.tuning.SumRegressorHyperModel(NUM_FEATURES), **make_sums()}
    with pytest.raises(error, match=words):
        km.tuning.search(**{**arguments, "directory": tmp_path, **wrong})
    assert not list(tmp_path.glob("*/trial_*"))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"epochs": 1}, "epochs=1 .there: 2."),
        ({"x": np.zeros((16, NUM_FEATURES), "float32")}, "x='float32.16, 4. with checksum"),
        ({"mode": "graph"}, "hypermodel.mode='graph' .there: 'eager'."),
        ({"validation_split": 0.5}, "validation_split=0.5 .there: 0.25."),
    ],
)
def test_another_search_in_the_same_folder_is_refused(changed, words, random_search):
    before = list_scores(random_search)
    with pytest.raises(ValueError, match=f"`directory` must be new.*Received: {words}"):
        search_sums(random_search.directory, **changed)
    assert list_scores(search_sums(random_search.directory)) == before


def test_overwrite_starts_again(tmp_path):
    search_formula(tmp_path, max_trials=2)
    tuner, _ = search_formula(tmp_path, overwrite=True)
    assert list_statuses(tuner) == ["COMPLETED"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["trial_1/trial.json", "search.json", pytest.param("tuner0.json", marks=pytest.mark.sweep)],
)
def test_a_damaged_file_is_named_and_can_be_set_aside(name, random_search, tmp_path):
    shutil.copytree(random_search.directory, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "random" / name
    path.write_text("{")
    with pytest.raises(ValueError, match=f"must be whole. Received: .*{name}, damaged"):
        search_sums(tmp_path, max_trials=4)
    after = search_sums(tmp_path, max_trials=4, repair=True).oracle.trials
    assert [after[number].status for number in sorted(after)] == [
        "COMPLETED",
        "FAILED" if name.startswith("trial") else "COMPLETED",
        "COMPLETED",
        "COMPLETED",
    ]
    assert after["0"].score == random_search.oracle.trials["0"].score
    assert path.with_name(f"{path.name}.damaged").exists()


@pytest.mark.sweep
@pytest.mark.slow
def test_hyperband_runs_max_trials(hyperband_search):
    assert len(hyperband_search.oracle.trials) == 4


# The two below have a data set, and Adam, by default.
@pytest.mark.sweep
@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "data"), [("eager", "data set"), ("eager", "arrays"), ("fused", "data set")]
)
def test_a_promoted_trial_is_bit_equal_to_one_never_interrupted(mode, data, tmp_path):
    sums = make_sums()
    x, y = sums["x"], sums["y"]
    if data == "arrays":
        arguments = {"x": x, "y": y, "batch_size": 8}
    else:
        dataset = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(16, seed=1).batch(8)
        arguments = {"x": dataset}
    arguments |= {"validation_data": (x, y), "verbose": 0}

    def build(hp):
        return build_with_adam(hp, mode)

    check_promotion(build, tmp_path, **arguments)


def build_with_adam(hp, mode, cls=km.SumRegressor, **settings):
    # Adam is not built here, and these rates make the first epoch the best one, at times.
    model = cls(())
    model.compile(keras.optimizers.Adam(hp.Float("rate", 0.3, 3.0), **settings), "mse", mode=mode)
    return model


def check_promotion(build, directory, **arguments):
    """Asserts that the score of a promoted trial is that of a fit which was never interrupted."""
    settings = {"max_trials": 4, "epochs": 3, "seed": 0, "directory": directory}
    tuner = km.tuning.search(build, "hyperband", **settings, **arguments)
    assert list_statuses(tuner) == ["COMPLETED"] * 4
    promoted = tuner.oracle.trials["3"]
    hp = promoted.hyperparameters
    assert hp["tuner/initial_epoch"] > 0
    keras.utils.set_random_seed(0)
    model = build(hp)
    history = tuner.hypermodel.fit(hp, model, **arguments, epochs=hp["tuner/epochs"]).history
    assert promoted.score == min(history["val_loss"][hp["tuner/initial_epoch"] :])


class OwnLoop(keras_tuner.HyperModel):
    """Trains a model that is not compiled, and tells callbacks as keras-tuner's guide does."""

    def build(self, hp):
        hp.Int("width", 1, 100)
        return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])

    def fit(self, hp, model, callbacks, epochs, initial_epoch=0, **kwargs):
        for callback in callbacks:
            callback.set_model(model)
        for epoch in range(initial_epoch, epochs):
            model.layers[0].bias.assign_add([1.0])
            for callback in callbacks:
                callback.on_epoch_end(epoch, {"own": -1.0 - epoch})
        return -float(model.layers[0].bias.numpy()[0])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["hyperband", pytest.param("random", marks=pytest.mark.sweep)])
def test_a_loop_of_ones_own_trains_a_model_that_is_not_compiled(kind, tmp_path):
    objective = keras_tuner.Objective("own", "min")
    settings = {"objective": objective, "max_trials": 4, "epochs": 3, "directory": tmp_path}
    tuner = km.tuning.search(OwnLoop(), kind, **settings)
    for trial in tuner.oracle.trials.values():
        assert trial.score == -trial.hyperparameters.values.get("tuner/epochs", 3)
    assert tuner.get_best_models()[0].layers[0].bias.numpy() == 3.0
    km.tuning.save_best_model(tuner, tmp_path / "best.keras")


# The last test of promotion has them too, in eager mode.
@pytest.mark.sweep
@pytest.mark.slow
@pytest.mark.parametrize("mode", ["eager", "graph", "fused"])
def test_a_promoted_trial_has_the_random_states_and_not_the_averages(mode, tmp_path):
    sums = make_sums()

    def build(hp):
        layers = [keras.layers.Dropout(0.5), keras.layers.Dense(1)]
        model = km.Sequential([keras.Input((NUM_FEATURES,)), *layers])
        rate = hp.Float("rate", 0.01, 0.02)
        model.compile(keras.optimizers.SGD(rate, use_ema=True), "mse", mode=mode)
        return model

    data = tf.data.Dataset.from_tensor_slices((sums["x"], sums["y"])).shuffle(16, seed=1).batch(8)
    check_promotion(build, tmp_path, x=data, validation_data=(sums["x"], sums["y"]), verbose=0)


class TwoOptimizers(km.SumRegressor):
    """Moves its weights by a second optimizer, too, and draws in each step."""

    def __init__(self, units):
        super().__init__(units)
        self.dropout = keras.layers.Dropout(0.5)

    def build(self, input_shape):
        super().build(input_shape)
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
        self.second_optimizer = km.build_optimizer(optimizer, self)

    def call(self, x, training=False):
        return super().call(self.dropout(x, training=training))

    def train_step(self, data):
        logs = super().train_step(data)
        weights = self.trainable_variables
        self.second_optimizer.apply([0.1 * weight for weight in weights], weights)
        return logs


@pytest.mark.slow
@pytest.mark.parametrize(
    "length",
    ["endless", *(pytest.param(one, marks=pytest.mark.sweep) for one in ("finite", "unknown"))],
)
def test_a_promoted_trial_continues_both_optimizers_and_a_pass_of_many_epochs(length, tmp_path):
    """The random states and what one optimizer averages, too."""
    sums = make_sums()
    data = tf.data.Dataset.from_tensor_slices((sums["x"], sums["y"])).shuffle(16, seed=1)
    if length == "unknown":
        data = data.filter(lambda x, y: True).repeat(2)
    data = data.repeat() if length == "endless" else data

    def build(hp):
        return build_with_adam(hp, "eager", TwoOptimizers, use_ema=True)

    arguments = {"x": data.batch(4), "steps_per_epoch": 2, "verbose": 0}
    check_promotion(build, tmp_path, **arguments, validation_data=(sums["x"], sums["y"]))


# `test_oracles.py` has a Bayesian search without training.
@pytest.mark.sweep
@pytest.mark.slow
def test_bayesian_search_finishes(tmp_path):
    # The third trial is the first that is not drawn at random.
    assert list_statuses(search_sums(tmp_path, "bayesian", epochs=1)) == ["COMPLETED"] * 3


def test_bayesian_search_draws_no_int_above_its_range(tmp_path, monkeypatch):
    class Widths(keras_tuner.HyperModel):
        def build(self, hp):
            hp.Int("width", 1, 80_000, sampling="log")
            return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])

        def fit(self, hp, model, *args, **kwargs):
            return -hp["width"]

    minimize = scipy.optimize.minimize

    def find_end(function, x0, bounds, **kwargs):
        if "jac" in kwargs:  # It fits the model of the scores.
            return minimize(function, x0, bounds=bounds, **kwargs)
        return scipy.optimize.OptimizeResult(x=bounds[:, 1], fun=0.0)

    monkeypatch.setattr(scipy.optimize, "minimize", find_end)
    tuner = km.tuning.search(Widths(), "bayesian", max_trials=3, epochs=1, directory=tmp_path)
    assert tuner.get_best_hyperparameters()[0]["width"] == 80_000


@pytest.mark.sweep
def test_an_interrupted_bayesian_search_draws_as_one_that_was_not(tmp_path):
    class Ripples(keras_tuner.HyperModel):
        """A function with many minima, one of which each search from a random point finds."""

        def build(self, hp):
            for name in ("one", "other"):
                hp.Float(name, 0.0, 1.0)
            return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])

        def fit(self, hp, model, *args, **kwargs):
            calls.append(hp.values)
            if len(calls) == stop:
                raise KeyboardInterrupt
            return np.cos(40 * hp["one"]) + np.cos(30 * hp["other"])

    arguments = {"max_trials": 7, "epochs": 1, "seed": 1, "verbose": 0}
    drawn = []
    for directory, stop in (("whole", None), ("halves", 6)):
        calls = []
        search = functools.partial(km.tuning.search, Ripples(), "bayesian", **arguments)
        if stop:
            with pytest.raises(KeyboardInterrupt):
                search(directory=tmp_path / directory)
        tuner = search(directory=tmp_path / directory)
        drawn.append([tuner.oracle.trials[n].hyperparameters.values for n in "0123456"])
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("tuner", "best"), ("max_trials", 0), ("epochs", 1.5), ("seed", -1)),
        *(("max_trials", True), ("worker_timeout", 0)),
    ],
)
def test_a_bad_argument_is_named(name, value, tmp_path):
    with pytest.raises(ValueError, match=f"`{name}` must be .*Received: {name}="):
        search_sums(**{"directory": tmp_path, name: value})


def test_an_unknown_tuner_names_the_four(tmp_path):
    with pytest.raises(ValueError, match="'random', 'grid', 'hyperband', 'bayesian'"):
        search_sums(tmp_path, "best")


@pytest.mark.slow
def test_a_rehearsal_sets_no_seed(tmp_path):
    """Two searches without a seed begin with other weights."""

    def build(hp):
        model = km.SumRegressor(())
        model.compile(keras.optimizers.SGD(hp.Choice("rate", [0.1])), "mse", mode="eager")
        return model

    scores = []
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        tuner = km.tuning.search(
            build, max_trials=1, epochs=1, directory=tmp_path / str(seed), **make_sums()
        )
        scores += list_scores(tuner)
    assert scores[0] != scores[1]
