"""The step of a usual loop, `loss(module(x), y)`, and what is told where a batch is another one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from descend.errors import InputError
from descend.runtime.argument_order import outputs_first

Loss = Callable[[Any, Any], Any]
Step = Callable[[Any, Any], Any]
TARGETS = ("y", "label", "labels", "target", "targets")
"""Usual names of what a batch is compared with."""


def usual_step(loss: Loss | None) -> Step:
    """`loss(module(x), y)` for batches `(x, y)`."""
    if loss is None or not callable(loss):
        raise InputError(
            "Expected loss as a function (outputs, y) -> mean of the batch, or step=(module, "
            f"batch) -> loss; found {loss!r}."
        )

    import torch
    from torch.nn.utils.rnn import PackedSequence

    if isinstance(loss, type) and issubclass(loss, torch.nn.Module):
        raise InputError(
            f"Expected loss as a function (outputs, y) -> mean of the batch; found the class "
            f"{loss.__name__}: make one of it, {loss.__name__}()."
        )
    loss, checked = outputs_first(loss), False

    def step(module: Any, batch: Any) -> Any:
        nonlocal checked
        if not isinstance(batch, list | tuple) or len(batch) != 2:
            raise InputError(_of_other_batches(batch))
        x, y = batch
        if isinstance(x, Mapping):
            outputs = module(**x)
        else:
            several = isinstance(x, list | tuple) and not isinstance(x, PackedSequence)
            outputs = module(*x) if several else module(x)
        if not isinstance(outputs, torch.Tensor):
            try:
                return loss(outputs, y)
            except Exception as error:
                raise InputError(_of_parts(outputs, error)) from error
        if not checked and len(y) > 1:
            _check_widths(loss, outputs, y)
            checked = True
        return loss(outputs, y)

    return step


def _of_parts(outputs: Any, error: Exception) -> str:
    """What to write where the outputs of a module are no tensor, and the loss fails on them."""
    part = f"outputs[{next(iter(outputs), 'name')!r}]" if isinstance(outputs, Mapping) else None
    return (
        f"The loss fails on the outputs of the module, a {type(outputs).__name__}: "
        f"{type(error).__name__}: {error}. Name the part that is compared with y: "
        f"loss=lambda outputs, y: your_loss({part or 'outputs[0]'}, y)."
    )


def _of_other_batches(batch: Any) -> str:
    """What to write where a batch is not (x, y)."""
    found, inputs, target = type(batch).__name__, "batch[0]", "batch[1]"
    if isinstance(batch, Mapping):
        found = f"a mapping of {', '.join(map(repr, batch))}"
        names = list(batch)
        named = [name for name in names if str(name).lower() in TARGETS] or names[1:2] or names
        others = [name for name in names if name != named[0]] or named
        inputs = ", ".join(f"batch[{name!r}]" for name in others)
        target = f"batch[{named[0]!r}]"
    elif isinstance(batch, Sequence):
        found = f"{len(batch)} part{'s' if len(batch) != 1 else ''}"
        target = "batch[1]" if len(batch) > 1 else "batch[0]"
    return (
        f"Expected batches (x, y), found {found}. Say what your loop does with one: "
        f"step=lambda module, batch: loss(module({inputs}), {target})."
    )


def _check_widths(loss: Loss, outputs: Any, y: Any) -> None:
    """Raise InputError where [B, 1] and [B] are spread to [B, B], every row with every other."""
    shapes = [tuple(getattr(one, "shape", ())) for one in (outputs, y)]
    narrow, wide = sorted(shapes, key=len)
    if wide != (*narrow, 1):
        return
    flat = [one.reshape(narrow) for one in (outputs, y)]
    try:
        apart, spread = (float(loss(*both).detach().mean()) for both in (flat, (outputs, y)))
    except Exception:
        return  # The loss wants the shapes that it gets.
    if not math.isclose(apart, spread, rel_tol=1e-4, abs_tol=1e-12):
        raise InputError(
            f"Outputs have the shape {list(shapes[0])} and y {list(shapes[1])}: the loss compares "
            "every row with every other. Give both one shape: y[:, None], or outputs.squeeze(-1)."
        )
