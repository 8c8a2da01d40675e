"""The outputs of a trained network for encoded rows, computed a block of rows at a time."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

import numpy as np
import numpy.typing as npt

from descend.data.encoding.encoder import Encoder
from descend.data.schema.columns import Schema
from descend.settings import Settings
from descend.types import Params

if TYPE_CHECKING:
    from descend.training.models import Network

Numbers = npt.NDArray[np.float64]
Inputs = Mapping[str, npt.NDArray[Any]]

BLOCK_ROWS = 8192
LEAST_ROWS = 256
"""Smaller blocks are padded to this number of rows: matrix products of few rows add in another
order, and a prediction must not depend on the other rows of its block."""


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
        return self._in_blocks(_compile(self._network_for(x).apply, self._link), x)

    def raw_outputs(self, x: Inputs) -> Numbers:
        """Outputs before the link of the loss: `[n, k]`, log-odds for classes."""
        from descend.training.losses import LOSSES

        apply = self._network_for(x).apply
        return self._in_blocks(_compile(apply, LOSSES["squared_error"].link), x)

    def members(self, x: Inputs) -> Numbers | None:
        """Outputs of each member through the link: `[n, M, k]`, or None if there is one."""
        if self._network.members is None or self._settings.members == 1:
            return None
        return self._in_blocks(_compile(self._network.members, self._link), x)

    def _in_blocks(self, forward: Any, x: Inputs) -> Numbers:
        rows = len(next(iter(x.values())))
        # Few shapes, few compilations: blocks of one size, smaller tables up to a power of two.
        size = min(BLOCK_ROWS, max(LEAST_ROWS, 1 << (max(1, rows) - 1).bit_length()))
        parts = []
        for start in range(0, rows, size):
            block = {name: _pad(values[start : start + size], size) for name, values in x.items()}
            parts.append(np.asarray(forward(self._on_device, block)))
        joined = np.concatenate(parts) if parts else np.zeros((0, 1))
        return joined[:rows].astype(np.float64)

    def _network_for(self, x: Inputs) -> Network:
        return self._network if "numeric" in x else self._sparse_network

    @functools.cached_property
    def _network(self) -> Network:
        return self._make_network(sparse=False)

    @functools.cached_property
    def _sparse_network(self) -> Network:
        return self._make_network(sparse=True)

    def _make_network(self, *, sparse: bool) -> Network:
        from descend.training.build import network_of
        from descend.training.jax_setup import set_up

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


@functools.lru_cache(maxsize=32)
def _compile(apply: Any, link: Any) -> Any:
    """The network with its link, compiled once for all models of one form."""
    import jax

    from descend.training.jax_setup import in_full_precision

    def forward(params: Params, x: Any) -> Any:
        return link(apply(params, x))

    return jax.jit(in_full_precision(forward))


def _pad(values: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    missing = size - len(values)
    if missing == 0:
        return values
    return np.pad(values, [(0, missing), *[(0, 0)] * (values.ndim - 1)])
