"""Train steps in the style of keras.io's examples give the same numbers in every mode."""

import functools

import custom_steps
import keras
import numpy as np
import pytest
from seeds import set_seed

# By default, in a loop, one with a teacher and metrics. README and the guides show that others
# train in a loop (two optimizers, a gradient in a gradient), and the sweep that all modes agree.
DEFAULTS = ("distillation",)
NAMES = [
    pytest.param(name, marks=[] if name in DEFAULTS else pytest.mark.sweep)
    for name in custom_steps.RECIPES
]
WAYS = [
    pytest.param(
        name, mode, marks=[] if (name in DEFAULTS, mode) == (True, "fused") else pytest.mark.sweep
    )
    for name in custom_steps.RECIPES
    for mode in ("fused", "eager", "xla")
]


class StepLogs(keras.callbacks.Callback):
    """Stores each execution's logs under the index of its last step."""

    def __init__(self):
        super().__init__()
        self.logs = {}

    def on_train_batch_end(self, batch, logs=None):
        self.logs[batch] = {name: float(value) for name, value in logs.items()}


@functools.cache
def train(name, mode):
    """Returns the model after ten steps of SGD, in blocks of four when fused, and their logs."""
    set_seed(0)
    make_model, make_arguments, make_data = custom_steps.RECIPES[name]
    model, step_logs = make_model(), StepLogs()
    arguments = make_arguments(lambda: keras.optimizers.SGD(0.01))
    model.compile(**arguments, mode=mode, steps_per_execution=4 if mode == "fused" else 1)
    model.fit(
        *make_data(40), batch_size=4, shuffle=False, verbose=0, epochs=1, callbacks=[step_logs]
    )
    return model, step_logs.logs


@pytest.mark.slow
@pytest.mark.parametrize(("name", "mode"), WAYS)
def test_the_losses_of_every_step_agree_with_graph(name, mode):
    expected, logs = train(name, "graph")[1], train(name, mode)[1]
    assert list(logs) == ([3, 7, 9] if mode == "fused" else list(range(10)))
    for step, values in logs.items():
        assert values == pytest.approx(expected[step], rel=1e-5, abs=1e-6), step


@pytest.mark.parametrize(("name", "mode"), WAYS)
def test_all_that_training_leaves_behind_agrees_with_graph(name, mode):
    expected, model = train(name, "graph")[0], train(name, mode)[0]
    for one, other in zip(model.variables, expected.variables, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), 1e-4, 1e-6, err_msg=one.path)


@pytest.mark.parametrize("name", NAMES)
def test_training_changes_each_kernel(name):
    set_seed(0)
    start, model = custom_steps.RECIPES[name][0](), train(name, "fused")[0]
    for first, last in zip(start.trainable_variables, model.trainable_variables, strict=True):
        if len(first.shape) > 1:
            assert np.any(first.numpy() != last.numpy()), first.path


def test_training_leaves_the_teacher_alone():
    set_seed(0)
    teacher = custom_steps.RECIPES["distillation"][0]().teacher
    trained_teacher = train("distillation", "fused")[0].teacher
    for one, other in zip(trained_teacher.get_weights(), teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
