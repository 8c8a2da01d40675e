"""Advice for PyTorch models, on a problem whose noise is known."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest

import descend.torch
from descend.errors import InputError
from descend.reporting.pages.advice import advice_page
from descend.reporting.text.advice import advice_text
from descend.types import Advice

try:
    import torch
except ImportError:
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="torch is an optional extra")


def problem(noise, rows=2000):
    random = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 5, generator=random)
    y = x @ torch.ones(5, 1) + noise * torch.randn(rows, 1, generator=random)
    return torch.utils.data.TensorDataset(x, y)


def linear():
    torch.manual_seed(0)
    return torch.nn.Linear(5, 1)


@needs_torch
def test_it_gives_advice_and_leaves_the_model_alone():
    model = linear()
    before = [one.detach().clone() for one in model.parameters()]
    advice = descend.torch.advise(model, torch.nn.functional.mse_loss, problem(0.5), budget=2.0)
    assert isinstance(advice, Advice)
    assert 1 <= advice.batch_size <= 2000
    assert advice.flat_region[0] <= advice.batch_size <= advice.flat_region[1]
    assert advice.interval[0] <= advice.learning_rate * 1.01
    assert 1e-5 < advice.learning_rate < 10.0
    after = list(model.parameters())
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert all(one.grad is None for one in after)


@needs_torch
def test_its_evidence_is_told_and_drawn_as_that_of_our_own_models(tmp_path):
    data, loss = problem(0.5), torch.nn.functional.mse_loss
    ticks = itertools.count()
    advice = descend.torch.advise(
        linear(), loss, data, budget=1.0, out=tmp_path, clock=lambda: next(ticks) * 1e-3
    )
    text = advice_text(advice)
    assert "Chosen by 9 trials" in text
    assert "Gradient noise" in text or "undetermined" in text
    page = advice_page(json.loads((tmp_path / "advice.json").read_text()))
    names = {plot.name for section in page.sections for plot in section.plots}
    assert {"trials", "race", "seconds-per-update"} <= names
    assert "Linear" in page.title
    assert "Linear" in (tmp_path / "advice.html").read_text()


@needs_torch
def test_its_noise_is_that_of_a_naive_loop_over_rows():
    model, data = linear(), problem(2.0)
    bench = descend.torch._Bench.make(
        model, torch.nn.functional.mse_loss, data, None, 0, lambda: 0.0
    )
    gradients = []
    for row in bench.rows:
        model.zero_grad()
        x, y = data[int(row)]
        torch.nn.functional.mse_loss(model(x), y).backward()
        gradients.append(torch.cat([one.grad.reshape(-1) for one in model.parameters()]).numpy())
    single = np.stack(gradients).astype(np.float64)
    mean = single.mean(axis=0)
    trace = float(np.sum((single - mean) ** 2, axis=1).mean())
    found = bench.noise(model)
    assert found.squared_norm == pytest.approx(float(mean @ mean), rel=0.3)
    assert found.trace == pytest.approx(trace, rel=0.3)


@needs_torch
def test_a_rate_that_breaks_the_loss_is_not_taken():
    model = linear()
    bench = descend.torch._Bench.make(
        model, torch.nn.functional.mse_loss, problem(0.1), None, 0, lambda: 0.0
    )
    assert bench.train(16, 1e6, 50)[1] == math.inf


@needs_torch
def test_too_few_rows_are_refused():
    with pytest.raises(InputError, match="at least 20"):
        descend.torch.advise(linear(), torch.nn.functional.mse_loss, problem(0.1, rows=10))


def test_without_torch_the_message_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"descend\[torch\]"):
        descend.torch.advise(None, None, [])
