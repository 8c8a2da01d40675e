"""A trained model, its predictions, intervals and scores, and its file."""

from descend.model.loading import load
from descend.model.model import Model, Predicted

__all__ = ["Model", "Predicted", "load"]
