"""Tests of the flags of `compile`: optimizers, their settings, and names that are wrong."""

import jsonargparse
import keras
import pytest

import kerasmodes as km
from kerasmodes.cli import compile_flags


def read(model_class, *words, preset=None):
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    make = compile_flags.add_compile_arguments(parser, model_class)
    return make(parser.parse_args(words), preset)


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ([], keras.optimizers.Adam),
        (["--optimizer=adamw"], keras.optimizers.AdamW),
        (["--optimizer=AdamW"], keras.optimizers.AdamW),
        (["--optimizer=keras.optimizers.Lion"], keras.optimizers.Lion),
        (["--optimizer={class_name: RMSprop, config: {rho: 0.5}}"], keras.optimizers.RMSprop),
    ],
)
def test_an_optimizer_is_a_name_a_path_or_what_keras_saves(words, kind):
    settings = ["--learning-rate=0.25", "--global-clipnorm=2"]
    optimizer = read(km.SumRegressor, *words, *settings)["optimizer"]
    assert type(optimizer) is kind
    assert float(optimizer.learning_rate) == 0.25
    assert optimizer.global_clipnorm == 2
    assert getattr(optimizer, "rho", 0.5) == 0.5


def test_an_optimizer_of_the_users_own(monkeypatch, tmp_path):
    source = "import keras\n\n\nclass Mine(keras.optimizers.SGD):\n    pass\n"
    (tmp_path / "my_optimizers.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    optimizer = read(km.SumRegressor, "--optimizer=my_optimizers.Mine")["optimizer"]
    assert type(optimizer).__name__ == "Mine"
    assert float(optimizer.learning_rate) == float(keras.optimizers.SGD().learning_rate)


def test_without_a_word_a_gan_has_the_optimizers_of_its_preset():
    found = read(km.MSGGAN, preset=km.presets.Default())
    assert (found["generator_optimizer"], found["discriminator_optimizer"]) == (None, None)


def test_a_rate_changes_one_optimizer_of_the_preset_and_the_norm_both():
    preset = km.presets.Default()
    words = ["--generator-learning-rate=1e-3", "--global-clipnorm=1"]
    found = read(km.MSGGAN, *words, preset=preset)
    generator, discriminator = found["generator_optimizer"], found["discriminator_optimizer"]
    assert float(generator.learning_rate) == pytest.approx(1e-3)
    assert generator.beta_2 == discriminator.beta_2 == preset.optimizer().beta_2
    rate = preset.optimizer().get_config()["learning_rate"]
    assert discriminator.get_config()["learning_rate"] == rate
    assert generator.global_clipnorm == discriminator.global_clipnorm == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--optimizer=adamx"],
            "`optimizer` must be one of adadelta, .*sgd, or the path of a class",
        ),
        (["--optimizer=no_such.Mine"], "No module named 'no_such'. Is its folder in PYTHONPATH"),
        (["--optimizer=keras.nothing"], "has no attribute 'nothing'"),
        (["--optimizer=os.PathLike"], "os.PathLike', which is no keras.optimizers.Optimizer"),
        (["--optimizer={class_name: x}"], "`optimizer` must be one of"),
        (["--optimizer={class_name: Adam, config: {beta: 1}}"], "not recognized: {'beta': 1}"),
        (["--optimizer=5"], "`optimizer` must be one of"),
        (["--optimizer=null"], "`optimizer` must be one of"),
        (["--learning-rate=-1"], "`learning_rate` must be a positive number. Received: learning_r"),
        (["--global-clipnorm=0"], "`global_clipnorm` must be a positive number"),
        (["--metrics=mae,foo"], "`metrics` must be one of accuracy, .* Received: metrics='foo'"),
        (["--loss=mse_"], "`loss` must be one of .*huber.* Received: loss='mse_'"),
    ],
)
def test_wrong_names_and_numbers_list_the_choices(words, message):
    with pytest.raises(ValueError, match=message):
        read(km.SumRegressor, *words)


def test_metrics_are_names_of_functions_or_classes_of_keras():
    words = ["accuracy", "mae", "RootMeanSquaredError"]
    assert read(km.SumRegressor, f"--metrics={','.join(words)}")["metrics"] == words


def test_a_wrong_rate_of_a_gan_is_named():
    with pytest.raises(ValueError, match="`generator_learning_rate` must be a positive number"):
        read(km.MSGGAN, "--generator-learning-rate=0", preset=km.presets.Default())


def test_settings_of_penalties_change_those_of_the_preset_and_named_ones():
    words = ["--penalty-gamma=0.5", "--penalty-every=2"]
    (own,) = read(km.MSGGAN, *words, preset=km.presets.Default())["penalties"]
    (named,) = read(km.MSGGAN, *words, "--penalties=r2", preset=km.presets.Default())["penalties"]
    assert (type(own), own.gamma, own.every) == (km.penalties.R1, 0.5, 2)
    assert (type(named), named.gamma, named.every) == (km.penalties.R2, 0.5, 2)
    (falling,) = read(km.MSGGAN, words[1], preset=km.presets.Default())["penalties"]
    assert falling.gamma.get_config() == km.presets.Default().penalties()[0].gamma.get_config()


def find_fall(schedule):
    """Returns the first value of a schedule, and the steps to its half."""
    config = schedule["config"]
    assert (schedule["class_name"], config["decay_rate"]) == ("InverseTimeDecay", 1)
    return pytest.approx(config["initial_learning_rate"]), config["decay_steps"]


def find_fall_of_rate(optimizer):
    return find_fall(optimizer.get_config()["learning_rate"])


def find_fall_of_gamma(penalty):
    return find_fall(penalty.get_config()["gamma"])


def test_decay_steps_let_the_rate_fall_from_the_given_one_or_the_optimizers_own():
    words = ["--learning-rate-decay-steps=700"]
    own = read(km.SumRegressor, "--optimizer=sgd", *words)["optimizer"]
    assert find_fall_of_rate(own) == (0.01, 700)
    words.append("--generator-learning-rate=4e-3")
    found = read(km.MSGGAN, *words, preset=km.presets.Default())
    assert find_fall_of_rate(found["generator_optimizer"]) == (4e-3, 700)
    assert find_fall_of_rate(found["discriminator_optimizer"]) == (2e-3, 700)
    assert found["generator_optimizer"].beta_2 == 0.99


def test_decay_steps_let_the_penalty_fall_from_the_given_weight_or_its_own():
    words = ["--penalty-gamma-decay-steps=700"]
    (own,) = read(km.MSGGAN, *words, preset=km.presets.Default())["penalties"]
    assert (find_fall_of_gamma(own), own.every) == ((3.0, 700), 4)
    words += ["--penalty-gamma=0.5", "--penalties=r2"]
    (named,) = read(km.MSGGAN, *words, preset=km.presets.Default())["penalties"]
    assert (type(named), find_fall_of_gamma(named)) == (km.penalties.R2, (0.5, 700))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--penalty-gamma=0"], "`penalty_gamma` must be a positive number"),
        (["--penalty-every=0"], "`penalty_every` must be a positive integer"),
        (["--penalty-gamma-decay-steps=0"], "`penalty_gamma_decay_steps` must be a positive int"),
        (["--learning-rate-decay-steps=0"], "`learning_rate_decay_steps` must be a positive int"),
        (["--penalty-every=2", "--penalties=null"], "`penalty_every` must be left out without"),
    ],
)
def test_wrong_settings_of_penalties_are_named(words, message):
    with pytest.raises(ValueError, match=message):
        read(km.MSGGAN, *words, preset=km.presets.Default())
