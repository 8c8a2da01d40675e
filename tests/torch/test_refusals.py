"""What cannot be used is refused with what to write instead."""

from __future__ import annotations

import math

import pytest

from descend.errors import InputError
from tests.torch.problems import (
    Broken,
    TwoOutputs,
    linear,
    mapped,
    problem,
    quick,
)

torch = pytest.importorskip("torch")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"module": "relu"}, "none that requires a gradient"),
        ({"data": 3}, "Expected a data set"),
        ({"data": "mappings"}, "a mapping of 'x', 'y'.*step="),
        ({"data": "triples"}, "found 3 parts"),
        ({"loss": None}, "Expected loss as a function"),
        ({"loss": "sum"}, "a sum over the rows"),
        ({"loss": "number"}, "a loss that is a tensor"),
        ({"loss": "broken"}, "A step on 2 rows fails"),
        ({"optimizer": 3}, "Expected optimizer="),
        ({"optimizer": dict}, "Expected optimizer="),
        ({"budget": 0}, "budget must be seconds"),
        ({"budget": math.inf}, "budget must be seconds"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"module": "class"}, "found the class Linear"),
        ({"module": "scripted"}, "TorchScript"),
        ({"module": "two"}, r"a tuple: .*loss=lambda outputs, y: your_loss\(outputs\[0\], y\)"),
        ({"loss": "loss class"}, r"make one of it, MSELoss\(\)"),
        ({"data": "damaged"}, r"fails at row \d+: OSError: image 7 is damaged"),
        ({"data": "arrays"}, "found 2 arrays"),
        ({"data": "ragged"}, "Rows cannot be made into a batch.*collate= says how"),
    ],
)
def test_what_cannot_be_used_is_named(change, said):
    kinds = {
        "relu": torch.nn.ReLU(),
        "mappings": mapped(problem(0.5)),
        "triples": [(x, y, 1.0) for x, y in problem(0.5)],
        "sum": torch.nn.MSELoss(reduction="sum"),
        "ragged": [(torch.ones(1 + row % 3), row) for row in range(40)],
        "number": lambda outputs, y: 3.0,
        "class": torch.nn.Linear,
        "damaged": Broken([0] * 100),
        "scripted": torch.jit.script(linear()),
        "two": TwoOutputs(),
        "loss class": torch.nn.MSELoss,
        "arrays": dict(zip("xy", problem(0.5).tensors, strict=True)),
        "broken": lambda outputs, y: outputs.nothing,
    }
    given = {
        name: kinds.get(value, value) if isinstance(value, str) else value
        for name, value in change.items()
    }
    model, data = given.pop("module", linear()), given.pop("data", problem(0.5))
    with pytest.raises(InputError, match=said):
        quick(model, data, **given)
