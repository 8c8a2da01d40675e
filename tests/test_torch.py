"""Advice for PyTorch models, on a problem whose noise is known."""

from __future__ import annotations

import copy
import itertools
import json
import math
import random

import jax
import numpy as np
import pytest

import descend.torch
from descend.errors import DivergedError, InputError
from descend.reporting.pages.advice import advice_page
from descend.reporting.text.advice import advice_text
from descend.torch.bench import Bench
from descend.types import Advice

try:
    import torch
except ImportError:
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="torch is an optional extra")


def problem(noise, rows=2000):
    source = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 5, generator=source)
    y = x @ torch.ones(5, 1) + noise * torch.randn(rows, 1, generator=source)
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


def bench_of(model, data, **options):
    defaults = {"step": None, "optimizer": None, "collate": None, "seed": 0}
    given = {**defaults, "until": math.inf, "budget": 1.0, "clock": lambda: 0.0, **options}
    loss = given.pop("loss", torch.nn.functional.mse_loss)
    return Bench.make(model, loss, data, **given)


@needs_torch
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
    found = bench.noise(model)
    assert found.squared_norm == pytest.approx(float(mean @ mean), rel=0.3)
    assert found.trace == pytest.approx(trace, rel=0.3)


@needs_torch
def test_its_noise_along_a_training_holds_the_difference_between_its_weights():
    bench = bench_of(linear(), problem(2.0))
    found = bench.noise_along(16, 0.02, 30)
    assert found.noise_scale is None or found.interval[0] < found.noise_scale < found.interval[1]
    assert found.trace > 0.0
    assert bench.noise_along(16, 1e6, 50) is None


@needs_torch
def test_a_rate_that_breaks_the_loss_is_not_taken():
    assert bench_of(linear(), problem(0.1)).train(16, 1e6, 50)[2] == math.inf


def normalised():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(5, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 1)
    )


def mapped(data):
    return [{"x": x, "y": y} for x, y in data]


def step_of_mappings(module, batch):
    return torch.nn.functional.mse_loss(module(batch["x"]), batch["y"])


class Stream(torch.utils.data.IterableDataset if torch else object):
    def __iter__(self):
        return iter([problem(0.5)[number] for number in range(200)])


class Sparse(torch.nn.Module if torch else object):
    def __init__(self):
        super().__init__()
        self.values = torch.nn.Embedding(10, 1, sparse=True)
        self.unused = torch.nn.Linear(3, 3)

    def forward(self, x):
        return self.values(x[:, 0])


def codes():
    x = torch.arange(200)[:, None] % 10
    return torch.utils.data.TensorDataset(x, x.float())


class KnownStream(Stream):
    """It has a length, and rows by number only in the base class, which refuses them."""

    def __len__(self):
        return 200


class Broken(list):
    def __getitem__(self, number):
        raise OSError("image 7 is damaged")


class TwoOutputs(torch.nn.Module if torch else object):
    def __init__(self):
        super().__init__()
        self.inner = linear()

    def forward(self, x):
        return self.inner(x), x


def ticking(step=1e-3):
    ticks = itertools.count()
    return lambda: next(ticks) * step


def quick(model, data, loss="mse", **options):
    if loss == "mse":
        loss = torch.nn.functional.mse_loss
    return descend.torch.advise(model, loss, data, **{"budget": 0.3, "clock": ticking(), **options})


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


@needs_torch
@pytest.mark.parametrize("case", CASES)
def test_what_a_loop_takes_is_taken(case):
    model, data, *more = CASES[case]()
    options = dict(zip(("loss", "step", "optimizer"), more, strict=False))
    advice = quick(model, data, **options)
    assert advice.batch_size >= (2 if case == "batch normalisation" else 1)


@needs_torch
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


@needs_torch
def test_rows_are_put_together_as_the_loader_does():
    seen = []

    def collate(rows):
        seen.append(len(rows))
        return torch.utils.data.default_collate(rows)

    quick(linear(), torch.utils.data.DataLoader(problem(0.5), collate_fn=collate))
    assert len(seen) > 10


def optimizers():
    return [
        torch.optim.AdamW,
        torch.optim.AdamW(linear().parameters(), lr=1e-3, betas=(0.8, 0.9)),
        torch.optim.SGD(linear().parameters(), lr=0.1, nesterov=True, momentum=0.5),
        lambda parameters, rate: torch.optim.Adam(parameters, lr=rate),
    ]


@needs_torch
@pytest.mark.parametrize("number", range(4))
def test_optimizers_come_in_several_forms(number):
    optimizer = optimizers()[number]
    before = repr(optimizer)
    assert quick(linear(), problem(0.5), optimizer=optimizer).learning_rate > 0
    assert repr(optimizer) == before


@needs_torch
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


@needs_torch
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


@needs_torch
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


