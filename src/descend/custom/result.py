"""A finished run of a custom model: what it learned, what it predicts, how good it is."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from descend.custom.arrays import read_inputs
from descend.custom.models import CustomModel, copied_tree
from descend.custom.problem import CustomProblem
from descend.custom.trees import Form
from descend.data.encoding.encoder import Encoder
from descend.data.reading.table import open_table
from descend.data.rows.batches import MICRO_ROWS
from descend.data.schema.columns import RegressionTarget
from descend.reporting.notebook import card
from descend.runtime.result import FinishedRun
from descend.training.jax_setup import check_not_forked, in_full_precision
from descend.training.losses import LOSSES
from descend.types import Params


@dataclass(frozen=True)
class CustomRun(FinishedRun):
    """A finished run of a custom model.

    Attributes:
        history: a line per evaluation.
        stop_reason: why it ended.
        record: what run.json holds.
        folder: the run directory, or None where nothing was written.
    """

    _weights: Params
    _model: CustomModel
    _outputs: Outputs

    @property
    def model(self) -> Any:
        """The model as it was given, with the best weights; a Keras model gets them itself."""
        return self._model.rebuilt(copied_tree(self._weights))

    @property
    def params(self) -> Params:
        """The best weights as NumPy arrays, in the form of the model's own.

        What `init` returns; the variables of a Linen module; the `nnx.Param` of an NNX module as
        dicts; an Equinox module without what is no weight; the list of a Keras model's
        `trainable_variables`.
        """
        return self._model.shown(self._weights)

    def predict(self, X: Any) -> Any:
        """Outputs of the model for rows.

        Where the loss has a name they go through its link: means in the units of the target,
        rates, or probabilities of the classes in sorted order.

        Args:
            X: inputs as in training: arrays, or a table.

        Returns:
            An array `[B, ...]`; of a model with several outputs, a tree of them.

        Raises:
            InputError: inputs of another form, or numbers that 32 bits cannot hold.
        """
        check_not_forked()
        encoder = self._outputs.encoder
        if encoder is not None:
            parts = [part.batch.x for part in encoder.encode(open_table(X), target=False)]
        else:
            assert self._outputs.inputs is not None
            x = read_inputs(X, self._outputs.inputs)
            count = len(next(iter(x.values())))
            parts = [
                {name: values[start : start + MICRO_ROWS] for name, values in x.items()}
                for start in range(0, count, MICRO_ROWS)
            ]
        found = [self._outputs(self._weights, part) for part in parts]
        return jax.tree.map(lambda *blocks: np.concatenate(blocks), *found)

    def __repr__(self) -> str:
        return self._shown(f"validation loss {self.record['result']['best_validation_loss']:.4g}")

    def _repr_html_(self) -> str:
        loss = self.record["result"]["best_validation_loss"]
        model = self.record["settings"]["model"]
        return card("descend.CustomRun", self._facts([("model", model), ("validation loss", loss)]))


OwnRun = CustomRun
"""The name of `CustomRun` in version 0.1."""


@dataclass(frozen=True)
class Outputs:
    """`(params, x) -> outputs`, as a user reads them.

    Attributes:
        apply: of the model.
        link: of the loss.
        inputs: how the inputs hang together; None for a table.
        encoder: of a table.
        scaled: whether outputs are deviations from the mean of the table's target.
    """

    apply: Callable[[Params, Any], Any]
    link: Callable[[Any], Any]
    inputs: Form | None
    encoder: Encoder | None
    scaled: bool

    @classmethod
    def of(cls, own: CustomProblem) -> Outputs:
        """Those of a problem."""
        encoder = own.rows.encoder
        numbers = encoder is not None and isinstance(encoder.schema.target, RegressionTarget)
        scaled = encoder is not None and numbers and own.loss_name in LOSSES

        def apply(params: Params, x: Any) -> Any:
            return own.model.apply(params, own.inputs_of(x))

        return cls(apply, own.loss.link, own.rows.inputs, encoder, scaled)

    def __call__(self, params: Params, x: Any) -> Any:
        """Outputs for some rows, NumPy arrays."""
        return jax.tree.map(lambda leaf: self.in_units(np.asarray(leaf)), self._compiled(params, x))

    def in_units(self, values: NDArray[Any]) -> NDArray[Any]:
        """Outputs or targets in the units of the target."""
        if not self.scaled or self.encoder is None:
            return values
        return np.asarray(self.encoder.decode_regression(values))

    @functools.cached_property
    def _compiled(self) -> Any:
        def forward(params: Params, x: Any) -> Any:
            return self.link(self.apply(params, x))

        return jax.jit(in_full_precision(forward))
