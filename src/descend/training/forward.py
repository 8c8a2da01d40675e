"""The outputs of a trained network for encoded rows, computed a block of rows at a time."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

import numpy as np
import numpy.typing as npt

from descend.data.encoding.encoder import Encoder
from descend.data.schema.columns import Schema, Target
from descend.settings import Settings
from descend.types import Batch, Params

if TYPE_CHECKING:
    from descend.training.network.models import Network

Numbers = npt.NDArray[np.float64]
Inputs = Mapping[str, npt.NDArray[Any]]

LEAST_ROWS, FEW_ROWS, BLOCK_ROWS = 256, 2048, 8192
"""Blocks have one of these numbers of rows, and the last of them is padded: each shape is compiled
once. Blocks of fewer rows would add in another order, and a prediction must not depend on the other
rows of its block."""
MANY_ROWS = 16_384
"""From here on blocks are of `BLOCK_ROWS`."""


@final
class Forward:
    """A network with its weights on the device, compiled when it is first used.

    Args:
        settings: resolved; they name the network and the loss.
        schema: the columns.
        encoder: of the schema.
        params: the weights.
    """

    def __init__(self, settings: Settings, schema: Schema, encoder: Encoder, params: Params):
        self._settings = settings
        self._schema = schema
        self._encoder = encoder
        self._params = params

    def outputs(self, x: Inputs) -> Numbers:
        """Outputs through the link of the loss: `[n, k]`."""
        network = self._network_for(x)
        if network.pooled_and_each is not None:
            return self._in_pieces(x, self._schema.task)[1]
        return self._in_blocks(_compile(network.apply, self._link), x)[0]

    def raw_outputs(self, x: Inputs) -> Numbers:
        """Outputs before the link of the loss: `[n, k]`, log-odds for classes."""
        from descend.training.losses import LOSSES

        network = self._network_for(x)
        if network.pooled_and_each is not None:
            return self._in_pieces(x, self._schema.task)[0]
        return self._in_blocks(_compile(network.apply, LOSSES["squared_error"].link), x)[0]

    def outputs_and_members(self, x: Inputs) -> tuple[Numbers, Numbers | None]:
        """Outputs `[n, k]` and those of each member `[n, M, k]`, None if there is one."""
        if not self._has_members:
            return self.outputs(x), None
        _, pooled, each = self._in_pieces(x, "regression")
        return pooled, each

    def _in_pieces(self, x: Inputs, task: str) -> list[Numbers]:
        """What `program_of` gives for rows without targets, its sums left out."""
        several = self._has_members and task == "regression"
        target = self._schema.target
        program = program_of(self._network_for(x), self._settings, target, several=several)
        targets = len(target.names)

        def predict(params: Params, block: Inputs) -> Any:
            rows = len(next(iter(block.values())))
            y: npt.NDArray[Any] = np.zeros((rows, targets), np.float32)
            if self._schema.task == "classification":
                y = np.zeros(rows, np.int32)
            return program(params, block, y, np.zeros(rows, np.float32))[1:]

        return self._in_blocks(predict, x)

    def _in_blocks(self, forward: Any, x: Inputs) -> list[Numbers]:
        """Each output of a program `(params, block) -> outputs`, for all rows."""
        rows = len(next(iter(x.values())))
        size = self._block_rows(rows)
        parts = []
        # No row at all still tells the shape of the outputs.
        for start in range(0, max(1, rows), size):
            block = {name: _pad(values[start : start + size], size) for name, values in x.items()}
            parts.append(forward(self._on_device, block))
        return [
            np.concatenate([np.asarray(one) for one in values])[:rows].astype(np.float64)
            for values in zip(*parts, strict=True)
        ]

    def _block_rows(self, rows: int) -> int:
        """Rows per block, to compute the outputs of `rows` rows."""
        import jax

        in_pieces = self._network.pooled_and_each is not None and jax.default_backend() == "cpu"
        if rows <= LEAST_ROWS or in_pieces:
            # One piece: loops of other lengths over pieces would be compiled into other sums.
            return LEAST_ROWS
        return FEW_ROWS if rows < MANY_ROWS else BLOCK_ROWS

    @property
    def _has_members(self) -> bool:
        from descend.training.network.tabular import count_networks

        several = self._settings.members != 1 or count_networks(self._params) is not None
        return self._network.pooled_and_each is not None and several

    def _network_for(self, x: Inputs) -> Network:
        return self._network if "numeric" in x else self._sparse_network

    @functools.cached_property
    def _network(self) -> Network:
        return self._make_network(sparse=False)

    @functools.cached_property
    def _sparse_network(self) -> Network:
        return self._make_network(sparse=True)

    def _make_network(self, *, sparse: bool) -> Network:
        from descend.training.jax_setup import set_up
        from descend.training.network.from_settings import network_of

        set_up()
        return network_of(self._settings, self._schema, self._encoder, sparse=sparse)

    @functools.cached_property
    def _link(self) -> Any:
        from descend.training.losses import make_loss

        return make_loss(self._settings.loss, self._settings.quantiles).link

    @functools.cached_property
    def _on_device(self) -> Params:
        import jax

        return jax.device_put(self._params)


def program_of(network: Network, settings: Settings, target: Target, *, several: bool) -> Any:
    """The program that evaluates and predicts with the tabular network.

    `(params, x, y, weight) -> (sums, outputs, outputs through the link[, those of each member
    through the link])`. The sums `[2]` are Σ w·loss and Σ w; the last is there where members
    predict numbers: whoever predicts them soon asks for their spread.

    Args:
        network: the tabular network.
        settings: resolved.
        target: what is predicted.
        several: whether there are members that predict numbers.
    """
    from descend.training.class_weights import loss_of

    loss = loss_of(settings, target)
    apply = network.pooled_and_each if several else network.apply
    return _compile_with_loss(apply, loss.link, loss.per_example)


@functools.lru_cache(maxsize=32)
def _compile_with_loss(apply: Any, link: Any, per_example: Any) -> Any:
    """The same of a network that gives outputs, or the pooled ones and those of each member."""
    import jax.numpy as jnp

    from descend.training.jax_setup import in_full_precision, jit_program
    from descend.training.objective import make_objective

    objective = make_objective(lambda outputs, x: outputs, per_example)

    def forward(params: Params, x: Any, y: Any, weight: Any) -> Any:
        found = apply(params, x)
        found = found if isinstance(found, tuple) else (found,)
        loss = objective.loss_sum(found[0], Batch({}, y, weight))
        return (jnp.stack([loss, jnp.sum(weight)]), found[0], *map(link, found))

    return jit_program(in_full_precision(forward))


@functools.lru_cache(maxsize=32)
def _compile(apply: Any, link: Any) -> Any:
    """`(params, x) -> (outputs through the link,)`, compiled once for all models of one form."""
    from descend.training.jax_setup import in_full_precision, jit_program

    def forward(params: Params, x: Any) -> Any:
        return (link(apply(params, x)),)

    return jit_program(in_full_precision(forward))


def _pad(values: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    missing = size - len(values)
    if missing == 0:
        return values
    return np.pad(values, [(0, missing), *[(0, 0)] * (values.ndim - 1)])
