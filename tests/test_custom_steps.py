"""Tests that train steps written as in the examples of keras.io run alike in every mode."""

import functools
import importlib.util
import pathlib

import keras
import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).parents[1] / "scripts" / "custom_steps.py"
MODES = ("eager", "graph", "xla", "fused")
SPEC = importlib.util.spec_from_file_location("custom_steps", SCRIPT)
custom_steps = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(custom_steps)


class StepLogs(keras.callbacks.Callback):
    """Keeps the logs by the last step that they hold."""

    def __init__(self):
        super().__init__()
        self.logs = {}

    def on_train_batch_end(self, batch, logs=None):
        self.logs[batch] = {name: float(value) for name, value in logs.items()}


@functools.cache
def trained(name, mode):
    """Returns the model after ten steps of SGD, in blocks of four when fused, and their logs."""
    keras.utils.set_random_seed(0)
    make_model, make_arguments, make_data = custom_steps.RECIPES[name]
    model, step_logs = make_model(), StepLogs()
    arguments = make_arguments(lambda: keras.optimizers.SGD(0.01))
    model.compile(**arguments, mode=mode, steps_per_execution=4 if mode == "fused" else 1)
    model.fit(
        *make_data(40), batch_size=4, shuffle=False, verbose=0, epochs=1, callbacks=[step_logs]
    )
    return model, step_logs.logs


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", custom_steps.RECIPES)
def test_the_losses_of_every_step_agree_with_graph(name, mode):
    expected, logs = trained(name, "graph")[1], trained(name, mode)[1]
    assert list(logs) == ([3, 7, 9] if mode == "fused" else list(range(10)))
    for step, values in logs.items():
        assert values == pytest.approx(expected[step], rel=1e-5, abs=1e-6), step


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", custom_steps.RECIPES)
def test_all_that_training_leaves_behind_agrees_with_graph(name, mode):
    expected, model = trained(name, "graph")[0], trained(name, mode)[0]
    for one, other in zip(model.variables, expected.variables, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), 1e-4, 1e-6, err_msg=one.path)


@pytest.mark.parametrize("name", custom_steps.RECIPES)
def test_training_changes_each_kernel(name):
    keras.utils.set_random_seed(0)
    start, model = custom_steps.RECIPES[name][0](), trained(name, "fused")[0]
    for first, last in zip(start.trainable_variables, model.trainable_variables, strict=True):
        if len(first.shape) > 1:
            assert np.any(first.numpy() != last.numpy()), first.path


def test_training_leaves_the_teacher_alone():
    keras.utils.set_random_seed(0)
    teacher = custom_steps.RECIPES["distillation"][0]().teacher
    trained_teacher = trained("distillation", "fused")[0].teacher
    for one, other in zip(trained_teacher.get_weights(), teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
