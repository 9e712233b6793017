"""Tests of `kerasmodes.tuning`: real searches, tiny ones."""

import gc

import keras
import keras_tuner
import numpy as np
import pytest
import rich.console
import tensorflow as tf

import kerasmodes as km

NUM_FEATURES = 4
G_LOSS = keras_tuner.Objective("g_loss", "min")
# Each runs three trials: the third of Hyperband is a promotion, of Bayes the first not drawn.
TUNERS = {
    keras_tuner.RandomSearch: {},
    keras_tuner.Hyperband: {"max_epochs": 2, "factor": 2},
    keras_tuner.BayesianOptimization: {"num_initial_points": 2},
}


class Interruption(keras.callbacks.Callback):
    """Raises what Ctrl-C raises, in the second trial: keras-tuner copies callbacks for each."""

    trials = 0

    def on_train_begin(self, logs=None):
        Interruption.trials += 1
        if Interruption.trials == 2:
            raise KeyboardInterrupt


class Batches(keras.callbacks.Callback):
    """Counts the batches of training and of validation."""

    train = test = 0

    def on_train_batch_end(self, batch, logs=None):
        self.train = batch + 1

    def on_test_batch_end(self, batch, logs=None):
        self.test = batch + 1


def sums():
    x, y = km.data.sums(16, NUM_FEATURES, seed=0)
    return {"x": x, "y": y, "validation_split": 0.25, "verbose": 0}


def search(directory, tuner="random", mode="eager", **arguments):
    hypermodel = km.tuning.SumRegressorHyperModel(NUM_FEATURES, mode=mode)
    defaults = {"max_trials": 3, "epochs": 2, "seed": 0, **sums()}
    return km.tuning.search(hypermodel, tuner, directory=directory, **{**defaults, **arguments})


def small_space(**values):
    """Returns hyperparameters that replace a hypermodel's own of the same names."""
    hp = keras_tuner.HyperParameters()
    for name, value in values.items():
        hp.Choice(name, value) if isinstance(value, list) else hp.Fixed(name, value)
    return hp


def make_tuner(tuner, hypermodel, directory, hyperparameters, objective="val_loss", **options):
    tuner = tuner(
        hypermodel,
        objective,
        hyperparameters=hyperparameters,
        directory=directory,
        seed=1,
        **options,
    )
    tuner.oracle.max_trials = 3
    return tuner


def small_sum_tuner(directory, **values):
    """Returns a random search of one network."""
    space = small_space(hidden_layers=1, optimizer="sgd", **values)
    with space.conditional_scope("hidden_layers", [1, 2, 3]):
        space.Fixed("units_1", 8)
    hypermodel = km.tuning.SumRegressorHyperModel(NUM_FEATURES, mode="eager")
    return make_tuner(keras_tuner.RandomSearch, hypermodel, directory, space)


def small_gan_tuner(tuner, directory, **options):
    space = small_space(
        generator_filters=2, discriminator_filters=2, latent_dim=[2, 3, 4], batch_size=[4, 8]
    )
    hypermodel = km.tuning.MSGGANHyperModel((4, 4, 1), num_scales=1, mode="eager")
    return make_tuner(tuner, hypermodel, directory, space, G_LOSS, **options)


def images(num_images=8):
    return np.random.default_rng(0).uniform(-1, 1, (num_images, 4, 4, 1)).astype("float32")


def statuses(tuner):
    return [trial.status for trial in tuner.oracle.trials.values()]


def scores(tuner):
    return [trial.score for trial in tuner.oracle.get_best_trials(10)]


def rendered(table):
    console = rich.console.Console(width=200)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


