"""Whether a step scales its loss for optimizers that divide the gradients by the scale.

Under the policy "mixed_float16", `compile` makes such optimizers. A step that does not scale trains
with gradients that are 32,768 times too small, and nothing says so.
"""

import contextlib
import functools
import warnings
from collections.abc import Callable

import keras

from kerasmodes.engine import optimizers

SCALES, APPLIES = "scale_loss", "apply"


def warn_of_unscaled_loss(step: Callable, model: keras.Model) -> Callable:
    """Returns the step; where optimizers scale, one that warns if it applies unscaled gradients.

    Args:
        step: Function of one batch.
        model: The compiled model whose step it is.
    """
    scaling = {
        name: optimizer
        for name, optimizer in optimizers.find_optimizers(model).items()
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    }
    if not scaling:
        return step
    warned = set()

    def run_step(batch):
        with contextlib.ExitStack() as stack:
            calls = {name: stack.enter_context(_note_calls(one)) for name, one in scaling.items()}
            outputs = step(batch)
        for name in {name for name, called in calls.items() if called == {APPLIES}} - warned:
            warned.add(name)
            warnings.warn(
                f"`train_step` must scale the loss of {name!r}, a LossScaleOptimizer: it divides "
                "the gradients by its scale. Within the tape, write "
                f"loss = self.{name}.scale_loss(loss).",
                stacklevel=2,
            )
        return outputs

    return run_step


@contextlib.contextmanager
def _note_calls(optimizer):
    """While open, notes which of its two methods are called; yields the set of their names."""
    called = set()

    def note(name, method):
        @functools.wraps(method)
        def call(*args, **kwargs):
            called.add(name)
            return method(*args, **kwargs)

        return call

    methods = vars(optimizer)
    before = {name: methods[name] for name in (SCALES, APPLIES) if name in methods}
    methods.update({name: note(name, getattr(optimizer, name)) for name in (SCALES, APPLIES)})
    try:
        yield called
    finally:
        for name in (SCALES, APPLIES):
            del methods[name]
        methods.update(before)
