"""Tests of `km.tuning.search`: what it runs, resumes and refuses."""

import keras
import numpy as np
import pytest
from tiny_searches import NUM_FEATURES, list_scores, list_statuses, search_sums


class Interruption(keras.callbacks.Callback):
    """Raises what Ctrl-C raises, in the second trial: keras-tuner copies callbacks for each."""

    trials = 0

    def on_train_begin(self, logs=None):
        Interruption.trials += 1
        if Interruption.trials == 2:
            raise KeyboardInterrupt


def test_wrong_data_end_the_search_at_once(tmp_path):
    x = np.zeros((16, NUM_FEATURES + 1), "float32")
    with pytest.raises(ValueError, match="expected axis -1 of input shape to have value 4"):
        search_sums(tmp_path, x=x)
    assert [path.name for path in tmp_path.glob("*/trial_*")] == ["trial_0"]


def test_an_objective_that_is_no_log_ends_the_search(tmp_path):
    with pytest.raises(
        ValueError, match="`objective` must be one of loss. Received: objective='val_loss'"
    ):
        search_sums(tmp_path, validation_split=0.0)


def test_same_seed_and_resumed_search_give_the_same_trials(random_search, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        search_sums(tmp_path, callbacks=[Interruption()])
    resumed = search_sums(tmp_path)
    assert len(list_scores(resumed)) == 3
    assert list_scores(resumed) == list_scores(random_search)


def test_more_trials_extend_a_search(tmp_path):
    first = search_sums(tmp_path, max_trials=1)
    both = search_sums(tmp_path, max_trials=2)
    assert len(both.oracle.trials) == 2
    assert both.oracle.trials["0"].score == first.oracle.trials["0"].score


def test_a_search_is_not_resumed_with_other_arguments(random_search):
    directory = random_search.directory
    with pytest.raises(ValueError, match="must be .*'epochs': 2.*Received: .*'epochs': 5"):
        search_sums(directory, epochs=5)


def test_hyperband_runs_max_trials_and_promotes_the_best_with_its_optimizer(hyperband_search):
    *first, promoted = hyperband_search.oracle.trials.values()
    assert len(first) == 3
    assert promoted.hyperparameters["tuner/trial_id"] == min(first, key=lambda t: t.score).trial_id
    steps = -(-12 // promoted.hyperparameters["batch_size"])
    model = hyperband_search.load_model(promoted)
    assert int(model.optimizer.iterations) == steps * (promoted.best_step + 2)  # it began with 1


def test_bayesian_search_finishes(tmp_path):
    # The third trial is the first that is not drawn at random.
    assert list_statuses(search_sums(tmp_path, "bayesian", epochs=1)) == ["COMPLETED"] * 3


@pytest.mark.parametrize(
    ("name", "value"),
    [("tuner", "grid"), ("max_trials", 0), ("epochs", 1.5), ("seed", -1), ("max_trials", True)],
)
def test_a_bad_argument_is_named(name, value, tmp_path):
    with pytest.raises(ValueError, match=f"`{name}` must be .*Received: {name}="):
        search_sums(**{"directory": tmp_path, name: value})


def test_an_unknown_tuner_names_the_three(tmp_path):
    with pytest.raises(ValueError, match="'random', 'hyperband', 'bayesian'"):
        search_sums(tmp_path, "grid")
