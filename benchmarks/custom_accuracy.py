"""Does a custom model reach the test accuracy of the same network in a PyTorch loop?

The convolution of `custom_networks`, with batch normalization and dropout, on Fashion-MNIST. A pair
of runs has the same training rows, the same initial weights, the same number of updates, batch
size and Adam; the order of rows and the dropped units differ. Every pair has training rows of its
own. The difference is given with its interval over the pairs, for `descend.fit` as it is, which
keeps a running average of the weights, and for the weights after the last update.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import measure
from benchmarks.custom_networks import flax_model, torch_network
from benchmarks.small_batches import accuracy

AVERAGED, LAST, TORCH = "descend.fit", "descend.fit, last weights", "PyTorch by hand"
RATE, BATCH_SIZE = 1e-3, 64
WITHIN = 0.3
"""Points of accuracy within which the two are to be."""


class Ended(NamedTuple):
    """How a run ended: its test accuracy in percent, and the processor seconds that it took."""

    accuracy: float
    seconds: float


class Rows(NamedTuple):
    """Images and labels of one pair."""

    train: tuple[Any, Any]
    test: tuple[Any, Any]


def rows_of_pair(path: Path, rows: int, seed: int) -> Rows:
    """Training rows that are this pair's own as long as there are enough, and all test rows."""
    with np.load(path) as file:
        x, y = file["x_train"], file["y_train"].astype(np.int32)
        order = np.random.default_rng(0).permutation(len(y))
        start = seed * rows % max(1, len(y) - rows + 1)
        chosen = order[start : start + rows]
        return Rows((x[chosen], y[chosen]), (file["x_test"], file["y_test"].astype(np.int32)))


def with_weights_of(model: Any) -> Any:
    """The PyTorch network with the weights of the Flax one."""
    import torch

    network = torch_network("convolution")

    def copy(into: Any, values: Any) -> None:
        with torch.no_grad():
            into.copy_(torch.from_numpy(np.array(values)))

    for name in ("first", "second"):
        layer = getattr(model, name)
        copy(getattr(network, name).weight, layer.kernel[...].transpose(3, 2, 0, 1))
        copy(getattr(network, name).bias, layer.bias[...])
    copy(network.norm.weight, model.norm.scale[...])
    copy(network.norm.bias, model.norm.bias[...])
    # Flax has the channels of a place side by side, PyTorch the places of a channel.
    kernel = np.asarray(model.last.kernel[...]).reshape(7, 7, 32, 10)
    copy(network.last.weight, kernel.transpose(3, 2, 0, 1).reshape(10, -1))
    copy(network.last.bias, model.last.bias[...])
    return network


def run_here(rows: Rows, epochs: int, seed: int, averaging: bool) -> Ended:
    """`descend.fit`; the weights at the end are scored, as in the loop, and none are chosen."""
    import optax

    import descend

    scores = []

    def score_at_the_end(evaluation: descend.Evaluation) -> None:
        if evaluation.epoch == epochs:
            scores.append(evaluation.metrics["model"]["accuracy"])

    begun = time.process_time()
    descend.fit(
        flax_model("convolution", seed),
        rows.train,
        validation=rows.test,
        optimizer=optax.adam(RATE),
        batch_size=BATCH_SIZE,
        epochs=epochs,
        seed=seed,
        averaging=averaging,
        stop=lambda evaluation: False,
        callbacks=[score_at_the_end],
        quiet=True,
    )
    return Ended(100 * scores[-1], time.process_time() - begun)


def run_there(rows: Rows, epochs: int, seed: int) -> Ended:
    """The loop in PyTorch, from the same weights; it too scores the test rows after each epoch."""
    import torch

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    network = with_weights_of(flax_model("convolution", seed))
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    x, y = torch.from_numpy(rows.train[0]), torch.from_numpy(rows.train[1]).long()
    test = torch.from_numpy(rows.test[0])
    score = 0.0
    begun = time.process_time()
    for _ in range(epochs):
        network.train()
        order = torch.randperm(len(y))
        for start in range(0, len(y), BATCH_SIZE):
            chosen = order[start : start + BATCH_SIZE]
            value = torch.nn.functional.cross_entropy(network(x[chosen]), y[chosen])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            score = accuracy(network(test).numpy(), rows.test[1])
    return Ended(100 * score, time.process_time() - begun)


