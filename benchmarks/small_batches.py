"""Do small batches reach a better test accuracy, with batch normalization and without?

Masters & Luschi (2018, arXiv 1804.07612) trained networks at batch sizes from 2 to 4096 for equal
numbers of epochs, each at base learning rates (per row) by factors of two, and found the best and
most stable test accuracy between 2 and 32. Here the same is asked of a small convolutional network
on Fashion-MNIST, through `descend.fit`: plain SGD, a constant rate, no average of the weights.

Every run is kept as soon as it is over, so the command can be stopped and typed again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.measure import machine, table, versions

OUT = Path(__file__).parent.parent / "docs" / "small-batches"
BASE_RATES = tuple(2.0**power for power in range(-13, -3))
"""Learning rates per row: the rate of an update is the base rate times the batch size."""
SMALLEST_RATE, LARGEST_RATE = 2.0**-8, 4.0
"""Runs at lower rates learn too little in so few epochs; at higher ones all explode."""
FAR_BELOW = 0.1
"""Higher rates than one whose accuracy is so far below the best of its size are left out."""
NETWORKS = ("without batch norm", "with batch norm")


class Cell(NamedTuple):
    """One run.

    Attributes:
        network: one of `NETWORKS`.
        batch_size: rows per update.
        base_rate: learning rate per row.
        seed: of the weights and of the order of rows.
    """

    network: str
    batch_size: int
    base_rate: float
    seed: int

    @property
    def rate(self) -> float:
        """The learning rate of an update."""
        return self.base_rate * self.batch_size

    @property
    def key(self) -> str:
        """Its name in the file of results."""
        return f"{self.network}, {self.batch_size}, 2^{np.log2(self.base_rate):.0f}, {self.seed}"


def network(kind: str, seed: int) -> Any:
    """Two convolutions and a linear layer, in the shape of Flax's documentation."""
    from flax import nnx

    class Net(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.first = nnx.Conv(1, 16, (3, 3), strides=2, rngs=rngs)
            self.second = nnx.Conv(16, 32, (3, 3), strides=2, rngs=rngs)
            self.last = nnx.Linear(7 * 7 * 32, 10, rngs=rngs)
            normed = kind == "with batch norm"
            self.norms = nnx.List(
                [nnx.BatchNorm(width, rngs=rngs) for width in (16, 32)] if normed else []
            )

        def __call__(self, images: Any) -> Any:
            values = images[..., None] / 255.0 - 0.5
            for place, convolution in enumerate((self.first, self.second)):
                values = convolution(values)
                values = nnx.relu(self.norms[place](values) if self.norms else values)
            return self.last(values.reshape(len(values), -1))

    return Net(nnx.Rngs(seed))


def accuracy(probabilities: Any, y: Any) -> float:
    """The share of rows whose most probable class is theirs."""
    return float((probabilities.argmax(axis=1) == y).mean())


class ExplodedError(Exception):
    """The loss exploded; the run would go on at a lower rate, which is not the one asked for."""


def end_where_it_explodes() -> Any:
    """A callback that ends a run at the first message, which says that the loss exploded."""
    from descend.training.callback import Callback

    class End(Callback):
        def message(self, text: str) -> None:
            raise ExplodedError(text)

    return End()


def run_cell(cell: Cell, data: dict[str, Any], epochs: int) -> dict[str, Any]:
    """Train once; the accuracy is that of the weights at the end, on the test rows."""
    import descend

    begun = time.perf_counter()
    found: dict[str, Any] = {**cell._asdict(), "rate": cell.rate}
    try:
        run = descend.fit(
            network(cell.network, cell.seed),
            data["train"],
            validation=data["test"],
            metrics={"accuracy": accuracy},
            optimizer="sgd",
            batch_size=cell.batch_size,
            learning_rate=cell.rate,
            warmup=0.0,
            averaging=False,
            epochs=epochs,
            seed=cell.seed,
            stop=lambda evaluation: False,
            callbacks=[end_where_it_explodes()],
        )
    except ExplodedError:
        return {**found, "accuracy": None, "seconds": time.perf_counter() - begun}
    if run.stop_reason is descend.StopReason.INTERRUPTED:
        raise KeyboardInterrupt
    last = run.history[-1]
    return {
        **found,
        "accuracy": last.metrics["accuracy"],
        "test_loss": last.validation_loss,
        "epochs": last.epoch,
        "seconds": time.perf_counter() - begun,
    }


def read_data(path: Path, rows: int, test_rows: int) -> dict[str, Any]:
    """The first rows of the training and of the test images."""
    with np.load(path) as file:
        return {
            "train": (file["x_train"][:rows], file["y_train"][:rows]),
            "test": (file["x_test"][:test_rows], file["y_test"][:test_rows]),
        }


def best_rates(found: list[dict[str, Any]], network: str) -> list[list[Any]]:
    """For each batch size: its best base rate, the accuracy there, the range of rates near it."""
    lines = []
    mine = [one for one in found if one["network"] == network]
    for size in sorted({one["batch_size"] for one in mine}):
        means = means_by_rate(mine, size)
        if not means:
            continue
        best = max(means, key=lambda rate: means[rate])
        near = [rate for rate, value in means.items() if value >= means[best] - 0.01]
        lines.append(
            [
                size,
                _power(best),
                f"{best * size:.3g}",
                f"{100 * means[best]:.1f} %",
                f"{_power(min(near))} to {_power(max(near))}",
            ]
        )
    return lines


def means_by_rate(found: list[dict[str, Any]], size: int) -> dict[float, float]:
    """The mean accuracy over the seeds of each base rate at which no seed exploded."""
    rates: dict[float, list[Any]] = {}
    for one in found:
        if one["batch_size"] == size:
            rates.setdefault(one["base_rate"], []).append(one["accuracy"])
    return {
        rate: statistics.mean(values)
        for rate, values in sorted(rates.items())
        if None not in values
    }


def report(found: list[dict[str, Any]], facts: dict[str, Any], out: Path) -> None:
    """Print and keep what was found, and draw it."""
    heads = ["batch size", "best base rate", "rate", "test accuracy", "rates within a point"]
    parts = ["# Small batches and batch normalization", "", __doc__ or "", f"{facts['what']}", ""]
    for name in NETWORKS:
        lines = best_rates(found, name)
        if lines:
            parts += [f"## {name[0].upper()}{name[1:]}", "", table(heads, lines), ""]
    parts.append("![Test accuracy against batch size and base rate](small-batches.png)")
    text = "\n".join(parts)
    print(text)
    (out / "small-batches.md").write_text(text + "\n")
    facts = {**facts, "machine": machine(), "versions": versions()}
    (out / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")
    draw(found, out / "small-batches.png")


def draw(found: list[dict[str, Any]], path: Path) -> None:
    """Above, the best accuracy of each batch size; below, the accuracy at each base rate."""
    try:
        import matplotlib as mpl
    except ImportError:
        print("No figure: pip install matplotlib")
        return
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 3, figsize=(12, 3.8))
    for name, style in zip(NETWORKS, ("o-", "s--"), strict=True):
        mine = [one for one in found if one["network"] == name]
        sizes = sorted({one["batch_size"] for one in mine})
        means = {size: means_by_rate(mine, size) for size in sizes}
        best = [(size, max(each.values())) for size, each in means.items() if each]
        if best:
            panels[0].plot(*zip(*best, strict=True), style, label=name)
        panel = panels[1 + NETWORKS.index(name)]
        for size, each in means.items():
            if each:
                panel.plot(*zip(*each.items(), strict=True), ".-", label=f"{size}")
        panel.set(xlabel="base rate (per row)", title=name, xscale="log")
        panel.set_xscale("log", base=2)
        if best:
            top = max(value for _, value in best)
            panel.set_ylim(top - 0.2, top + 0.01)  # Where they differ; lower runs have failed.
        panel.legend(title="batch size", fontsize=7)
    panels[0].set(xlabel="batch size", ylabel="test accuracy", title="at its best rate")
    panels[0].set_xscale("log", base=2)
    panels[0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> None:
    """Run what is not there yet, then report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, required=True, help="fashion_mnist.npz")
    parser.add_argument("--rows", type=int, default=8_000, help="training rows")
    parser.add_argument("--test-rows", type=int, default=5_000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--step", type=int, default=2, help="factor between batch sizes")
    parser.add_argument("--smallest", type=int, default=2, help="smallest batch size")
    parser.add_argument("--largest", type=int, default=1024, help="largest batch size")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="4,000 rows, 4 epochs, 4 to 1024 by 4")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    if options.quick:
        options.rows, options.test_rows, options.epochs = 4_000, 2_000, 4
        options.smallest, options.step = 4, 4
    import jax

    options.out.mkdir(parents=True, exist_ok=True)
    seeds = f"{options.seeds} seed{'s' if options.seeds > 1 else ''}"
    fewest = options.epochs * -(-options.rows // options.largest)
    what = (
        f"{options.rows:,} training rows, {options.test_rows:,} test rows, {options.epochs} "
        f"epochs for every run, {seeds}; plain SGD at a constant rate; the accuracy is that "
        "of the weights at the end. In equal epochs a larger batch makes fewer updates, "
        f"{fewest:,} at {options.largest:,} rows: the table says what is learned in these "
        "epochs, not where training would end. Flax's running means move by 1 % at each "
        "update, so after fewer than some hundred updates they lag behind the weights, and "
        "the accuracies with batch norm at the largest sizes are lower than those of its "
        "training mode. A line of the figure ends where a run exploded, or after one whose "
        "accuracy was ten points below the best of its batch size. Of "
        f"{options.test_rows:,} test rows the accuracy is known to "
        f"{100 * 1.96 * (0.86 * 0.14 / options.test_rows) ** 0.5:.1f} points (95 %), and of one "
        "seed it says no more than that."
    )
    kept = options.out / "runs.jsonl"
    found = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    size_key = f"{options.rows}/{options.test_rows}/{options.epochs}"
    found = [one for one in found if one["size"] == size_key]
    done = {one["key"] for one in found}
    data = read_data(options.data, options.rows, options.test_rows)
    with tempfile.TemporaryDirectory() as cache:
        jax.config.update("jax_compilation_cache_dir", cache)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        for cell in cells(options.smallest, options.largest, options.step, options.seeds):
            if cell.key in done:
                continue
            one = {"key": cell.key, "size": size_key, **_found(cell, found, data, options.epochs)}
            found.append(one)
            with kept.open("a") as sink:
                sink.write(json.dumps(one) + "\n")
            told = one["accuracy"]
            shown = "exploded, or left out" if told is None else f"{100 * told:.1f} %"
            print(f"{cell.key}: {shown} in {one['seconds']:.1f} s", flush=True)
    report(found, {"what": what, "runs": len(found)}, options.out)


def _found(
    cell: Cell, found: list[dict[str, Any]], data: dict[str, Any], epochs: int
) -> dict[str, Any]:
    """The run, or that it is left out because a lower rate exploded or lost far too much."""
    alike = {"network": cell.network, "batch_size": cell.batch_size, "seed": cell.seed}
    lower = [
        one["accuracy"]
        for one in found
        if all(one[name] == value for name, value in alike.items())
        and one["base_rate"] < cell.base_rate
    ]
    best = max((one for one in lower if one is not None), default=0.0)
    if any(one is None or one < best - FAR_BELOW for one in lower):
        return {**cell._asdict(), "rate": cell.rate, "accuracy": None, "seconds": 0.0}
    return run_cell(cell, data, epochs)


def cells(smallest: int, largest: int, step: int, seeds: int) -> list[Cell]:
    """All runs; a large size and a small one take turns, so that an early stop shows both ends."""
    sizes = [smallest]
    while sizes[-1] * step <= largest:
        sizes.append(sizes[-1] * step)
    order = [size for pair in zip(sizes[::-1], sizes, strict=True) for size in pair]
    return [
        Cell(name, size, base, seed)
        for seed in range(seeds)
        for size in dict.fromkeys(order)
        for name in NETWORKS
        for base in BASE_RATES
        if SMALLEST_RATE <= base * size <= LARGEST_RATE
    ]


def _power(rate: float) -> str:
    return f"2^{np.log2(rate):.0f}"


if __name__ == "__main__":
    main()