@pytest.fixture(scope="module", autouse=True)
def _quick_collection():
    """Spares keras-tuner's two `gc.collect` a trial all that was there before (0.7 s a trial)."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def random_search(tmp_path_factory):
    return search(tmp_path_factory.mktemp("random"))


@pytest.fixture(scope="module")
def hyperband_search(tmp_path_factory):
    return search(tmp_path_factory.mktemp("hyperband"), "hyperband", max_trials=4, epochs=3)


@pytest.fixture(scope="module")
def gan_search(tmp_path_factory):
    options = TUNERS[keras_tuner.Hyperband]
    tuner = small_gan_tuner(keras_tuner.Hyperband, tmp_path_factory.mktemp("gan"), **options)
    tuner.search(images(), verbose=0)
    return tuner


@pytest.mark.parametrize("tuner", TUNERS)
def test_keras_tuner_runs_the_sum_space(tuner, tmp_path):
    # Adam has state, which Keras would warn of losing when Hyperband promotes.
    space = small_space(batch_size=[8, 16], optimizer="adam")
    hypermodel = km.tuning.SumRegressorHyperModel(NUM_FEATURES, mode="eager")
    tuner = make_tuner(tuner, hypermodel, tmp_path, space, **TUNERS[tuner])
    tuner.search(**sums())
    assert statuses(tuner) == ["COMPLETED"] * 3


@pytest.mark.parametrize("tuner", [keras_tuner.RandomSearch, keras_tuner.BayesianOptimization])
def test_keras_tuner_runs_the_gan_space(tuner, tmp_path):
    tuner = small_gan_tuner(tuner, tmp_path, **TUNERS[tuner])
    tuner.search(images(), verbose=0)
    assert statuses(tuner) == ["COMPLETED"] * 3


def test_hyperband_promotes_a_gan(gan_search):
    assert statuses(gan_search) == ["COMPLETED"] * 3
    assert gan_search.oracle.trials["2"].hyperparameters["tuner/trial_id"] in ("0", "1")


@pytest.mark.parametrize(
    "hypermodel", [km.tuning.SumRegressorHyperModel, km.tuning.MSGGANHyperModel]
)
def test_space_is_known_before_the_first_trial(hypermodel, tmp_path):
    space = small_space(generator_filters=2, discriminator_filters=2)
    tuner = make_tuner(keras_tuner.RandomSearch, hypermodel(), tmp_path, space, G_LOSS)
    names = {hp.name for hp in tuner.oracle.get_space().space}
    assert "batch_size" in names
    tuner.hypermodel.build(tuner.oracle.get_space())
    assert {hp.name for hp in tuner.oracle.get_space().space} == names


@pytest.mark.parametrize(("hidden_layers", "units"), [(1, (8,)), (3, (8, 16, 24))])
def test_sum_regressor_is_built_as_drawn(hidden_layers, units):
    hp = small_space(hidden_layers=hidden_layers, units_1=8, optimizer="sgd", learning_rate=0.02)
    for layer in (2, 3):
        with hp.conditional_scope("hidden_layers", list(range(layer, 4))):
            hp.Fixed(f"units_{layer}", 8 * layer)
    model = km.tuning.SumRegressorHyperModel(
        NUM_FEATURES, mode="fused", loss="mean_absolute_error"
    ).build(hp)
    assert model.units == units
    assert (model.mode, model.loss) == ("fused", "mean_absolute_error")
    assert isinstance(model.optimizer, keras.optimizers.SGD)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.02)


def test_gan_is_built_as_drawn():
    drawn = {"latent_dim": 3, "generator_filters": 2, "discriminator_filters": 4, "gamma": 0.5}
    rates = {"generator_learning_rate": 0.002, "discriminator_learning_rate": 0.003}
    hypermodel = km.tuning.MSGGANHyperModel((8, 8, 1), num_scales=2, mode="eager")
    gan = hypermodel.build(small_space(**drawn, **rates, beta_1=0.5))
    preset, (penalty,) = gan.preset, gan.penalties
    assert (preset.generator_filters, preset.discriminator_filters) == (2, 4)
    assert (gan.latent_dim, penalty.gamma) == (3, 0.5)
    assert (gan.image_shape, gan.num_scales, gan.mode) == ((8, 8, 1), 2, "eager")
    for network in ("generator", "discriminator"):
        optimizer = getattr(gan, f"{network}_optimizer")
        assert float(optimizer.learning_rate) == pytest.approx(rates[f"{network}_learning_rate"])
        assert optimizer.beta_1 == 0.5


def fit_sums(drawn, **arguments):
    """Fits with the batch size that was drawn."""
    hypermodel = km.tuning.SumRegressorHyperModel(NUM_FEATURES, mode="eager")
    hp = small_space(batch_size=drawn)
    return hypermodel.fit(hp, hypermodel.build(hp), verbose=0, **arguments)


def test_array_is_batched_as_drawn():
    batches = Batches()
    x, y = km.data.sums(24, NUM_FEATURES)
    fit_sums(4, x=x, y=y, callbacks=[batches])
    assert batches.train == 6


def test_data_set_is_batched_anew_and_its_validation_is_not():
    batches = Batches()
    x, y = km.data.sums(24, NUM_FEATURES)
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(6, drop_remainder=True)
    arguments = {"x": data, "validation_data": data, "callbacks": [batches]}
    fit_sums(5, **arguments)
    assert (batches.train, batches.test) == (4, 4)  # 24 // 5, and 24 / 6


@pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")
@pytest.mark.parametrize("mode", ["graph", "fused"])
@pytest.mark.parametrize("make", ["known length", "unknown length"])
def test_a_promoted_trial_sees_the_orders_of_an_uninterrupted_one(make, mode):
    def fit(x, epochs, initial_epoch=0, weights=None):
        hp = small_space(**fixed)
        model = hypermodel.build(hp)
        if weights:
            model.set_weights(weights)
        hypermodel.fit(hp, model, x=x, epochs=epochs, initial_epoch=initial_epoch, verbose=0)
        return model.get_weights()

    def make_data():
        data = tf.data.Dataset.from_tensor_slices((sums()["x"], sums()["y"])).shuffle(16, seed=1)
        data = data if make == "known length" else data.filter(lambda x, y: True)
        return data.batch(16)

    fixed = {"batch_size": 4, "hidden_layers": 1, "units_1": 8, "optimizer": "sgd"}
    fixed["learning_rate"] = 0.03  # Another order changes the weights by 1e-2.
    hypermodel = km.tuning.SumRegressorHyperModel(NUM_FEATURES, mode=mode)
    data = make_data()
    keras.utils.set_random_seed(0)
    uninterrupted = fit(data, 4)
    keras.utils.set_random_seed(0)
    first = fit(data, 2)
    fit(data, 1)  # another trial between
    in_a_new_program = km.tuning.SumRegressorHyperModel(NUM_FEATURES, mode=mode)
    for promoted in (fit(data, 4, 2, first), None):
        if promoted is None:
            hypermodel = in_a_new_program
            promoted = fit(make_data(), 4, 2, first)
        for one, other in zip(promoted, uninterrupted, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_batch_size_of_the_user_is_refused():
    x, y = km.data.sums(8, NUM_FEATURES)
    with pytest.raises(ValueError, match="`batch_size` must be left.* Received: batch_size=32"):
        fit_sums(4, x=x, y=y, batch_size=32)


def test_a_generator_is_refused():
    x, y = km.data.sums(8, NUM_FEATURES)
    with pytest.raises(
        TypeError, match="`x` must be an array or tf.data.Dataset. Received: x=generator"
    ):
        fit_sums(4, x=((x, y) for _ in range(2)))


# Keras warns that the data set is empty, which is what the trial fails for.
@pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")
def test_too_few_examples_fail_one_trial(tmp_path):
    x, y = km.data.sums(8, NUM_FEATURES)
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(2, drop_remainder=True)
    tuner = small_sum_tuner(tmp_path, learning_rate=1e-3, batch_size=[8, 16])
    tuner.search(data, validation_data=data, verbose=0)
    assert sorted(statuses(tuner)) == ["COMPLETED", "FAILED"]
    assert "fewer examples than batch_size=16" in tuner.oracle.get_best_trials(2)[1].message


def test_divergence_fails_one_trial_and_is_last_in_the_table(tmp_path):
    tuner = small_sum_tuner(tmp_path, learning_rate=[1e-3, 1e30], batch_size=8)
    tuner.search(**sums())
    assert sorted(statuses(tuner)) == ["COMPLETED", "FAILED"]
    assert "Training diverged" in tuner.oracle.get_best_trials(2)[1].message
    last_row = rendered(km.tuning.best_trials_table(tuner)).strip().split("\n")[-1]
    assert "failed" in last_row and "1e+30" in last_row


def test_wrong_data_end_the_search_at_once(tmp_path):
    x = np.zeros((16, NUM_FEATURES + 1), "float32")
    with pytest.raises(ValueError, match="expected axis -1 of input shape to have value 4"):
        search(tmp_path, x=x)
    assert [path.name for path in tmp_path.glob("*/trial_*")] == ["trial_0"]


def test_an_objective_that_is_no_log_ends_the_search(tmp_path):
    with pytest.raises(
        ValueError, match="`objective` must be one of loss. Received: objective='val_loss'"
    ):
        search(tmp_path, validation_split=0.0)


def test_same_seed_and_resumed_search_give_the_same_trials(random_search, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, callbacks=[Interruption()])
    resumed = search(tmp_path)
    assert len(scores(resumed)) == 3
    assert scores(resumed) == scores(random_search)


def test_more_trials_extend_a_search(tmp_path):
    first = search(tmp_path, max_trials=1)
    both = search(tmp_path, max_trials=2)
    assert len(both.oracle.trials) == 2
    assert both.oracle.trials["0"].score == first.oracle.trials["0"].score


def test_a_search_is_not_resumed_with_other_arguments(random_search):
    directory = random_search.directory
    with pytest.raises(ValueError, match="must be .*'epochs': 2.*Received: .*'epochs': 5"):
        search(directory, epochs=5)


def test_hyperband_runs_max_trials_and_promotes_the_best_with_its_optimizer(hyperband_search):
    *first, promoted = hyperband_search.oracle.trials.values()
    assert len(first) == 3
    assert promoted.hyperparameters["tuner/trial_id"] == min(first, key=lambda t: t.score).trial_id
    steps = -(-12 // promoted.hyperparameters["batch_size"])
    model = hyperband_search.load_model(promoted)
    assert int(model.optimizer.iterations) == steps * (promoted.best_step + 2)  # it began with 1


def test_bayesian_search_finishes(tmp_path):
    assert statuses(search(tmp_path, "bayesian")) == ["COMPLETED"] * 3


@pytest.mark.parametrize(
    ("name", "value"),
    [("tuner", "grid"), ("max_trials", 0), ("epochs", 1.5), ("seed", -1), ("max_trials", True)],
)
def test_bad_argument_is_named(name, value, tmp_path):
    with pytest.raises(ValueError, match=f"`{name}` must be .*Received: {name}="):
        search(**{"directory": tmp_path, name: value})


def test_unknown_tuner_names_the_three(tmp_path):
    with pytest.raises(ValueError, match="'random', 'hyperband', 'bayesian'"):
        search(tmp_path, "grid")


def test_table_lists_the_best_trials_first(hyperband_search):
    table = km.tuning.best_trials_table(hyperband_search, num_trials=3)
    headings = [column.header.replace("\n", "") for column in table.columns]
    assert headings[:4] == ["trial", "val_loss", "batch_size", "hidden_layers"]
    assert "epochs" in headings and "tuner/bracket" not in headings
    listed = list(table.columns[1].cells)
    assert listed == [f"{score:.5g}" for score in sorted(scores(hyperband_search))[:3]]


def test_saved_model_is_the_best_with_its_optimizer(random_search, tmp_path):
    path = tmp_path / "new" / "best.keras"
    km.tuning.save_best_model(random_search, path)
    model = keras.models.load_model(path)
    x, y = km.data.sums(16, NUM_FEATURES, seed=0)
    assert model.evaluate(x[12:], y[12:], verbose=0) == pytest.approx(scores(random_search)[0])
    assert int(model.optimizer.iterations) > 0
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mode", ["graph", "fused"])
def test_saved_model_keeps_its_mode(mode, tmp_path):
    tuner = search(tmp_path / "search", mode=mode, max_trials=1, epochs=1)
    km.tuning.save_best_model(tuner, tmp_path / "best.keras")
    assert keras.models.load_model(tmp_path / "best.keras").mode == mode


def test_saved_gan_has_both_optimizers(gan_search, tmp_path):
    km.tuning.save_best_model(gan_search, tmp_path / "best.keras")
    gan = keras.models.load_model(tmp_path / "best.keras")
    steps = int(gan.generator_optimizer.iterations)
    assert steps == int(gan.discriminator_optimizer.iterations) > 0


def test_model_without_finished_trial_is_an_error(tmp_path):
    hypermodel = km.tuning.SumRegressorHyperModel(NUM_FEATURES)
    tuner = make_tuner(keras_tuner.RandomSearch, hypermodel, tmp_path, small_space())
    with pytest.raises(RuntimeError, match="`tuner` must have a finished trial"):
        km.tuning.save_best_model(tuner, tmp_path / "best.keras")


def test_other_file_name_is_refused(random_search, tmp_path):
    with pytest.raises(ValueError, match="`path` must end in .keras. Received: path='.*best.h5'"):
        km.tuning.save_best_model(random_search, tmp_path / "best.h5")
