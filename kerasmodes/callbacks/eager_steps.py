"""`EagerSteps`: a fit whose first steps can be looked at line by line.

How its steps are run is in `engine/executors/first_steps.py`.
"""

import keras

from kerasmodes import arguments
from kerasmodes.engine import ModesMixin
from kerasmodes.engine.executors import is_of_user
from kerasmodes.engine.executors.first_steps import FirstStepsExecutor


class EagerSteps(keras.callbacks.Callback):
    """Runs the first training steps of a fit eagerly; all others at full speed in the model's mode.

    Breakpoints and `print` in `train_step` are reached in these steps. The numbers are those of any
    mode. Where one execution has many steps, as in `"fused"`, the eager ones are its first, and
    callbacks are called at its end as always.

    Args:
        num_steps: Positive int, the steps to run eagerly in each `fit`.

    Raises:
        ValueError: If `num_steps` is not a positive integer.
        TypeError: At the start of training, if the model has no modes, or a `train_function` of its
            own.

    Example:

    ```python
    model = km.SumRegressor()
    model.compile(mode="fused")
    x, y = km.data.sums(num_samples=1_000)
    model.fit(x, y, batch_size=1, callbacks=[km.callbacks.EagerSteps(3)])
    ```
    """

    def __init__(self, num_steps: int):
        super().__init__()
        arguments.check_positive_integers(num_steps=num_steps)
        self.num_steps = num_steps

    def on_train_begin(self, logs=None):
        if not isinstance(self.model, ModesMixin):
            raise TypeError(
                "EagerSteps needs a model with modes: a km.Model, or km.with_modes(model). "
                f"Received: {type(self.model).__name__}"
            )
        self.model.make_train_function()
        if is_of_user(self.model.train_function):
            raise TypeError(
                "EagerSteps needs a model whose steps the modes run. Received: "
                f"{type(self.model).__name__} with a `train_function` of its own"
            )
        self.model.train_function = FirstStepsExecutor(self.model.train_function, self.num_steps)

    def on_train_end(self, logs=None):
        if isinstance(self.model.train_function, FirstStepsExecutor):
            self.model.train_function = self.model.train_function.others
