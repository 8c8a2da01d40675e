"""PyTorch models and rows to advise on; importing it skips a test where PyTorch is missing."""

from __future__ import annotations

import collections
import dataclasses
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


class Several(torch.utils.data.Dataset):
    """Rows that are read several at once, as those of Hugging Face are."""

    def __init__(self):
        self.asked = []

    def __len__(self):
        return 200

    def __getitems__(self, numbers):
        self.asked.append(len(numbers))
        rows = problem(0.5, rows=200)
        return [rows[number] for number in numbers]


class Keyed(torch.utils.data.Dataset):
    """Rows by a text, which a sampler names."""

    keys = tuple(f"row {number}" for number in range(100))

    def __len__(self):
        return len(self.keys)

    def __getitem__(self, key):
        return problem(0.5)[int(key.removeprefix("row "))]


class KeepsOutputs(torch.nn.Module):
    """It holds what it computed last, which `copy.deepcopy` refuses."""

    def __init__(self):
        super().__init__()
        self.inner, self.kept = linear(), {}

    def forward(self, x):
        self.kept["last"] = [self.inner(x)]
        return self.kept["last"][0]


def recurrent():
    torch.manual_seed(0)

    class Last(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.cells, self.head = torch.nn.GRU(3, 4, batch_first=True), torch.nn.Linear(4, 1)

        def forward(self, sequences):
            return self.head(self.cells(sequences)[1][0])

    return Last()


def sequences():
    source = torch.Generator().manual_seed(0)
    return [
        (torch.randn(2 + row % 5, 3, generator=source).double(), torch.ones(1))
        for row in range(100)
    ]


def packed(rows):
    made = torch.nn.utils.rnn.pack_sequence([x for x, _ in rows], enforce_sorted=False)
    return made, torch.stack([y for _, y in rows])


@dataclasses.dataclass(frozen=True)
class Pair:
    x: torch.Tensor
    y: torch.Tensor

    @classmethod
    def of(cls, rows):
        return cls(*(torch.stack(part).double() for part in zip(*rows, strict=True)))


class Named(collections.UserDict):
    """A mapping whose values are attributes too, as those of tokenisers are."""

    def __getattr__(self, name):
        try:
            return self.__dict__["data"][name]
        except KeyError:
            raise AttributeError(name) from None
