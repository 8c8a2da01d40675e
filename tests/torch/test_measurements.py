"""The gradient noise of a PyTorch model."""

from __future__ import annotations

import numpy as np
import pytest

from descend.torch.measurements import noise_along, noise_at
from tests.torch.problems import (
    bench_of,
    linear,
    problem,
)

torch = pytest.importorskip("torch")


def test_its_noise_is_that_of_a_naive_loop_over_rows():
    model, data = linear(), problem(2.0)
    bench = bench_of(model, data)
    gradients = []
    for row in bench.training:
        model.zero_grad()
        x, y = data[int(row)]
        torch.nn.functional.mse_loss(model(x), y).backward()
        gradients.append(torch.cat([one.grad.reshape(-1) for one in model.parameters()]).numpy())
    single = np.stack(gradients).astype(np.float64)
    mean = single.mean(axis=0)
    trace = float(np.sum((single - mean) ** 2, axis=1).mean())
    found = noise_at(bench, model)
    assert found.squared_norm == pytest.approx(float(mean @ mean), rel=0.3)
    assert found.trace == pytest.approx(trace, rel=0.3)


def test_its_noise_along_a_training_holds_the_difference_between_its_weights():
    bench = bench_of(linear(), problem(2.0))
    found = noise_along(bench, 16, 0.02, 30)
    assert found.noise_scale is None or found.interval[0] < found.noise_scale < found.interval[1]
    assert found.trace > 0.0
    assert noise_along(bench, 16, 1e6, 50) is None


def test_the_noise_of_a_complex_model_is_that_of_its_real_and_imaginary_parts():
    source = torch.Generator().manual_seed(0)
    x = torch.randn(2000, 5, generator=source, dtype=torch.complex64)
    y = (1j * x).sum(1, keepdim=True) + torch.randn(2000, 1, generator=source)
    data, model = torch.utils.data.TensorDataset(x, y), torch.nn.Linear(5, 1, dtype=x.dtype)

    def loss(outputs, y):
        return (outputs - y).abs().square().mean()

    bench = bench_of(model, data, loss=loss)
    loss(model(x), y).backward()
    squared = sum(float(one.grad.abs().square().sum()) for one in model.parameters())
    assert noise_at(bench, model).squared_norm == pytest.approx(squared, rel=0.3)
