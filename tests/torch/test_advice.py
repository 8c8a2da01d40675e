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
    KeepsOutputs,
    Keyed,
    KnownStream,
    Named,
    Pair,
    Several,
    Sparse,
    Stream,
    TwoOutputs,
    bench_of,
    codes,
    linear,
    mapped,
    normalised,
    packed,
    problem,
    quick,
    recurrent,
    sequences,
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
    "rows that are read several at once": lambda: (
        linear(),
        torch.utils.data.DataLoader(Several()),
    ),
    "rows by text": lambda: (
        linear(),
        torch.utils.data.DataLoader(Keyed(), sampler=list(Keyed.keys)),
    ),
    "rows of None that collate leaves out": lambda: (
        linear(),
        torch.utils.data.DataLoader(
            [None if number % 10 == 0 else problem(0.5)[number] for number in range(100)],
            collate_fn=lambda rows: torch.utils.data.default_collate([one for one in rows if one]),
        ),
    ),
    "packed sequences": lambda: (
        recurrent(),
        torch.utils.data.DataLoader(sequences(), collate_fn=packed),
    ),
    "a frozen dataclass of float64": lambda: (
        linear(),
        torch.utils.data.DataLoader(problem(0.5), collate_fn=Pair.of),
        None,
        lambda module, batch: torch.nn.functional.mse_loss(module(batch.x), batch.y),
    ),
    "a mapping with attributes": lambda: (
        linear(),
        torch.utils.data.DataLoader(
            problem(0.5),
            collate_fn=lambda rows: Named(
                zip("xy", torch.utils.data.default_collate(rows), strict=True)
            ),
        ),
        None,
        lambda module, batch: torch.nn.functional.mse_loss(module(batch.x), batch.y),
    ),
    "weights normalised in the old way": lambda: (
        torch.nn.utils.weight_norm(linear()),
        problem(0.5),
    ),
    "a module that keeps outputs": lambda: (called(KeepsOutputs()), problem(0.5)),
    "lazy layers": lambda: (torch.nn.LazyLinear(1), problem(0.5)),
    "a loss with weights": lambda: (linear(), problem(0.5), Weighted()),
    "complex numbers": lambda: (
        torch.nn.Linear(5, 1, dtype=torch.complex64),
        torch.utils.data.TensorDataset(*(one.to(torch.complex128) for one in problem(0.5).tensors)),
        lambda outputs, y: (outputs - y).abs().square().mean(),
    ),
    "a tuple of outputs": lambda: (
        TwoOutputs(),
        problem(0.5),
        lambda outputs, y: torch.nn.functional.mse_loss(outputs[0], y),
    ),
}


def called(module):
    module(problem(0.5)[:3][0])
    return module


class Weighted(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight, self.norm = torch.nn.Parameter(torch.ones(1)), torch.nn.BatchNorm1d(1)

    def forward(self, outputs, y):
        self.norm(y.repeat(2, 1))
        return (self.weight * (outputs - y) ** 2).mean()


def test_a_loss_with_weights_and_running_means_stays_as_it_was():
    loss = Weighted()
    quick(linear(), problem(0.5), loss=loss)
    assert loss.weight.grad is None
    assert loss.norm.num_batches_tracked == 0


def test_lazy_layers_begin_all_trials_from_the_same_weights():
    module = torch.nn.LazyLinear(1)
    bench = bench_of(module, problem(0.5))
    first, second = (bench.validation_loss(bench.copied()) for _ in range(2))
    assert first == second
    assert torch.nn.parameter.is_lazy(module.weight)


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
    bench = bench_of(linear(), problem(0.5))  # Which rows judge goes by the seed.
    row = int(bench.training[0])
    y[row] = torch.nan
    with pytest.raises(DivergedError, match=rf"loss of row {row} is NaN.*not the cause"):
        quick(linear(), torch.utils.data.TensorDataset(x, y))
