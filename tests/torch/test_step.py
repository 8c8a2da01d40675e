"""The loss of a batch, and what is said where it is not that of the rows."""

from __future__ import annotations

import pytest

from descend.errors import InputError
from tests.torch.problems import (
    bench_of,
    linear,
    problem,
)

torch = pytest.importorskip("torch")


def test_a_loss_that_takes_the_target_first_gets_it_first():
    def entropy(y_true, y_pred):
        return torch.nn.functional.binary_cross_entropy(y_pred, y_true)

    model = torch.nn.Sequential(linear(), torch.nn.Sigmoid())
    x, y = problem(0.5).tensors
    rows = torch.utils.data.TensorDataset(x, (y > 0).float())
    found = [bench_of(model, rows, loss=one) for one in (entropy, torch.nn.BCELoss())]
    assert len({one.validation_loss(one.copied()) for one in found}) == 1


@pytest.mark.parametrize("own", [True, False])
def test_a_loss_that_compares_every_row_with_every_other_is_refused(own):
    x, y = problem(0.5).tensors
    rows = torch.utils.data.TensorDataset(x, y[:, 0])
    loss = (lambda outputs, y: ((outputs - y) ** 2).mean()) if own else torch.nn.MSELoss()
    with pytest.raises(InputError, match=r"shape \[\d+, 1\] and y \[\d+\].*outputs.squeeze\(-1\)"):
        bench_of(linear(), rows, loss=loss)


def test_a_batch_that_is_a_mapping_is_answered_by_its_keys():
    rows = [{"x": torch.ones(5), "y": torch.ones(1)}] * 100
    with pytest.raises(InputError, match=r"loss\(module\(batch\['x'\]\), batch\['y'\]\)"):
        bench_of(linear(), rows)
