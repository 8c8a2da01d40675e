"""The loss of a batch, and what is said where it is not that of the rows."""

from __future__ import annotations

import pytest

from descend.errors import InputError
from tests.torch.problems import (
    bench_of,
    linear,
    problem,
    quick,
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


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ((torch.ones(5),), r"found 1 part\..*loss\(module\(batch\[0\]\), batch\[0\]\)"),
        (
            {"input_ids": torch.ones(5), "mask": torch.ones(5), "labels": torch.ones(1)},
            r"module\(batch\['input_ids'\], batch\['mask'\]\), batch\['labels'\]\)",
        ),
    ],
)
def test_what_is_compared_is_found_by_its_name(row, said):
    with pytest.raises(InputError, match=said):
        bench_of(linear(), [row] * 100)


def test_a_step_that_uses_the_module_by_its_name_is_refused_and_leaves_its_gradients():
    model, mse = linear(), torch.nn.functional.mse_loss
    mse(*(model(x) for x in problem(0.5).tensors[:1]), problem(0.5).tensors[1]).backward()
    before = [one.grad.clone() for one in model.parameters()]
    with pytest.raises(InputError, match="does not depend on the module that step gets"):
        quick(model, problem(0.5), None, step=lambda module, batch: mse(model(batch[0]), batch[1]))
    assert all(map(torch.equal, before, (one.grad for one in model.parameters())))


def test_a_loss_that_holds_the_module_is_refused():
    class Penalised(torch.nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, outputs, y):
            penalty = sum(one.square().sum() for one in self.module.parameters())
            return (outputs - y).square().mean() + penalty

    model = linear()
    with pytest.raises(InputError, match=r"holds the module .* step=lambda module"):
        bench_of(model, problem(0.5), loss=Penalised(model))


def noisy_sum(outputs, y):
    return ((outputs + 0.3 * torch.randn_like(outputs) - y) ** 2).sum()


@pytest.mark.parametrize("kind", ["penalty", "noise"])
def test_sums_with_a_penalty_or_with_noise_are_sums_too(kind):
    def penalised(module, batch):
        penalty = sum(one.square().sum() for one in module.parameters())
        return ((module(batch[0]) - batch[1]) ** 2).sum() + 3.0 * penalty

    options = {"step": penalised} if kind == "penalty" else {"loss": noisy_sum}
    with pytest.raises(InputError, match="sum over the rows"):
        bench_of(linear(), problem(0.5), **options)


def test_a_loss_that_grows_with_the_logarithm_of_the_batch_is_no_sum():
    def contrastive(outputs, y):
        near = torch.nn.functional.normalize(outputs, dim=1)
        return torch.nn.functional.cross_entropy(near @ near.T * 20, torch.arange(len(y)))

    bench_of(torch.nn.Linear(5, 4), problem(0.5), loss=contrastive)


def test_a_loss_without_a_gradient_is_refused():
    def detached(outputs, y):
        return (outputs - y).square().mean().detach()

    with pytest.raises(InputError, match="has no gradient: it was detached"):
        bench_of(linear(), problem(0.5), loss=detached)
