"""PyTorch models and rows to advise on; importing it skips a test where PyTorch is missing."""

from __future__ import annotations

import itertools
import math

import pytest

import descend.torch
from descend.torch.bench import Bench

torch = pytest.importorskip("torch")


def problem(noise, rows=2000):
    source = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 5, generator=source)
    y = x @ torch.ones(5, 1) + noise * torch.randn(rows, 1, generator=source)
    return torch.utils.data.TensorDataset(x, y)


def linear():
    torch.manual_seed(0)
    return torch.nn.Linear(5, 1)


def normalised():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(5, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 1)
    )


def mapped(data):
    return [{"x": x, "y": y} for x, y in data]


def step_of_mappings(module, batch):
    return torch.nn.functional.mse_loss(module(batch["x"]), batch["y"])


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter([problem(0.5)[number] for number in range(200)])


class KnownStream(Stream):
    """It has a length, and rows by number only in the base class, which refuses them."""

    def __len__(self):
        return 200


class Sparse(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.values = torch.nn.Embedding(10, 1, sparse=True)
        self.unused = torch.nn.Linear(3, 3)

    def forward(self, x):
        return self.values(x[:, 0])


def codes():
    x = torch.arange(200)[:, None] % 10
    return torch.utils.data.TensorDataset(x, x.float())


class Broken(list):
    def __getitem__(self, number):
        raise OSError("image 7 is damaged")


class TwoOutputs(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = linear()

    def forward(self, x):
        return self.inner(x), x


def bench_of(model, data, **options):
    defaults = {"step": None, "optimizer": None, "collate": None, "seed": 0}
    given = {**defaults, "until": math.inf, "budget": 1.0, "clock": lambda: 0.0, **options}
    loss = given.pop("loss", torch.nn.functional.mse_loss)
    return Bench.make(model, loss, data, **given)


def ticking(step=1e-3):
    ticks = itertools.count()
    return lambda: next(ticks) * step


def quick(model, data, loss="mse", **options):
    if loss == "mse":
        loss = torch.nn.functional.mse_loss
    return descend.torch.advise(model, loss, data, **{"budget": 0.3, "clock": ticking(), **options})
