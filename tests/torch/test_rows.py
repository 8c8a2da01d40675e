"""Rows come as the user's loader gives them."""

from __future__ import annotations

import numpy as np
import pytest

import descend.torch
from descend.errors import InputError
from tests.torch.problems import (
    Several,
    bench_of,
    linear,
    problem,
    quick,
)

torch = pytest.importorskip("torch")


def test_rows_are_put_together_as_the_loader_does():
    seen = []

    def collate(rows):
        seen.append(len(rows))
        return torch.utils.data.default_collate(rows)

    quick(linear(), torch.utils.data.DataLoader(problem(0.5), collate_fn=collate))
    assert len(seen) > 10


@pytest.mark.parametrize("kind", ["subset", "weighted", "batches"])
def test_rows_come_from_the_sampler_of_the_loader(kind):
    data = [(torch.tensor([float(row)]), torch.tensor([0.0])) for row in range(200)]
    kept, source = list(range(100, 200)), torch.Generator().manual_seed(3)
    before, of = source.get_state(), torch.utils.data
    if kind == "batches":
        loader = of.DataLoader(data, batch_sampler=[kept[:50], kept[50:]])
    elif kind == "subset":
        loader = of.DataLoader(data, sampler=of.SubsetRandomSampler(kept, generator=source))
    else:
        weights = [0.0] * 100 + [1.0] * 100
        sampler = of.WeightedRandomSampler(weights, 500, generator=source)
        loader = of.DataLoader(data, sampler=sampler)
    bench = bench_of(torch.nn.Linear(1, 1), loader)
    assert float(bench.rows.batch(np.arange(bench.rows.count))[0].min()) >= 100.0
    assert torch.equal(source.get_state(), before)


def test_a_loader_whose_data_set_makes_the_batches_is_refused():
    loader = torch.utils.data.DataLoader(problem(0.5), batch_size=None)
    with pytest.raises(InputError, match="batch_size=None"):
        bench_of(linear(), loader)


def test_a_loader_whose_sampler_gives_batches_is_refused_with_what_to_give():
    of = torch.utils.data
    data = of.TensorDataset(torch.zeros(100, 1), torch.zeros(100, 1))
    sampler = of.BatchSampler(of.SequentialSampler(data), 10, False)
    loader = of.DataLoader(data, batch_size=None, sampler=sampler)
    with pytest.raises(InputError, match="Give the data set by itself"):
        bench_of(torch.nn.Linear(1, 1), loader)
    bench_of(torch.nn.Linear(1, 1), loader.dataset)


@pytest.mark.parametrize(
    ("given", "of_model"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float64),
        (torch.float64, torch.float32),
        (torch.float64, torch.bfloat16),
    ],
)
def test_floats_come_in_the_type_of_the_model(given, of_model):
    values = torch.arange(100.0)[:, None]
    data = torch.utils.data.TensorDataset(values.to(given), values.to(given))
    bench = bench_of(torch.nn.Linear(1, 1).to(of_model), data)
    x, y = bench.rows.batch(range(100))
    assert x.dtype == y.dtype == of_model
    assert torch.equal(x, values.to(of_model))


@pytest.mark.parametrize("given", [torch.float32, torch.int64])
def test_numbers_that_the_type_of_the_model_may_not_hold_stay(given):
    values = torch.arange(100)[:, None].to(given)
    bench = bench_of(
        torch.nn.Linear(1, 1).to(torch.bfloat16),
        torch.utils.data.TensorDataset(values, values),
        step=lambda module, batch: module(batch[0].to(torch.bfloat16)).mean(),
    )
    assert bench.rows.batch([1, 2])[0].dtype == given


def test_rows_and_batches_of_none_are_told():
    rows = [None if row % 5 == 0 else (torch.zeros(1), torch.zeros(1)) for row in range(100)]
    with pytest.raises(InputError, match=r"gives None for some rows.*collate="):
        bench_of(torch.nn.Linear(1, 1), rows)

    def few(rows):
        return torch.utils.data.default_collate(rows) if len(rows) > 2 else None

    with pytest.raises(InputError, match=r"collate function gives None for [12] rows"):
        bench_of(torch.nn.Linear(1, 1), problem(0.5), collate=few)


def test_a_sample_is_drawn_of_more_rows_than_memory_could_number():
    class Endless(torch.utils.data.Dataset):
        def __len__(self):
            return 10**12

        def __getitem__(self, number):
            return problem(0.5, rows=200)[number % 200]

    bench = bench_of(linear(), Endless())
    numbers = bench.training
    assert len(set(numbers.tolist())) == len(numbers)
    assert numbers.max() > 10**11


def test_too_few_rows_are_refused():
    with pytest.raises(InputError, match="at least 20"):
        descend.torch.advise(linear(), torch.nn.functional.mse_loss, problem(0.1, rows=10))


def test_rows_are_read_several_at_once_where_the_data_set_does_so():
    data = Several()
    bench = bench_of(linear(), torch.utils.data.DataLoader(data, sampler=list(range(50, 100))))
    data.asked.clear()
    x, _ = bench.rows.batch(np.array([0, 49]))
    assert data.asked == [2]
    expected = problem(0.5, rows=200).tensors[0]
    assert torch.equal(x, expected[[50, 99]])


@pytest.mark.parametrize("kind", ["generator", "loader"])
def test_what_can_be_read_but_once_is_refused_and_not_read(kind):
    data = problem(0.5)
    once = iter(data) if kind == "generator" else iter(torch.utils.data.DataLoader(data))
    with pytest.raises(InputError, match=r"found an iterator .* only once"):
        bench_of(linear(), once)
    assert torch.equal(next(once)[0].reshape(-1), data[0][0])


def test_several_data_sets_are_answered_with_one_of_them():
    parts = {"train": problem(0.5), "test": problem(0.5)}
    with pytest.raises(InputError, match=r"several, 'train', 'test'.*data\['train'\]"):
        bench_of(linear(), parts)


def test_two_arrays_are_answered_with_a_data_set_of_them():
    X, y = problem(0.1).tensors
    for arrays in ((X, y), [X.numpy(), y.numpy()]):
        with pytest.raises(InputError, match=r"found 2 arrays\. Give torch"):
            descend.torch.advise(linear(), torch.nn.functional.mse_loss, arrays, budget=1)
