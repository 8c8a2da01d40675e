"""A finished run of a custom model: its weights, predictions and metrics."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from descend.custom.arrays import read_inputs
from descend.custom.chunks import in_type
from descend.custom.lookups import Ranges, check_lookups_beyond
from descend.custom.models import CustomModel, copy_tree
from descend.custom.problem import CustomProblem
from descend.custom.trees import Form
from descend.data.encoding.encoder import Encoder
from descend.data.reading.open_table import open_table
from descend.data.rows.batches import MICRO_ROWS
from descend.data.rows.store_header import Group, groups_of
from descend.data.schema.columns import RegressionTarget
from descend.errors import DataError, InputError
from descend.reporting.notebook import card
from descend.runtime.result import FinishedRun
from descend.training.jax_setup import check_not_forked, in_full_precision, jit_program
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
        """The model as it was given, with the best weights; a Keras model gets them itself.

        It is made once: what you do with it (`run.model.eval()`, training it further) stays. It is
        in the mode in which it was given, so a Flax model draws its dropout after `model.train()`
        or where no mode was set, until `run.model.eval()`; `run.predict` never does.
        """
        made, fills = self.__dict__.get("_made"), self._model.fills
        if made is None or (fills and _filled[made]() is not self):
            made = self._model.rebuilt(copy_tree(self._weights))
            self.__dict__["_made"] = made
            if fills:
                _filled[made] = weakref.ref(self)
        return made

    @property
    def params(self) -> Params:
        """The best weights as NumPy arrays, in the form of the model's parameters.

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
            x = parts[0] if parts else {}
        else:
            assert self._outputs.inputs is not None
            x = _as_in_training(read_inputs(X, self._outputs.inputs), self._outputs.rows)
            count = len(next(iter(x.values())))
            parts = [
                {name: values[start : start + MICRO_ROWS] for name, values in x.items()}
                for start in range(0, max(1, count), MICRO_ROWS)
            ]
        try:
            for part in parts:
                check_lookups_beyond(
                    self._outputs.looked_up, self._outputs.apply, dict, self._weights, part
                )
            found = [self._outputs(self._weights, part) for part in parts]
        except (TypeError, ValueError) as error:
            first = next((line for line in str(error).splitlines() if line.strip()), "")
            raise InputError(
                f"The model fails on rows of {_shapes(x)}; in training they were "
                f"{_shapes(x, self._outputs.rows)}. {type(error).__name__}: {first}"
            ) from error
        return jax.tree.map(lambda *blocks: np.concatenate(blocks), *found)

    def export(self, path: str | Path, *, force: bool = False) -> None:
        """Write the model with its best weights to a file that predicts without your code.

        It takes the arrays of a row as they were in training and gives what `predict` does.

        Args:
            path: a name ending in `.onnx`, a graph with an input for each array, which needs
                jax2onnx; or in `.jax`, a program that `jax.export.deserialize` reads, called with
                the inputs in your form.
            force: replace another kind of file that `descend` wrote.

        Raises:
            InputError: jax2onnx is not installed or cannot write this model, the model was trained
                on a table, or the file cannot be written.
        """
        from descend.custom.export import export_model

        if self._outputs.inputs is None:
            raise InputError(
                "A custom model on a table gets columns that descend encodes, which a file of the "
                "model alone cannot do: run.predict(table) predicts. Train it on arrays to export."
            )
        # From the devices to this one, and not as NumPy's: token ids could not index those.
        weights = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), self._weights)
        export_model(
            path,
            lambda x: self._outputs.forward(weights, x),
            self._outputs.inputs,
            self._outputs.rows,
            force=force,
        )

    def __repr__(self) -> str:
        return self._shown(f"validation loss {self.record['result']['best_validation_loss']:.4g}")

    def _repr_html_(self) -> str:
        loss = self.record["result"]["best_validation_loss"]
        model = self.record["settings"]["model"]
        return card("descend.CustomRun", self._facts([("model", model), ("validation loss", loss)]))


