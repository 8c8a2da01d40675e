"""Default values: what holds where the user gives nothing.

Settings, estimators, the engine and the measurements take theirs from here.
"""

from __future__ import annotations

from collections.abc import Mapping

VALIDATION_FRACTION = 0.1
"""Fraction of the rows that is held out."""
PATIENCE = 5
"""Evaluations without improvement before the learning rate is lowered."""
MOMENTUM = 0.9
RISE_UPDATES = 60
"""Updates in which the learning rate rises at first, at most an epoch: docs/decisions/warmup.md."""
PLANNED_EPOCHS = 30
"""Epochs of a schedule that needs an end."""
ADAMW_DECAY = 0.01
LEARNING_RATES: Mapping[str, float] = {
    "sgd": 0.1,
    "momentum": 0.02,
    "nesterov": 0.02,
    "adam": 1e-3,
    "adamw": 1e-3,
    "rmsprop": 1e-3,
    "adagrad": 0.02,
}
"""Learning rates where nothing is measured; a rule not named here finds its own and gets 1."""
LARGEST_BATCH, LEAST_UPDATES = 256, 64
"""Where nothing is measured: the largest batch size, and the updates an epoch has at least."""
PARTIAL_FIT_BATCH = 32
"""Batch size of `partial_fit`."""
ROWS_WORTH_MEASURING = 20_000
"""With fewer training rows an estimator fits faster than it could measure."""
ADVICE_SECONDS = 10.0
"""Shortest measuring time where an advice was asked for."""
COMPARE_SECONDS = 2.0
"""Training time of each run of a comparison."""
TORCH_REFERENCE_BATCH = 64
"""Batch size at which the learning rate of a PyTorch model is searched."""
