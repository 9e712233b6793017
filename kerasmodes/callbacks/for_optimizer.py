"""`ForOptimizer`: a callback of Keras's for one of several optimizers.

How a callback is shown optimizers is in `engine/optimizer_views.py`.
"""

import keras

from kerasmodes.engine import callback_states, optimizer_views


class ForOptimizer(keras.callbacks.Callback):
    """Hands on a callback that needs `model.optimizer` to one optimizer, chosen by name.

    Without it, in the `fit` of a model with modes that has several optimizers,
    `LearningRateScheduler` and `ReduceLROnPlateau` set the learning rates of all, as Keras does for
    a `MultiOptimizer`; `SwapEMAWeights` swaps the weights of each that averages them;
    `TensorBoard` writes the learning rates of all. With it, they do so for one.

    The logs hold `learning_rate_` with the name of the optimizer. What it hands on sees
    `model.optimizer.optimizers`, a list of one. Callbacks before Keras 3.15 know one optimizer: a
    rate needs this class there, its log is `learning_rate`, and averages are not swapped.

    Args:
        name: The attribute of the model that holds the optimizer, such as `"generator_optimizer"`;
            for one in a list or dictionary, with its place, such as `"optimizers/0"`.
        callback: A `keras.callbacks.Callback`.

    Raises:
        TypeError: If `callback` is none.
        ValueError: At the start of training, if the model has no such optimizer, if its learning
            rate has a schedule that the callback would override, or if the callback swaps averaged
            weights and it has none.

    Example:

    ```python
    gan = km.MSGGAN()
    gan.compile(generator_optimizer=keras.optimizers.Adam(1e-3))
    halve = keras.callbacks.ReduceLROnPlateau("g_loss", factor=0.5, patience=1)
    halve = km.callbacks.ForOptimizer("generator_optimizer", halve)
    gan.fit(km.data.images("fashion_mnist_sample"), epochs=2, callbacks=[halve])
    ```
    """

    def __init__(self, name: str, callback: keras.callbacks.Callback):
        super().__init__()
        if not isinstance(callback, keras.callbacks.Callback):
            raise TypeError(
                f"`callback` must be a keras.callbacks.Callback. Received: callback={callback!r}"
            )
        self.name = name
        self.callback = callback
        self._view = None

    def get_state(self):
        """Returns what the callback counts, for a fit that resumes this one."""
        return callback_states.get_states([self.callback])

    def set_state(self, state):
        """Gives the callback what `get_state` has returned."""
        callback_states.set_states([self.callback], state)

    def set_params(self, params):
        super().set_params(params)
        self.callback.set_params(params)

    def set_model(self, model):
        super().set_model(model)
        self._view = optimizer_views.ModelView(model, [self.name])
        optimizer_views.check_callback(self.callback, self._view)
        self.callback.set_model(self._view)


def _hand_on(method):
    def call(self, *args, **kwargs):
        if self._view is not None:
            getattr(self._view.optimizer.counter, method)(*args, **kwargs)
        getattr(self.callback, method)(*args, **kwargs)

    return call


for _method in dir(keras.callbacks.Callback):
    if _method.startswith("on_"):
        setattr(ForOptimizer, _method, _hand_on(_method))