@needs_torch
def test_a_loader_whose_data_set_makes_the_batches_is_refused():
    loader = torch.utils.data.DataLoader(problem(0.5), batch_size=None)
    with pytest.raises(InputError, match="batch_size=None"):
        bench_of(linear(), loader)


@needs_torch
def test_only_the_parameters_of_the_optimizer_are_trained():
    model = torch.nn.Sequential(torch.nn.Linear(5, 5), torch.nn.Linear(5, 1))
    rule = torch.optim.AdamW(model[1].parameters(), lr=0.1)
    bench = bench_of(model, problem(0.5), optimizer=rule)
    trained, *_ = bench.train(32, 0.1, 3)
    assert torch.equal(trained[0].weight, model[0].weight)
    assert not torch.equal(trained[1].weight, model[1].weight)


@needs_torch
def test_a_part_in_evaluation_mode_stays_so():
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(5), torch.nn.Linear(5, 1))
    model[0].eval()
    trained, *_ = bench_of(model, problem(0.5)).train(32, 0.1, 3)
    assert torch.equal(trained[0].running_mean, model[0].running_mean)
    trained, *_ = bench_of(model.eval(), problem(0.5)).train(32, 0.1, 3)
    assert not torch.equal(trained[0].running_mean, model[0].running_mean)


@needs_torch
def test_where_time_is_short_higher_rates_are_tried_and_the_rate_is_called_undetermined():
    def advised(seconds_per_call):
        ticks = itertools.count()
        return quick(
            linear(), problem(0.5), budget=4.0, clock=lambda: seconds_per_call * next(ticks)
        )

    advice = advised(0.1)
    short = advice.evidence
    rates = short["rates_at_reference"]
    assert min(rates, key=rates.get) == max(rates), "the time was over before a rate was too high"
    assert max(one["learning_rate"] for one in short["trials"]) > 5 * max(rates)
    assert "learning rate" in short["undetermined"]
    assert "No rate that was tried was too high" in " ".join(advice_text(advice).split())
    assert "learning rate" not in advised(4e-3).evidence["undetermined"]


@needs_torch
def test_a_slow_data_set_keeps_to_the_budget():
    class Clock:
        now = 0.0

        def __call__(self):
            return self.now

    clock = Clock()

    class Slow(torch.utils.data.Dataset):
        def __len__(self):
            return 5000

        def __getitem__(self, number):
            clock.now += 2e-3
            return problem_rows[number % 2000]

    problem_rows = problem(0.5)
    advice = quick(linear(), Slow(), budget=4.0, clock=clock)
    assert clock.now < 4.4
    assert advice.cost < 4.4


class SlowAt:
    """A clock that the parts of a loop move on, by as much as a loaded machine would."""

    now = 0.0

    def __call__(self):
        return self.now


@needs_torch
@pytest.mark.slow
@pytest.mark.parametrize("kind", [None, "AdamW"])
@pytest.mark.parametrize("stage", [0, 40, 150, 400])
def test_a_machine_that_becomes_slow_keeps_to_the_budget(stage, kind):
    clock, calls = SlowAt(), itertools.count()

    def step(module, batch):
        # From some step on everything takes fifty times as long as it did when it was timed.
        clock.now += 2e-4 * (50.0 if next(calls) >= stage else 1.0)
        return torch.nn.functional.mse_loss(module(batch[0]), batch[1])

    optimizer = kind and getattr(torch.optim, kind)
    options = {"step": step, "optimizer": optimizer, "budget": 2.5, "clock": clock}
    advice = quick(linear(), problem(0.5), None, **options)
    assert advice.cost == clock.now < 2.5 * 1.05
    trained = [one["updates"] for one in advice.evidence["trials"]]
    assert sum(trained) < next(calls)


@needs_torch
def test_evaluations_of_a_slow_model_take_fewer_rows():
    clock = SlowAt()

    def step(module, batch):
        clock.now += 1e-3 * len(batch[0])
        return torch.nn.functional.mse_loss(module(batch[0]), batch[1])

    options = {"step": step, "optimizer": None, "budget": 5.0, "clock": clock}
    advice = quick(linear(), problem(0.5), None, **options)
    assert clock.now < 5.0 * 1.1
    assert len(advice.evidence["trials"]) > 3
    assert len(advice.evidence["rates_at_reference"]) > 3


