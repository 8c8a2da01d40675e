"""Default values of everything the user does not set.

Settings, estimators, training and measurements all take them from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Effort(NamedTuple):
    """What one value of `--effort` stands for.

    Attributes:
        members: parts of a network that are trained together, each with outputs of its own.
        epochs: passes of a network over a table of at most `FULL_EPOCHS_ROWS` training rows.
        networks: trained one after another.
    """

    members: int
    epochs: int
    networks: int


EFFORTS: Mapping[str, Effort] = {
    "quick": Effort(members=1, epochs=16, networks=1),
    "default": Effort(members=4, epochs=40, networks=1),
    "thorough": Effort(members=2, epochs=40, networks=8),
}
FULL_EPOCHS_ROWS = 50_000
"""Over more training rows than this, an effort makes fewer epochs."""
FEWEST_EPOCHS = 3
"""An effort makes at least this many epochs, however large the table is."""
MODEL, EFFORT = "tabular", "default"
ACTIVATION = "relu"
HIDDEN: Mapping[str, tuple[int, ...]] = {"tabular": (128, 128, 128), "mlp": (128, 64)}
"""Units of the hidden layers, by model."""
TABULAR_OPTIMIZER, OPTIMIZER = "adamw", "momentum"
"""Update rules of the tabular network and of every other model."""
TABULAR_SCHEDULE, SCHEDULE = "warmup-stable-decay", "constant"
"""Schedules of the tabular network and of every other model."""
TABULAR_WEIGHT_DECAY = 0.1
TABULAR_WIDTHS, TABULAR_WIDEST = (4, 8), 128
"""Least and greatest number of numbers that a binned column or a code of the tabular network
becomes; between them all of these columns together become `TABULAR_WIDEST`."""
TABULAR_LEARNING_RATE, TABULAR_BATCH = 0.012, 256
"""Learning rate of the tabular network at a batch size of `TABULAR_BATCH`. With smaller batches
it falls as the square root of their size, as is right for rules that scale each weight's update
(Malladi et al. 2022, arXiv 2205.10287)."""
BATCH_SCHEDULE = "constant"
"""A batch that grows gains too little on tables: docs/decisions/batch-growth.md."""
PLANNED_PATIENCE = 0.5
"""Fraction of a planned schedule that may pass without improvement. While the learning rate is
at its highest, the validation loss often stops falling for a while."""
VALIDATION_FRACTION = 0.1
"""Fraction of the rows that is held out."""
PATIENCE = 5
"""Evaluations without improvement before the learning rate is lowered."""
MOMENTUM = 0.9
RISE_UPDATES = 60
"""Updates in which the learning rate warms up, at most an epoch: docs/decisions/warmup.md."""
PLANNED_EPOCHS = 30
"""Epochs of a schedule that needs to know its end; the tabular network's go by the effort."""
ESTIMATOR_EPOCHS = 200
"""Most epochs of the estimators' `fit`, except for the tabular network."""
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
"""Learning rates if nothing is measured; other rules find their own and get 1."""
LARGEST_BATCH, LEAST_UPDATES = 256, 64
"""If nothing is measured: the largest batch size, and the least number of updates in an epoch."""
QUANTILES = (0.1, 0.5, 0.9)
"""Levels of the loss `quantile` if none are named."""
PARTIAL_FIT_BATCH = 32
"""Batch size of `partial_fit`."""
ROWS_WORTH_MEASURING = 20_000
"""With fewer training rows an estimator fits faster than it could measure."""
ADVICE_SECONDS = 10.0
"""Least measuring time of `descend advise`."""
COMPARE_SECONDS = 2.0
"""Training time of each run of a comparison."""
TORCH_REFERENCE_BATCH = 64
"""Batch size at which the learning rate of a PyTorch model is found."""
TEXTBOOK_DEFAULTS: Mapping[str, Any] = {
    "schedule": "constant",
    "averaging": False,
    "warmup": 0.0,
}
"""Options that make the methods those of textbooks, to compare or show them."""
COMPARE_DEFAULTS: Mapping[str, Any] = {"model": "mlp", "optimizer": "momentum", **TEXTBOOK_DEFAULTS}
"""Options of `descend compare`, whose many runs use a network that trains quickly."""
UNSEEN_CLASS = 0.5
"""Rows that a class or a label without training rows counts as at the start."""
