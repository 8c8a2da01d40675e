"""The scikit-learn face: a regressor and a classifier."""

from importlib.util import find_spec

if find_spec("sklearn") is None:
    raise ImportError("The estimators need scikit-learn. Type: pip install scikit-learn")

from descend.sklearn.classifier import MiniBatchClassifier
from descend.sklearn.regressor import MiniBatchRegressor

__all__ = ["MiniBatchClassifier", "MiniBatchRegressor"]