@needs_torch
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"module": "relu"}, "none that requires a gradient"),
        ({"data": 3}, "Expected a data set"),
        ({"data": "mappings"}, "a mapping of 'x', 'y'.*step="),
        ({"data": "triples"}, "found 3 parts"),
        ({"loss": None}, "Expected loss as a function"),
        ({"loss": "sum"}, "it is a sum over the rows"),
        ({"loss": "number"}, "a loss that is a tensor"),
        ({"loss": "broken"}, "A step on 2 rows fails"),
        ({"optimizer": 3}, "Expected optimizer="),
        ({"optimizer": dict}, "Expected optimizer="),
        ({"budget": 0}, "budget must be seconds"),
        ({"budget": math.inf}, "budget must be seconds"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"module": "class"}, "found the class Linear"),
        ({"module": "scripted"}, "TorchScript"),
        ({"module": "two"}, r"a tuple: .*loss=lambda outputs, y: your_loss\(outputs\[0\], y\)"),
        ({"loss": "loss class"}, r"make one of it, MSELoss\(\)"),
        ({"data": "damaged"}, r"fails at row \d+: OSError: image 7 is damaged"),
        ({"data": "arrays"}, "found 2 arrays"),
        ({"data": "ragged"}, "Rows cannot be made into a batch.*collate= says how"),
    ],
)
def test_what_cannot_be_used_is_named(change, said):
    kinds = {
        "relu": torch.nn.ReLU(),
        "mappings": mapped(problem(0.5)),
        "triples": [(x, y, 1.0) for x, y in problem(0.5)],
        "sum": torch.nn.MSELoss(reduction="sum"),
        "ragged": [(torch.ones(1 + row % 3), row) for row in range(40)],
        "number": lambda outputs, y: 3.0,
        "class": torch.nn.Linear,
        "damaged": Broken([0] * 100),
        "scripted": torch.jit.script(linear()),
        "two": TwoOutputs(),
        "loss class": torch.nn.MSELoss,
        "arrays": dict(zip("xy", problem(0.5).tensors, strict=True)),
        "broken": lambda outputs, y: outputs.nothing,
    }
    given = {
        name: kinds.get(value, value) if isinstance(value, str) else value
        for name, value in change.items()
    }
    model, data = given.pop("module", linear()), given.pop("data", problem(0.5))
    with pytest.raises(InputError, match=said):
        quick(model, data, **given)


@needs_torch
def test_losses_below_zero_are_searched_as_those_above() -> None:
    """Their multiples are lower: the search had ended at the first rate."""

    def shifted(outputs, y):
        return ((outputs - y) ** 2).mean() - 9.0

    found = quick(linear(), problem(0.5), loss=shifted)
    assert len(found.evidence["rates_at_reference"]) > 3
    assert found.interval[0] <= found.learning_rate * 1.01


@needs_torch
def test_a_loss_that_is_no_number_at_the_start_is_not_blamed_on_the_rate():
    x, y = problem(0.5).tensors
    with pytest.raises(DivergedError, match="before the first update"):
        quick(linear(), torch.utils.data.TensorDataset(x * torch.nan, y))


@needs_torch
def test_too_few_rows_are_refused():
    with pytest.raises(InputError, match="at least 20"):
        descend.torch.advise(linear(), torch.nn.functional.mse_loss, problem(0.1, rows=10))


def test_without_torch_the_message_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match="pip install torch"):
        descend.torch.advise(None, None, [])


@needs_torch
def test_two_arrays_are_answered_with_a_data_set_of_them():
    X, y = problem(0.1).tensors
    for arrays in ((X, y), [X.numpy(), y.numpy()]):
        with pytest.raises(InputError, match=r"found 2 arrays\. Give torch"):
            descend.torch.advise(linear(), torch.nn.functional.mse_loss, arrays, budget=1)


@needs_torch
def test_a_loss_that_takes_the_target_first_gets_it_first():
    def entropy(y_true, y_pred):
        return torch.nn.functional.binary_cross_entropy(y_pred, y_true)

    model = torch.nn.Sequential(linear(), torch.nn.Sigmoid())
    x, y = problem(0.5).tensors
    rows = torch.utils.data.TensorDataset(x, (y > 0).float())
    found = [bench_of(model, rows, loss=one) for one in (entropy, torch.nn.BCELoss())]
    assert len({one.validation_loss(one.copied()) for one in found}) == 1


@needs_torch
@pytest.mark.parametrize("own", [True, False])
def test_a_loss_that_compares_every_row_with_every_other_is_refused(own):
    x, y = problem(0.5).tensors
    rows = torch.utils.data.TensorDataset(x, y[:, 0])
    loss = (lambda outputs, y: ((outputs - y) ** 2).mean()) if own else torch.nn.MSELoss()
    with pytest.raises(InputError, match=r"shape \[\d+, 1\] and y \[\d+\].*outputs.squeeze\(-1\)"):
        bench_of(linear(), rows, loss=loss)


@needs_torch
def test_a_batch_that_is_a_mapping_is_answered_by_its_keys():
    rows = [{"x": torch.ones(5), "y": torch.ones(1)}] * 100
    with pytest.raises(InputError, match=r"loss\(module\(batch\['x'\]\), batch\['y'\]\)"):
        bench_of(linear(), rows)