def report(found: dict[str, list[Ended]], rows: int, epochs: int) -> str:
    """A line for each candidate."""
    there = [one.accuracy for one in found[TORCH]]
    lines = []
    for name, each in found.items():
        scores = [one.accuracy for one in each]
        mean, low, high = measure.interval([a - b for a, b in zip(scores, there, strict=True)])
        lines.append(
            [
                name,
                f"{statistics.mean(scores):.2f} %",
                "" if name == TORCH else f"{mean:+.2f} ({low:+.2f} to {high:+.2f})",
                f"{statistics.median([one.seconds for one in each]):.1f}",
            ]
        )
    heads = ["convolution", "test accuracy", "over PyTorch, points (95 %)", "processor seconds"]
    updates = epochs * -(-rows // BATCH_SIZE)
    return (
        f"{measure.table(heads, lines)}\n\n{len(there)} pairs; each {rows:,} training rows, "
        f"{epochs} epochs, {updates:,} updates of {BATCH_SIZE} rows, Adam at {RATE}, scored on the "
        "10,000 test rows of Fashion-MNIST after each epoch. The seconds are those of a whole "
        "call, compiling included, in the median; PyTorch on one thread."
    )


def plot(found: dict[str, list[Ended]], path: Path) -> None:
    """The differences of all pairs, the means and their intervals, as an SVG."""
    there = [one.accuracy for one in found[TORCH]]
    sides = [name for name in found if name != TORCH]
    left, width, top, step, reach = 190, 420, 46, 52, 2.0

    def across(points: float) -> float:
        return left + width * (0.5 + min(max(points, -reach), reach) / (2 * reach))

    bottom = top + step * len(sides)
    band = across(WITHIN) - across(-WITHIN)
    parts = [
        f'<rect x="{across(-WITHIN):.1f}" y="{top - 20}" width="{band:.1f}" '
        f'height="{bottom - top}" fill="#e3e3e3"/>',
        *(
            f'<text x="{across(one):.1f}" y="{bottom + 4}" text-anchor="middle">{one:+g}</text>'
            for one in (-2, -1, 0, 1, 2)
        ),
    ]
    for place, name in enumerate(sides):
        y = top + step * place
        differences = [one.accuracy - b for one, b in zip(found[name], there, strict=True)]
        mean, low, high = measure.interval(differences)
        parts += [
            f'<text x="{left - 10}" y="{y + 4}" text-anchor="end">{name}</text>',
            *(
                f'<circle cx="{across(one):.1f}" cy="{y - 9}" r="3" fill="#888"/>'
                for one in differences
            ),
            f'<line x1="{across(low):.1f}" x2="{across(high):.1f}" y1="{y + 6}" y2="{y + 6}" '
            'stroke="#1f77b4" stroke-width="3"/>',
            f'<circle cx="{across(mean):.1f}" cy="{y + 6}" r="5" fill="#1f77b4"/>',
        ]
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 30} {bottom + 40}" '
        f'font-family="sans-serif" font-size="12">{"".join(parts)}<text x="{left}" '
        f'y="{bottom + 26}">points of test accuracy over the PyTorch loop; the band is '
        f"±{WITHIN}; grey: each pair</text></svg>\n"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks custom_accuracy")
    parser.add_argument("--data", type=Path, required=True, help="fashion_mnist.npz")
    parser.add_argument("--rows", type=int, default=6000, help="training rows of a run")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--no-save", action="store_true")
    options = parser.parse_args(arguments)
    found: dict[str, list[Ended]] = {AVERAGED: [], LAST: [], TORCH: []}
    for seed in range(options.pairs):
        rows = rows_of_pair(options.data, options.rows, seed)
        found[AVERAGED].append(run_here(rows, options.epochs, seed, averaging=True))
        found[LAST].append(run_here(rows, options.epochs, seed, averaging=False))
        found[TORCH].append(run_there(rows, options.epochs, seed))
        print(seed, *(f"{each[-1].accuracy:.2f} {each[-1].seconds:.1f}" for each in found.values()))
    facts = {name: [one._asdict() for one in each] for name, each in found.items()}
    text = report(found, options.rows, options.epochs)
    measure.record("custom_accuracy", text, facts, save=not options.no_save)
    if not options.no_save:
        plot(found, measure.RESULTS / "custom_accuracy.svg")


if __name__ == "__main__":
    main()
