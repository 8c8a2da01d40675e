"""Measurements on copies of a PyTorch model; the model itself is never trained."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from descend.defaults import MOMENTUM
from descend.errors import DescendError, InputError
from descend.runtime.argument_order import outputs_first
from descend.torch.rows import (
    FEWEST_VALIDATION_ROWS,
    SAMPLE_ROWS,
    VALIDATION_PART,
    Clock,
    Rows,
)
from descend.tuning.advice.noise import Products, gradient_noise, noise_of_runs
from descend.types import GradientNoise

GROUPS, GROUP_ROWS = 48, 32
FEWEST_GROUPS = 8
POINTS, PART, TRAINED = 3, 0.6, 0.75
"""Weights of a training whose noise is averaged, from this part of its updates on; and the fraction
of the time that the training may take."""
GROWTH = 4
"""Factor between the batch sizes that are timed."""
TURNS = 3
EVALUATIONS = 100
"""The part of the budget that one evaluation may take; there are about twenty."""
FIRST_RATE = 8
"""The part of the search for rates that the first rate may take."""
CHECKED_EVERY = 16
"""Updates between two checks that the loss is finite."""

MakeOptimizer = Callable[[Any, float], Any]
Loss = Callable[[Any, Any], Any]
Step = Callable[[Any, Any], Any]


@dataclass
class Bench:
    """The model, loss and rows that the measurements share.

    Attributes:
        module: the user's; only copies of it are trained.
        step: `(module, batch) -> mean loss`.
        make_optimizer: `(parameters, learning_rate) -> optimizer`.
        rows: of the data set.
        training: numbers of the rows to train on.
        validation: a batch that is not trained on.
        validation_rows: how many rows it has.
        random: draws the batches.
        device: of the module.
        clock: seconds.
        trained: names of the parameters that are trained.
        smallest: the smallest batch that the module accepts in training mode.
    """

    module: Any
    step: Step
    make_optimizer: MakeOptimizer
    rows: Rows
    training: np.ndarray
    validation: Any
    validation_rows: int
    random: np.random.Generator
    device: Any
    clock: Clock
    trained: frozenset[str]
    smallest: int = 1

    @classmethod
    def make(
        cls,
        module: Any,
        loss: Loss | None,
        data: Any,
        *,
        step: Step | None,
        optimizer: Any,
        collate: Any,
        seed: int,
        until: float,
        budget: float,
        clock: Clock,
    ) -> Bench:
        """A Bench, after trying one step.

        Rows are read until `until`; `budget` are the seconds of all measurements.

        Raises:
            InputError: the module, the data or the loss cannot be used.
        """
        named = dict(module.named_parameters()) if hasattr(module, "named_parameters") else {}
        trained = {name: one for name, one in named.items() if one.requires_grad}
        learned = list(trained.values())
        if not learned:
            raise InputError(
                f"Expected a torch.nn.Module with parameters to train; {type(module).__name__} has "
                "none that requires a gradient."
            )
        held_by = _parameters_of(optimizer)
        # An optimizer of other parameters gives its options alone.
        trained = {name: one for name, one in trained.items() if id(one) in held_by} or trained
        device, dtype = learned[0].device, learned[0].dtype
        rows = Rows(data, collate, device, dtype, until, clock)
        random = np.random.default_rng(seed)
        order = random.permutation(rows.count)[:SAMPLE_ROWS]
        held = max(FEWEST_VALIDATION_ROWS, int(VALIDATION_PART * len(order)))
        read = rows.read_until(order[:held], until, clock)
        bench = cls(
            module=module,
            step=step or _usual_step(loss),
            make_optimizer=_factory(optimizer),
            rows=rows,
            training=order[held:],
            validation=rows.joined(read),
            validation_rows=len(read),
            random=random,
            device=device,
            clock=clock,
            trained=frozenset(trained),
        )
        bench._try()
        bench.hold_out(read, budget / EVALUATIONS)
        return bench

    def hold_out(self, rows: list[Any], seconds: float) -> None:
        """Validate on as many of these rows as one evaluation in this time allows."""
        size, took = 0, math.inf
        self.validation_rows = 0
        while size < len(rows):
            size = min(len(rows), max(FEWEST_VALIDATION_ROWS, GROWTH * size))
            batch = self.rows.joined(rows[:size])
            for _ in range(TURNS):  # The shortest: another process may come between.
                started = self.clock()
                self._evaluated(batch)
                took = self.clock() - started
                if took <= seconds:
                    break
            if took > seconds and self.validation_rows:
                return
            self.validation, self.validation_rows = batch, size
            if took > seconds:
                return

    def copied(self, model: Any = None) -> Any:
        """A copy of a model (None: the user's) in training mode.

        Parts of a module in training mode that are in evaluation mode stay so: that is how a loop
        keeps the running means of a frozen trunk.
        """
        import torch

        if isinstance(self.module, torch.jit.ScriptModule):
            raise InputError(
                "A module of TorchScript cannot be copied with weights that can be trained; give "
                "the module that it was made of."
            )
        try:
            made = copy.deepcopy(self.module if model is None else model)
            return made if made.training else made.train()
        except Exception as error:
            raise InputError(
                f"The module cannot be copied (copy.deepcopy): {type(error).__name__}: {error}"
            ) from error

    def _try(self) -> None:
        """Make one update on a few rows, so that unusable input is reported at once."""
        for size in (1, 2):
            model = self.copied()
            rule = self._rule(model, 1e-9)
            try:
                self.update(model, rule, self.draw(size))
            except InputError:
                raise
            except Exception as error:
                # Batch normalization needs at least two rows; what else fails, fails again.
                if size == 1:
                    continue
                said = str(error).splitlines()[0].rstrip(".") if str(error) else ""
                raise InputError(
                    f"A step on {size} row{'s' if size > 1 else ''} fails: {type(error).__name__}: "
                    f"{said}. Rows are collated as a DataLoader does, a batch is (x, y), and "
                    "loss(module(x), y) is taken; step=lambda module, batch: ... -> loss takes "
                    "anything else, collate= makes batches of rows in another way."
                ) from error
            self.smallest = size
            break
        self._check_mean()

    def _check_mean(self) -> None:
        """Refuse a loss that is a sum: its gradient would grow with the batch."""
        some = self.training[: min(8, len(self.training))]
        once, twice = (self._evaluated(self.rows.batch(one)) for one in (some, [*some, *some]))
        if once and math.isfinite(once) and abs(twice / once - 2.0) < 1e-3:
            raise InputError(
                "The loss of a batch twice as large is twice as large: it is a sum over the rows. "
                "Give the mean (reduction='mean')."
            )

    def _rule(self, model: Any, rate: float) -> Any:
        try:
            rule = self.make_optimizer(
                [one for name, one in model.named_parameters() if name in self.trained], rate
            )
            if not (hasattr(rule, "step") and hasattr(rule, "zero_grad")):
                raise TypeError(f"it gives {type(rule).__name__}")
        except DescendError:
            raise
        except Exception as error:
            raise InputError(
                "Expected optimizer=(parameters, learning_rate) -> torch.optim.Optimizer, such as "
                "lambda parameters, rate: torch.optim.AdamW(parameters, lr=rate), a class such as "
                f"torch.optim.AdamW, or an optimizer to take the options of; {error}."
            ) from error
        return rule

    def measure_speed(self, until: float) -> dict[int, float]:
        """Seconds per update by batch size, for powers of four while time remains."""
        found: dict[int, float] = {}
        size = self.smallest
        while size <= len(self.training):
            model = self.copied()
            rule = self._rule(model, 1e-9)
            times = []
            for _ in range(1 + TURNS):
                started = self.clock()
                self.update(model, rule, self.draw(size))
                times.append(self.clock() - started)
                if self.clock() > until:
                    break
            found[size] = max(1e-9, float(np.median(times[1:] or times)))
            if self.clock() + GROWTH * found[size] > until:
                break
            size *= GROWTH
        return found

    def search_rates(self, size: int, seconds: float, until: float) -> dict[float, float]:
        """The loss after a few updates at rates from 10⁻⁴ up, until it is far above the best.

        Args:
            size: rows per update.
            seconds: of an update, as measured before.
            until: when the search is to be over, by the clock.
        """
        found: dict[float, float] = {}
        left = max(0.0, until - self.clock())
        count = min(300, max(2, int(left / 10 / seconds)))
        for power in range(10):
            rate = 1e-4 * 10 ** (power / 2)
            if found:
                _, made, loss = self.train(size, rate, count, until)
                if made < count and math.isfinite(loss):
                    break  # Fewer updates than the others had: nothing to compare.
            else:
                first = self.clock() + left / FIRST_RATE
                _, count, loss = self.train(size, rate, count, first)
            found[rate] = loss
            if not math.isfinite(loss) or loss > self._far_above(min(found.values())):
                break
            if self.clock() > until:
                break
        return found

    def _far_above(self, best: float) -> float:
        """A loss that only a rate that is too high can give, where the best is this one.

        Losses below zero, such as log densities, have no multiples: they are compared with the
        loss of the module as it came.
        """
        if best > 0:
            return 10.0 * best
        start = self.validation_loss(self.module)
        return start + max(abs(start), abs(best))

    def train(
        self, size: int, rate: float, updates: int, until: float = math.inf
    ) -> tuple[Any, int, float]:
        """A copy of the model after some updates, how many, and its loss on the validation rows.

        There are fewer than asked for where the time is over before.
        """
        [(model, made, finite)] = self.train_past(size, rate, [max(1, updates)], until)
        return model, made, self.validation_loss(model) if finite else math.inf

    def train_past(
        self, size: int, rate: float, stops: Sequence[int], until: float = math.inf
    ) -> Iterator[tuple[Any, int, bool]]:
        """A copy of the model after these numbers of updates, and whether its loss is finite.

        It is the same copy, trained on; there are no more once the loss is not finite, or the time
        is over.
        """
        model = self.copied()
        rule = self._rule(model, rate)
        for number in range(max(stops)):
            value = self.update(model, rule, self.draw(size))
            if number % CHECKED_EVERY == 0 and not math.isfinite(value.item()):
                yield model, number + 1, False
                return
            late = number > 0 and self.clock() > until
            if late or number + 1 in stops:
                yield model, number + 1, True
            if late:
                return

    def validation_loss(self, model: Any) -> float:
        """The loss of a model on the validation rows; infinite where it is not finite."""
        value = self._evaluated(self.validation, model)
        return value if math.isfinite(value) else math.inf

    def _evaluated(self, batch: Any, model: Any = None) -> float:
        import torch

        predicting = self.copied(model).eval()
        with torch.no_grad():
            return float(self._mean(self.step(predicting, batch)))

    def noise(self, model: Any, until: float = math.inf) -> GradientNoise | None:
        """The gradient noise at the weights of a model, from the gradients of groups of rows.

        None if time runs out before there are enough groups.
        """
        measured = self._products(model, GROUPS, until)
        return None if measured is None else gradient_noise(measured)

    def noise_along(
        self, size: int, rate: float, updates: int, until: float = math.inf
    ) -> GradientNoise | None:
        """The mean noise at some weights of the last updates of a training.

        Its interval holds the difference between them. None if time runs out before that.

        Args:
            size: rows per update.
            rate: learning rate.
            updates: of the training.
            until: when it is to be over, by the clock.
        """
        stops = sorted({max(1, round(one)) for one in np.linspace(PART * updates, updates, POINTS)})
        trained_until = self.clock() + TRAINED * (until - self.clock())
        measured = []
        for model, _, finite in self.train_past(size, rate, stops, trained_until):
            found = self._products(model, GROUPS // POINTS, until) if finite else None
            if found is not None:
                measured.append(found)
        if not measured:
            return None
        groups = min(len(one.products) for one in measured)
        kept = [one._replace(products=one.products[:groups, :groups]) for one in measured]
        return noise_of_runs([kept])

    def _products(self, model: Any, groups: int, until: float) -> Products | None:
        """Inner products of the gradients of groups of rows; None if there are too few in time."""
        import torch

        model = self.copied(model)
        gradients = []
        for _ in range(groups):
            model.zero_grad()
            self._mean(self.step(model, self.draw(self.group_rows))).backward()
            # A part of the model that these rows do not reach has no gradient: zero.
            parts = [
                (torch.zeros_like(one) if one.grad is None else one.grad.to_dense()).reshape(-1)
                for name, one in model.named_parameters()
                if name in self.trained
            ]
            gradients.append(torch.cat(parts).double().cpu().numpy())
            if self.clock() > until:
                break
        if len(gradients) < FEWEST_GROUPS:
            return None
        together = np.stack(gradients)
        nothing = np.zeros((0, 0))
        return Products(together @ together.T, self.group_rows, nothing, np.zeros(0))

    @property
    def group_rows(self) -> int:
        """Rows in a group whose mean gradient is one sample for the noise."""
        return max(self.smallest, min(GROUP_ROWS, len(self.training) // 16))

    def draw(self, size: int) -> Any:
        """A batch of random training rows."""
        replace = size > len(self.training)
        return self.rows.batch(self.random.choice(self.training, size, replace=replace))

    def update(self, model: Any, rule: Any, batch: Any) -> Any:
        """Make one update; returns the loss before it."""
        rule.zero_grad()
        value = self._mean(self.step(model, batch))
        value.backward()
        rule.step()
        if self.device.type == "cuda":
            import torch

            torch.cuda.synchronize(self.device)
        return value.detach()

    def _mean(self, value: Any) -> Any:
        if not hasattr(value, "backward"):
            raise InputError(
                "Expected a loss that is a tensor, the mean over the batch; found "
                f"{type(value).__name__}."
            )
        return value.mean() if value.ndim else value  # reduction="none"


def _usual_step(loss: Loss | None) -> Step:
    """`loss(module(x), y)` for batches `(x, y)`."""
    if loss is None or not callable(loss):
        raise InputError(
            "Expected loss as a function (outputs, y) -> mean of the batch, or step=(module, "
            f"batch) -> loss; found {loss!r}."
        )

    import torch

    if isinstance(loss, type) and issubclass(loss, torch.nn.Module):
        raise InputError(
            f"Expected loss as a function (outputs, y) -> mean of the batch; found the class "
            f"{loss.__name__}: make one of it, {loss.__name__}()."
        )
    loss, checked = outputs_first(loss), False

    def step(module: Any, batch: Any) -> Any:
        nonlocal checked
        if not isinstance(batch, list | tuple) or len(batch) != 2:
            found = (
                f"a mapping of {', '.join(map(repr, batch))}"
                if isinstance(batch, Mapping)
                else f"{len(batch)} parts"
                if isinstance(batch, Sequence)
                else type(batch).__name__
            )
            raise InputError(
                f"Expected batches (x, y), found {found}. Say what your loop does with one: "
                f"step=lambda module, batch: loss(module({_part(batch, 0)}), {_part(batch, 1)})."
            )
        x, y = batch
        if isinstance(x, Mapping):
            outputs = module(**x)
        else:
            outputs = module(*x) if isinstance(x, list | tuple) else module(x)
        if not isinstance(outputs, torch.Tensor):
            try:
                return loss(outputs, y)
            except Exception as error:
                raise InputError(_of_parts(outputs, error)) from error
        if not checked and len(y) > 1:
            _check_widths(loss, outputs, y)
            checked = True
        return loss(outputs, y)

    return step


def _of_parts(outputs: Any, error: Exception) -> str:
    """What to write where the outputs of a module are no tensor, and the loss fails on them."""
    part = f"outputs[{next(iter(outputs), 'name')!r}]" if isinstance(outputs, Mapping) else None
    return (
        f"The loss fails on the outputs of the module, a {type(outputs).__name__}: "
        f"{type(error).__name__}: {error}. Name the part that is compared with y: "
        f"loss=lambda outputs, y: your_loss({part or 'outputs[0]'}, y)."
    )


def _part(batch: Any, place: int) -> str:
    """How a part of a batch is written."""
    if isinstance(batch, Mapping) and len(batch) > place:
        return f"batch[{list(batch)[place]!r}]"
    return f"batch[{place}]"


def _check_widths(loss: Loss, outputs: Any, y: Any) -> None:
    """Raise InputError where [B, 1] and [B] are spread to [B, B], every row with every other."""
    shapes = [tuple(getattr(one, "shape", ())) for one in (outputs, y)]
    narrow, wide = sorted(shapes, key=len)
    if wide != (*narrow, 1):
        return
    flat = [one.reshape(narrow) for one in (outputs, y)]
    try:
        apart, spread = (float(loss(*both).detach().mean()) for both in (flat, (outputs, y)))
    except Exception:
        return  # The loss wants the shapes that it gets.
    if not math.isclose(apart, spread, rel_tol=1e-4, abs_tol=1e-12):
        raise InputError(
            f"Outputs have the shape {list(shapes[0])} and y {list(shapes[1])}: the loss compares "
            "every row with every other. Give both one shape: y[:, None], or outputs.squeeze(-1)."
        )


def _parameters_of(optimizer: Any) -> set[int]:
    """The identities of the parameters that an optimizer moves; none where it is a factory."""
    import torch

    if not isinstance(optimizer, torch.optim.Optimizer):
        return set()
    return {id(one) for group in optimizer.param_groups for one in group["params"]}


def _factory(optimizer: Any) -> MakeOptimizer:
    """A factory of optimizers: the user's function or class, or that of an optimizer."""
    import torch

    if optimizer is None:
        return lambda parameters, rate: torch.optim.SGD(parameters, lr=rate, momentum=MOMENTUM)
    if isinstance(optimizer, torch.optim.Optimizer):
        if len(optimizer.param_groups) > 1:
            raise InputError(
                "The optimizer has several groups of parameters; say how to make it anew: "
                "optimizer=lambda parameters, rate: torch.optim.AdamW(parameters, lr=rate)."
            )
        kind = type(optimizer)
        # Some defaults are no arguments: AdamW sets them for the class that it derives from.
        named = inspect.signature(kind).parameters
        group = optimizer.param_groups[0]
        options = {name: group[name] for name in optimizer.defaults if name in named}
        return lambda parameters, rate: kind(parameters, **{**options, "lr": rate})
    if not callable(optimizer):
        raise InputError(
            "Expected optimizer=(parameters, learning_rate) -> torch.optim.Optimizer; found "
            f"{optimizer!r}."
        )
    make: MakeOptimizer = optimizer
    return make
