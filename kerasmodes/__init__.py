"""Keras models that run eager, graph, XLA or fused, on one device or many, with the same numbers.

```python
import kerasmodes as km

x, y = km.data.sums(num_samples=1_000)
model = km.SumRegressor()
model.compile(optimizer="adam", mode="fused")
model.fit(x, y, batch_size=1, epochs=2)
```

Write your own model as a subclass of `km.Model` with a `train_step`; pick the mode in `compile`.
"""

import importlib
import sys

from kerasmodes import quiet_start

if not quiet_start.is_deferred():
    quiet_start.import_keras()

    from kerasmodes import callbacks, data, launching, metrics, random
    from kerasmodes.averaging import average_loss, global_mean
    from kerasmodes.comparing import compare_modes
    from kerasmodes.engine import (
        Model,
        ModesMixin,
        Sequential,
        build_optimizer,
        to_keras,
        with_modes,
    )
    from kerasmodes.models import MSGGAN, SumRegressor
    from kerasmodes.models.msg_gan import augmentation, losses, penalties, presets
    from kerasmodes.strategies import get_strategy, is_chief
    from kerasmodes.trial_runs import trial_run
    from kerasmodes.verifying import VerificationReport, verify

__version__ = "0.1.0"

__all__ = [
    "MSGGAN",
    "Model",
    "ModesMixin",
    "Sequential",
    "SumRegressor",
    "VerificationReport",
    "augmentation",
    "average_loss",
    "build_optimizer",
    "callbacks",
    "compare_modes",
    "data",
    "get_strategy",
    "global_mean",
    "is_chief",
    "launching",
    "losses",
    "metrics",
    "penalties",
    "presets",
    "random",
    "to_keras",
    "trial_run",
    "tuning",
    "verify",
    "with_modes",
]


def __getattr__(name):
    if name in __all__ and quiet_start.is_deferred():
        quiet_start.import_library()
        return getattr(sys.modules[__name__], name)
    # keras-tuner takes seconds to import and few programs need it.
    if name == "tuning":
        return importlib.import_module("kerasmodes.tuning")
    raise AttributeError(f"module 'kerasmodes' has no attribute {name!r}")
