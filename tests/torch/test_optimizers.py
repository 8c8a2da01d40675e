"""Optimizers are taken in several forms, and those in use stay as they were."""

from __future__ import annotations

import copy
import random

import jax
import numpy as np
import pytest

from descend.errors import InputError
from tests.torch.problems import (
    linear,
    normalised,
    problem,
    quick,
)

torch = pytest.importorskip("torch")


def optimizers():
    return [
        torch.optim.AdamW,
        torch.optim.AdamW(linear().parameters(), lr=1e-3, betas=(0.8, 0.9)),
        torch.optim.SGD(linear().parameters(), lr=0.1, nesterov=True, momentum=0.5),
        lambda parameters, rate: torch.optim.Adam(parameters, lr=rate),
    ]


@pytest.mark.parametrize("number", range(4))
def test_optimizers_come_in_several_forms(number):
    optimizer = optimizers()[number]
    before = repr(optimizer)
    assert quick(linear(), problem(0.5), optimizer=optimizer).learning_rate > 0
    assert repr(optimizer) == before


def test_an_optimizer_in_use_gradients_and_random_states_stay_as_they_were():
    model = normalised()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    x, y = next(iter(torch.utils.data.DataLoader(problem(0.5), batch_size=8)))
    torch.nn.functional.mse_loss(model(x), y).backward()
    optimizer.step()
    state = copy.deepcopy(optimizer.state_dict())
    gradients = [one.grad.clone() for one in model.parameters()]

    class Augmented(torch.utils.data.Dataset):
        def __getitem__(self, place):
            x, y = rows[place]
            return x + random.random() + np.random.rand() + torch.rand(1), y

        def __len__(self):
            return len(rows)

    rows = problem(0.5)
    draws = random.getstate(), np.random.get_state()[1].tolist()
    quick(model, torch.utils.data.DataLoader(Augmented()), optimizer=optimizer)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == draws
    for one, other in zip(
        jax.tree.leaves(optimizer.state_dict()), jax.tree.leaves(state), strict=True
    ):
        assert np.array_equal(np.asarray(one), np.asarray(other))
    assert all(map(torch.equal, gradients, (one.grad for one in model.parameters())))


def test_optimizers_of_other_weights_or_with_a_rate_of_their_own_are_refused():
    model, sgd = linear(), torch.optim.SGD
    refused = {
        "moves other weights": lambda parameters, rate: sgd(model.parameters(), lr=rate),
        "learning rate 0.1 whatever rate": lambda parameters, rate: sgd(parameters, lr=0.1),
        r"several times in a step \(closure\)": torch.optim.LBFGS,
    }
    for said, optimizer in refused.items():
        with pytest.raises(InputError, match=said):
            quick(model, problem(0.5), optimizer=optimizer)
