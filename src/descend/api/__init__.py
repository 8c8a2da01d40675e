"""The public functions: train, resume, fit, advise, compare, predict, evaluate, export."""

from __future__ import annotations

from descend.api.measuring import advise, compare, landscape
from descend.api.models import evaluate, export, load_model, predict
from descend.api.training import fit, resume, train

__all__ = [
    "advise",
    "compare",
    "evaluate",
    "export",
    "fit",
    "landscape",
    "load_model",
    "predict",
    "resume",
    "train",
]
