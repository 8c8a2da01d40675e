"""Advice for PyTorch models, on a problem whose noise is known."""

from __future__ import annotations

import copy
import itertools
import json

import pytest

import descend.torch
from descend.errors import DivergedError
from descend.reporting.pages.advice import advice_page
from descend.reporting.text.advice import advice_text
from descend.types import Advice
from tests.torch.problems import (
    KnownStream,
    Sparse,
    Stream,
    TwoOutputs,
    codes,
    linear,
    mapped,
    normalised,
    problem,
    quick,
    step_of_mappings,
)

torch = pytest.importorskip("torch")


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


CASES = {
    "a loader": lambda: (linear(), torch.utils.data.DataLoader(problem(0.5), batch_size=7)),
    "a stream": lambda: (linear(), Stream()),
    "a sparse gradient and an unused part": lambda: (
        Sparse(),
        codes(),
        "mse",
        None,
        torch.optim.SGD,
    ),
    "a stream with a length": lambda: (linear(), KnownStream()),
    "streams in a chain": lambda: (linear(), torch.utils.data.ChainDataset([Stream(), Stream()])),
    "a loss below zero": lambda: (
        linear(),
        problem(0.5),
        lambda outputs, y: ((outputs - y) ** 2).mean() - 9.0,
    ),
    "a loader of a stream": lambda: (linear(), torch.utils.data.DataLoader(Stream())),
    "numbers of 64 bits": lambda: (
        linear(),
        torch.utils.data.TensorDataset(*(one.double() for one in problem(0.5).tensors)),
    ),
    "a list of pairs": lambda: (linear(), [problem(0.5)[number] for number in range(100)]),
    "batch normalisation": lambda: (normalised(), problem(0.5)),
    "a loss for each row": lambda: (linear(), problem(0.5), torch.nn.MSELoss(reduction="none")),
    "mappings with a step": lambda: (linear(), mapped(problem(0.5)), None, step_of_mappings),
    "a tuple of outputs": lambda: (
        TwoOutputs(),
        problem(0.5),
        lambda outputs, y: torch.nn.functional.mse_loss(outputs[0], y),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_loop_takes_is_taken(case):
    model, data, *more = CASES[case]()
    options = dict(zip(("loss", "step", "optimizer"), more, strict=False))
    advice = quick(model, data, **options)
    assert advice.batch_size >= (2 if case == "batch normalisation" else 1)


@pytest.mark.slow
@pytest.mark.parametrize("in_place", [False, True])
def test_a_compiled_module_with_batch_normalization_begins_at_two_rows(in_place):
    model = normalised()
    if in_place:
        model.compile(backend="eager")
    else:
        model = torch.compile(model, backend="eager")
    before = copy.deepcopy(model.state_dict())
    assert quick(model, problem(0.5)).batch_size >= 2
    assert model.training
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())


@pytest.mark.parametrize("mode", [True, False])
def test_mode_random_state_and_weights_stay_as_they_were(mode):
    model = normalised().train(mode)
    before = {name: one.clone() for name, one in model.state_dict().items()}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = quick(model, problem(0.5))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    assert model.training is mode
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())
    again = quick(model.train(not mode), problem(0.5))
    assert (first.batch_size, first.learning_rate) == (again.batch_size, again.learning_rate)


def test_losses_below_zero_are_searched_as_those_above():
    """Their multiples are lower: the search had ended at the first rate."""

    def shifted(outputs, y):
        return ((outputs - y) ** 2).mean() - 9.0

    found = quick(linear(), problem(0.5), loss=shifted)
    assert len(found.evidence["rates_at_reference"]) > 3
    assert found.interval[0] <= found.learning_rate * 1.01


def test_a_loss_that_is_no_number_at_the_start_is_not_blamed_on_the_rate():
    x, y = problem(0.5).tensors
    with pytest.raises(DivergedError, match="before the first update"):
        quick(linear(), torch.utils.data.TensorDataset(x * torch.nan, y))
