"""The words that options may be, for settings, the command line and its completion."""

from __future__ import annotations

from collections.abc import Mapping

from descend.defaults import EFFORTS

TASKS = ("auto", "regression", "classification")
MODELS = ("tabular", "mlp", "linear")
ACTIVATIONS = ("relu", "gelu", "tanh")
DATE_ORDERS = ("auto", "dmy", "mdy")
DECIMALS = ("auto", "point", "comma")
LOSSES = (
    *("auto", "squared_error", "absolute_error", "huber", "poisson", "quantile"),
    *("binary_cross_entropy", "cross_entropy", "hinge"),
)
CLASS_LOSSES = ("cross_entropy", "hinge")
"""Losses of one class out of several; the others are of numbers."""
OWN_SCALE = ("poisson", "binary_cross_entropy")
"""Losses whose target is learned in its own units, not in deviations from its mean."""
GOALS = ("time", "examples", "quality")
SHARE_ROWS = ("auto", "yes", "no")
BATCH_SCHEDULES = ("constant", "auto")
SCHEDULES = ("constant", "cosine", "one-cycle", "warmup-stable-decay", "inverse-time")
OPTIMIZERS = (
    "momentum",
    "sgd",
    "nesterov",
    "adam",
    "adamw",
    "rmsprop",
    "adagrad",
    "dog",
    "dowg",
    "dadapt-adamw",
    "prodigy",
    "cocob",
    "mechanic",
    "momo",
    "momo-adam",
    "polyak",
)
PLANES = ("path", "random")
"""What spans the plane on which `landscape` draws the loss of a run."""
CHOICES: Mapping[str, tuple[str, ...]] = {
    "task": TASKS,
    "date_order": DATE_ORDERS,
    "decimal": DECIMALS,
    "model": MODELS,
    "effort": tuple(EFFORTS),
    "activation": ACTIVATIONS,
    "optimizer": ("auto", *OPTIMIZERS),
    "batch_schedule": BATCH_SCHEDULES,
    "schedule": ("auto", *SCHEDULES),
    "loss": LOSSES,
    "goal": GOALS,
    "share_rows": SHARE_ROWS,
}
"""Settings that are one of a few words."""
DELIMITERS: Mapping[str, str] = {
    "tab": "\t",
    "\\t": "\t",
    "space": " ",
    "spaces": " ",
    "comma": ",",
    "semicolon": ";",
    "pipe": "|",
}
"""Names of delimiters that are hard to type."""


def is_delimiter(text: object) -> bool:
    """Whether a text can be the delimiter of a text file."""
    if not isinstance(text, str):
        return False
    return text in DELIMITERS or (len(text) == 1 and text not in "\"'\r\n\0")
