"""Copies of a PyTorch model are trained as the user trains it."""

from __future__ import annotations

import math

import pytest

from tests.torch.problems import (
    bench_of,
    linear,
    problem,
)

torch = pytest.importorskip("torch")


def test_a_rate_that_breaks_the_loss_is_not_taken():
    assert bench_of(linear(), problem(0.1)).train(16, 1e6, 50)[2] == math.inf


def test_only_the_parameters_of_the_optimizer_are_trained():
    model = torch.nn.Sequential(torch.nn.Linear(5, 5), torch.nn.Linear(5, 1))
    rule = torch.optim.AdamW(model[1].parameters(), lr=0.1)
    bench = bench_of(model, problem(0.5), optimizer=rule)
    trained, *_ = bench.train(32, 0.1, 3)
    assert torch.equal(trained[0].weight, model[0].weight)
    assert not torch.equal(trained[1].weight, model[1].weight)


def test_a_part_in_evaluation_mode_stays_so():
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(5), torch.nn.Linear(5, 1))
    model[0].eval()
    trained, *_ = bench_of(model, problem(0.5)).train(32, 0.1, 3)
    assert torch.equal(trained[0].running_mean, model[0].running_mean)
    trained, *_ = bench_of(model.eval(), problem(0.5)).train(32, 0.1, 3)
    assert not torch.equal(trained[0].running_mean, model[0].running_mean)
