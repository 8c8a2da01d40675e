"""Copies of a PyTorch model to measure on; the model itself is never trained."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from descend.errors import InputError
from descend.torch.optimizers import (
    MakeOptimizer,
    check_rate,
    new_optimizer,
    optimizer_factory,
    parameters_of,
)
from descend.torch.rows import (
    FEWEST_VALIDATION_ROWS,
    SAMPLE_ROWS,
    VALIDATION_PART,
    Clock,
    Rows,
)
from descend.torch.step import Loss, Step, usual_step

GROWTH = 4
"""Factor between the batch sizes that are timed."""
TURNS = 3
"""Times that a step or an evaluation is timed."""
EVALUATIONS = 100
"""The part of the budget that one evaluation may take; there are about twenty."""
MOST_SHUFFLED = 1 << 20
"""Rows whose numbers are shuffled as a whole; of more a sample is drawn."""
LOOKED_AT = 64
"""Rows that are looked at together for one without a finite loss."""
CHECKED_EVERY = 16
"""Updates between two checks that the loss is finite."""


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
        held_by = parameters_of(optimizer)
        # An optimizer of other parameters gives its options alone.
        trained = {name: one for name, one in trained.items() if id(one) in held_by} or trained
        device, dtype = learned[0].device, learned[0].dtype
        rows = Rows(data, collate, device, dtype, until, clock)
        random = np.random.default_rng(seed)
        if rows.count <= MOST_SHUFFLED:
            order = random.permutation(rows.count)[:SAMPLE_ROWS]
        else:
            order = random.choice(rows.count, SAMPLE_ROWS, replace=False)
        held = max(FEWEST_VALIDATION_ROWS, int(VALIDATION_PART * len(order)))
        read = rows.read_until(order[:held], until, clock)
        bench = cls(
            module=module,
            step=step or usual_step(_own_loss(loss, module)),
            make_optimizer=optimizer_factory(optimizer),
            rows=rows,
            training=order[held:],
            validation=rows.joined(read),
            validation_rows=len(read),
            random=random,
            device=device,
            clock=clock,
            trained=frozenset(trained),
        )
        bench._make_lazy_weights(rows.joined(read[:FEWEST_VALIDATION_ROWS]))
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
            source = self.module if model is None else model
            made = copy.deepcopy(source, _computed_tensors(source))
            return made if made.training else made.train()
        except Exception as error:
            raise InputError(
                f"The module cannot be copied (copy.deepcopy): {type(error).__name__}: {error}"
            ) from error

    def _make_lazy_weights(self, batch: Any) -> None:
        """Measure on a copy whose lazy layers have their weights: all trials begin from the same.

        The first call makes them; one that fails is told of by the first update.
        """
        import torch

        if not any(torch.nn.parameter.is_lazy(one) for one in self.module.parameters()):
            return
        made = self.copied()
        with contextlib.suppress(Exception), torch.no_grad():
            self.step(made.eval(), batch)
            self.module = made.train()

    def _try(self) -> None:
        """Make one update on a few rows, so that unusable input is reported at once."""
        for size in (1, 2):
            model = self.copied()
            rule = self.optimizer_of(model, 1e-9)
            check_rate([rule, self.optimizer_of(model, 2e-9)])
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
        if all(one.grad is None for one in model.parameters()):
            raise InputError(
                "The loss does not depend on the module that step gets, a copy of yours, but maybe "
                "on one by its name. Write step=lambda module, batch: loss(module(batch[0]), "
                "batch[1]), which uses its argument."
            )
        self._check_mean()

    def _check_mean(self) -> None:
        """Refuse a loss that is a sum: its gradient would grow with the batch."""
        for count in (4, 32):
            some = list(self.training[: min(count, len(self.training))])
            once, twice, four = (
                self._evaluated(self.rows.batch(some * times)) for times in (1, 2, 4)
            )
            first, second = twice - once, four - twice
            if not math.isfinite(first) or not first or not math.isfinite(second):
                return
            largest = max(abs(once), abs(twice), abs(four))
            # Beside the sum there may be a penalty; where the model draws noise, more rows tell.
            exact = abs(second / first - 2.0) < 0.01 and abs(first) > 1e-3 * largest
            rough = count > 4 and second / first > 1.4 and once and four / once > 2.5
            if exact or rough:
                raise InputError(
                    f"The loss is a sum over the rows: it is {once:.4g} for {len(some)} rows and "
                    f"{four:.4g} for each of them four times. Give the mean (reduction='mean')."
                )
            if abs(four) < 1.5 * abs(once):
                return

    def row_without_loss(self, until: float) -> int | None:
        """The number of a row whose loss is NaN or infinite at the weights of the user's module.

        None where all that are looked at by that time, several at once, have one.
        """
        for start in range(0, len(self.training), LOOKED_AT):
            some = list(self.training[start : start + LOOKED_AT])
            while not math.isfinite(self._evaluated(self.rows.batch(some))):
                if len(some) == 1:
                    return int(some[0])
                half = some[: len(some) // 2]
                finite = math.isfinite(self._evaluated(self.rows.batch(half)))
                some = some[len(half) :] if finite else half
            if self.clock() > until:
                break
        return None

    def optimizer_of(self, model: Any, learning_rate: float) -> Any:
        """A new optimizer of a copy of the model."""
        return new_optimizer(self.make_optimizer, model, self.trained, learning_rate)

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
        rule = self.optimizer_of(model, rate)
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
            return float(self.mean_loss(predicting, batch))

    def draw(self, size: int) -> Any:
        """A batch of random training rows."""
        replace = size > len(self.training)
        return self.rows.batch(self.random.choice(self.training, size, replace=replace))

    def update(self, model: Any, rule: Any, batch: Any) -> Any:
        """Make one update; returns the loss before it."""
        rule.zero_grad()
        value = self.mean_loss(model, batch)
        if not value.requires_grad:
            raise InputError(
                "The loss has no gradient: it was detached, or computed under torch.no_grad. step "
                "gives the loss as it is, without a call of backward or of the optimizer."
            )
        value.backward()
        rule.step()
        if self.device.type == "cuda":
            import torch

            torch.cuda.synchronize(self.device)
        return value.detach()

    def mean_loss(self, model: Any, batch: Any) -> Any:
        """The loss of a batch, as a tensor with a gradient."""
        value = self.step(model, batch)
        if not hasattr(value, "backward"):
            raise InputError(
                "Expected a loss that is a tensor, the mean over the batch; found "
                f"{type(value).__name__}."
            )
        return value.mean() if value.ndim else value  # reduction="none"


def _own_loss(loss: Any, module: Any) -> Any:
    """A copy of a loss that is a module: it may have weights and running means.

    Raises:
        InputError: its weights are those of the module that is trained.
    """
    import torch

    if not isinstance(loss, torch.nn.Module):
        return loss
    weights = {id(one) for one in module.parameters()}
    if any(id(one) in weights for one in loss.parameters()):
        raise InputError(
            "The loss holds the module that is trained, of which copies are trained here. Write "
            "step=lambda module, batch: ... with what the loss computes of `module`."
        )
    return copy.deepcopy(loss, _computed_tensors(loss))


def _computed_tensors(module: Any) -> dict[int, Any]:
    """Values for the tensors that a module keeps of its last call, which `deepcopy` refuses.

    Weights of `torch.nn.utils.weight_norm` are among them, and outputs that a hook has kept.
    """
    import torch

    found: dict[int, Any] = {}

    def look(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            if not value.is_leaf:
                found[id(value)] = value.detach().clone()
        elif isinstance(value, dict):
            for one in value.values():
                look(one)
        elif isinstance(value, list | tuple):
            for one in value:
                look(one)

    for part in module.modules():
        for name, value in vars(part).items():
            if name not in ("_parameters", "_buffers", "_modules"):
                look(value)
    return found