def _shapes(x: Mapping[str, Any], rows: Mapping[str, Group] | None = None) -> str:
    """The shape of a row of each input, or of those of training."""
    shapes = {
        name: values.shape[1:] if rows is None else rows[name].shape for name, values in x.items()
    }
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())


def _as_in_training(x: Mapping[str, NDArray[Any]], rows: Mapping[str, Group]) -> dict[str, Any]:
    """Inputs in the types of training.

    Sequences may be longer and images larger where the model takes them.

    Raises:
        DataError: other axes, or values that the small integers of training, such as pixels,
            cannot hold.
    """
    found = {}
    for name, values in x.items():
        row = rows[name]
        expected = f"Expected {name} as in training, {row.dtype} {['rows', *row.shape]}"
        shape = values.shape[1:]
        # An axis of 1 would be repeated where the model multiplies by weights.
        repeated = any(one == 1 != other for one, other in zip(shape, row.shape, strict=False))
        if len(shape) != len(row.shape) or (repeated and values.dtype.kind == "f"):
            single = f" For a single row give {name}[None]." if values.shape == row.shape else ""
            raise DataError(f"{expected}; found {list(values.shape)}.{single}")
        kept = in_type(values, row.dtype)
        if kept is None and np.dtype(row.dtype).itemsize == 1:
            raise DataError(
                f"{expected}; found {values.dtype} from {values.min():.4g} to {values.max():.4g}, "
                f"which {row.dtype} cannot hold. Give them in the form of training."
            )
        found[name] = values if kept is None else kept
    return found


_filled: weakref.WeakKeyDictionary[Any, weakref.ref[CustomRun]] = weakref.WeakKeyDictionary()
"""Models that runs gave their weights to, and the run that did so last."""

OwnRun = CustomRun
"""The name of `CustomRun` in version 0.1."""


@dataclass(frozen=True)
class Outputs:
    """`(params, x) -> outputs`, in the user's units.

    Attributes:
        apply: of the model.
        link: of the loss.
        inputs: how the inputs hang together; None for a table.
        encoder: of a table.
        scaled: whether outputs are deviations from the mean of the table's target.
        rows: shape and type of a row of each array of inputs.
        looked_up: the ranges of inputs by which the model looks things up; empty if it does not.
    """

    apply: Callable[[Params, Any], Any]
    link: Callable[[Any], Any]
    inputs: Form | None
    encoder: Encoder | None
    scaled: bool
    rows: Mapping[str, Group]
    looked_up: Ranges

    @classmethod
    def of(cls, own: CustomProblem) -> Outputs:
        """The outputs of a problem's model."""
        encoder = own.rows.encoder
        numbers = encoder is not None and isinstance(encoder.schema.target, RegressionTarget)
        scaled = encoder is not None and numbers and own.loss_name in (*LOSSES, "quantile")

        def apply(params: Params, x: Any) -> Any:
            return own.model.apply(params, own.inputs_of(x))

        groups = groups_of(own.rows.sampled.gather(np.arange(1)))
        rows = {one.name: one for one in groups}
        return cls(
            apply, own.chosen.loss.link, own.rows.inputs, encoder, scaled, rows, own.looked_up
        )

    def __call__(self, params: Params, x: Any) -> Any:
        """Outputs for some rows, NumPy arrays."""
        return jax.tree.map(lambda leaf: self.in_units(np.asarray(leaf)), self._compiled(params, x))

    def in_units(self, values: NDArray[Any]) -> NDArray[Any]:
        """Outputs or targets in the units of the target."""
        if not self.scaled or self.encoder is None:
            return values
        return np.asarray(self.encoder.decode_regression(values))

    def forward(self, params: Params, x: Any) -> Any:
        """Outputs through the link of the loss, as JAX computes them."""
        return self.link(self.apply(params, x))

    @functools.cached_property
    def _compiled(self) -> Any:
        return jit_program(in_full_precision(self.forward))
