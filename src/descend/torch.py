"""Advice for a PyTorch model in a PyTorch loop: which batch size and learning rate to take."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from descend.errors import DivergedError, InputError
from descend.tuning.advice.noise import Products, gradient_noise
from descend.types import Advice, GradientNoise

SAMPLE_ROWS = 8192
"""Most rows that are read; the measurements need no more."""
JUDGES = 0.2
REFERENCE = 64
GROUPS, GROUP_ROWS = 48, 32
NEAR = 1.25
"""Sizes that take at most so many times the least time make little difference."""
SPREADS = (0.5, 1.0, 2.0)

Clock = Callable[[], float]
MakeOptimizer = Callable[[Any, float], Any]


def advise(
    module: Any,
    loss: Callable[[Any, Any], Any],
    dataset: Any,
    *,
    optimizer: MakeOptimizer | None = None,
    budget: float = 30.0,
    seed: int = 0,
    out: str | Path | None = None,
    force: bool = False,
    clock: Clock = time.perf_counter,
) -> Advice:
    """Find the batch size and the learning rate of a PyTorch model by measuring.

    A copy of the module is trained; the module itself and its optimizer stay as they are. What
    is measured: seconds per update, reading the rows from the dataset included; the gradient
    noise, before and after some updates; and short trials from the same weights, which decide.

    Args:
        module: a `torch.nn.Module`, on the device it is to be trained on.
        loss: `(outputs, y) -> mean loss of the batch`.
        dataset: a map-style dataset of pairs (x, y).
        optimizer: `(parameters, learning_rate) -> torch.optim.Optimizer`; None is SGD with
            momentum 0.9.
        budget: seconds that the advice may take, about.
        seed: of the rows and of their order.
        out: a folder for `advice.json` and `advice.html`; None writes nothing.
        force: replace an earlier advice in that folder.
        clock: seconds, for tests.

    Returns:
        The advice, with evidence in the form of that of `descend.advise`. A batch size is at most
        the rows of the dataset.

    Raises:
        InputError: torch is not installed, or the dataset has fewer than 20 rows.
        DivergedError: no learning rate was low enough.
    """
    from descend.commands.outputs import ADVICE, free_folder, write_record_and_page

    folder = None if out is None else free_folder(out, ADVICE, force=force)
    bench = _Bench.make(module, loss, dataset, optimizer, seed, clock)
    started = clock()
    seconds = bench.measure_speed(until=started + 0.2 * budget)
    reference = min(seconds, key=lambda size: abs(math.log(size / REFERENCE)))
    rates = bench.search_rates(reference, seconds[reference], 0.25 * budget)
    rate = min(rates, key=lambda one: rates[one])
    if not math.isfinite(rates[rate]):
        raise DivergedError("No learning rate was low enough: the loss left the finite numbers.")
    updates = max(10, int(0.05 * budget / seconds[reference]))
    trained, _ = bench.train(reference, rate, updates)
    noises = [bench.noise_record(0, bench.module), bench.noise_record(updates, trained)]
    scale = next((one["noise_scale"] for one in reversed(noises) if one["noise_scale"]), None)
    expected = {size: cost * (1.0 + (scale or 1.0) / size) for size, cost in seconds.items()}
    chosen = sorted(expected, key=lambda size: expected[size])[:3]
    trials = []
    slot = max(0.0, started + budget - clock()) / (len(chosen) * len(SPREADS))
    for size, spread in itertools.product(chosen, SPREADS):
        tried = spread * rate * _rate_factor(scale, size, reference)
        count = max(2, int(slot / seconds[size]))
        trials.append(_trial_record(size, tried, count, slot, bench.train(size, tried, count)[1]))
    alive = [one for one in trials if not one["diverged"]]
    if not alive:
        raise DivergedError("No trial stayed finite at the rates that went well before.")
    best = min(alive, key=lambda one: float(one["loss"]))
    size = best["batch_size"]
    near = [one for one in expected if expected[one] <= NEAR * expected[size]]
    good = [
        one["learning_rate"]
        for one in alive
        if one["batch_size"] == size and one["loss"] <= best["loss"] * 1.05 + 1e-12
    ]
    advice = Advice(
        batch_size=size,
        learning_rate=float(f"{best['learning_rate']:.3g}"),
        interval=(min(good), max(good)),
        flat_region=(min(*near, size), max(*near, size)),
        evidence={
            "goal": "time",
            "rows": len(bench.rows),
            "budget": budget,
            "given": [],
            "decided_by": "trial",
            "start_loss": bench.judged(bench.module),
            "target": best["loss"],
            "speed": [
                {"batch_size": one, "seconds_per_update": cost, "peak_memory": None}
                for one, cost in seconds.items()
            ],
            "reference": reference,
            "rates_at_reference": rates,
            "noise": noises,
            "trials": trials,
            "shortlist": chosen,
            "law": None,
            "curve": [],
            "undetermined": ["critical batch size"] + ([] if scale else ["noise scale"]),
        },
        cost=clock() - started,
    )
    if folder is not None:
        training = len(bench.rows)
        validation = min(len(dataset), SAMPLE_ROWS) - training
        content = {
            "advice": dataclasses.asdict(advice),
            "settings": {
                "batch_size": advice.batch_size,
                "learning_rate": advice.learning_rate,
                "optimizer": "of the loop",
            },
            "rows": {
                "training": training,
                "validation": validation,
                "total": len(dataset),
            },
            "task": "",
            "own": {"model": type(module).__name__},
        }
        write_record_and_page(folder, ADVICE, content)
    return advice


def _trial_record(
    size: int, rate: float, updates: int, seconds: float, loss: float
) -> dict[str, Any]:
    """A trial in the form of those of `descend.advise`."""
    finite = math.isfinite(loss)
    return {
        "batch_size": size,
        "learning_rate": rate,
        "updates": updates,
        "seconds": seconds,
        "loss": loss if finite else None,
        "diverged": not finite,
        "ratio": None,
        "losses": [[updates, loss]] if finite else [],
    }


def _rate_factor(scale: float | None, size: int, reference: int) -> float:
    """How the best rate moves with the batch: 1 / (1 + B*/B), McCandlish et al. 2018, 2.2."""
    if scale is None:
        return 1.0
    return (1.0 + scale / reference) / (1.0 + scale / size)


@dataclass
class _Bench:
    """A copy of the model and a sample of the rows, to train on as often as needed."""

    torch: Any
    module: Any
    loss: Callable[[Any, Any], Any]
    make_optimizer: MakeOptimizer
    dataset: Any
    device: Any
    rows: np.ndarray
    judging: tuple[Any, Any]
    random: np.random.Generator
    clock: Clock

    @classmethod
    def make(
        cls,
        module: Any,
        loss: Callable[[Any, Any], Any],
        dataset: Any,
        optimizer: MakeOptimizer | None,
        seed: int,
        clock: Clock,
    ) -> _Bench:
        try:
            import torch
        except ImportError:
            raise InputError(
                "Advice for a PyTorch model needs torch. Type: pip install 'descend[torch]'"
            ) from None
        if len(dataset) < 20:
            raise InputError(f"Expected a dataset of at least 20 rows, found {len(dataset)}.")
        random = np.random.default_rng(seed)
        rows = random.permutation(len(dataset))[:SAMPLE_ROWS]
        held = max(4, int(JUDGES * len(rows)))
        first = next(module.parameters())
        bench = cls(
            torch=torch,
            module=module,
            loss=loss,
            make_optimizer=optimizer
            or (lambda params, rate: torch.optim.SGD(params, lr=rate, momentum=0.9)),
            dataset=dataset,
            device=first.device,
            rows=rows[held:],
            judging=(None, None),
            random=random,
            clock=clock,
        )
        bench.judging = bench.batch(rows[:held])
        return bench

    def batch(self, rows: Sequence[int] | np.ndarray) -> tuple[Any, Any]:
        """The rows with these numbers, as a data loader puts them together."""
        gather = self.torch.utils.data.default_collate
        x, y = gather([self.dataset[int(row)] for row in rows])
        return x.to(self.device), y.to(self.device)

    def measure_speed(self, until: float) -> dict[int, float]:
        """Seconds per update by batch size: powers of four, as long as the time lasts."""
        found: dict[int, float] = {}
        size = 1
        while size <= len(self.rows):
            model = copy.deepcopy(self.module)
            rule = self.make_optimizer(model.parameters(), 1e-9)
            times = []
            for _ in range(4):
                started = self.clock()
                self._update(model, rule, self._draw(size))
                times.append(self.clock() - started)
            found[size] = max(1e-9, float(np.median(times[1:])))
            if self.clock() > until:
                break
            size *= 4
        return found

    def search_rates(self, size: int, seconds: float, budget: float) -> dict[float, float]:
        """The loss after a few updates at rates from 10⁻⁴ up, until it is far beyond the best."""
        found: dict[float, float] = {}
        count = min(300, max(10, int(budget / 10 / seconds)))
        for power in range(10):
            rate = 1e-4 * 10 ** (power / 2)
            found[rate] = self.train(size, rate, count)[1]
            if not math.isfinite(found[rate]) or found[rate] > 10.0 * min(found.values()):
                break
        return found

    def train(self, size: int, rate: float, updates: int) -> tuple[Any, float]:
        """A copy of the model after some updates, and its loss on the rows that judge."""
        model = copy.deepcopy(self.module)
        rule = self.make_optimizer(model.parameters(), rate)
        for number in range(updates):
            value = self._update(model, rule, self._draw(size))
            if number % 16 == 0 and not math.isfinite(value.item()):
                return model, math.inf
        return model, self.judged(model)

    def judged(self, model: Any) -> float:
        """The loss of a model on the rows that judge; infinite where it is not finite."""
        model = copy.deepcopy(model).eval()
        with self.torch.no_grad():
            value = float(self.loss(model(self.judging[0]), self.judging[1]))
        return value if math.isfinite(value) else math.inf

    def noise_record(self, updates: int, model: Any) -> dict[str, Any]:
        """The noise after some updates, in the form of those of `descend.advise`."""
        noise = self.noise(model)
        return {
            "updates": updates,
            "squared_norm": noise.squared_norm,
            "trace": noise.trace,
            "noise_scale": noise.noise_scale,
            "interval": [one if math.isfinite(one) else None for one in noise.interval],
            "rows": GROUPS * self.group_rows,
        }

    @property
    def group_rows(self) -> int:
        """Rows whose gradients are taken together for the noise."""
        return min(GROUP_ROWS, max(1, len(self.rows) // 16))

    def noise(self, model: Any) -> GradientNoise:
        """The gradient noise at the weights of a model, from the gradients of groups of rows."""
        model = copy.deepcopy(model)
        gradients = []
        for _ in range(GROUPS):
            model.zero_grad()
            x, y = self._draw(self.group_rows)
            self.loss(model(x), y).backward()
            parts = [one.grad.reshape(-1) for one in model.parameters() if one.grad is not None]
            gradients.append(self.torch.cat(parts).double().cpu().numpy())
        together = np.stack(gradients)
        nothing = np.zeros((0, 0))
        return gradient_noise(
            Products(together @ together.T, self.group_rows, nothing, np.zeros(0))
        )

    def _draw(self, size: int) -> tuple[Any, Any]:
        replace = size > len(self.rows)
        return self.batch(self.random.choice(self.rows, size, replace=replace))

    def _update(self, model: Any, rule: Any, batch: tuple[Any, Any]) -> Any:
        rule.zero_grad()
        value = self.loss(model(batch[0]), batch[1])
        value.backward()
        rule.step()
        if self.device.type == "cuda":
            self.torch.cuda.synchronize(self.device)
        return value.detach()
