"""Made tables, each of a kind that people have and that real tables hold only by chance.

Each function draws some rows and says what depends on what; the rest of a row, where it says
nothing of it, is noise. What is fixed of a kind, such as the effects of its shops, is drawn by a
seed of its own, so that another seed of the rows is another sample of the same world.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

Numbers = npt.NDArray[np.float64]
Values = npt.NDArray[Any]
Random = np.random.Generator
Made = tuple[dict[str, Values], Values]
"""The columns by their names, and the target: numbers, or labels as text."""

KINDS: dict[str, Callable[[Random, int], Made]] = {}
TARGET = "target"


def table(kind: str, rows: int, seed: int) -> pd.DataFrame:
    """Rows of a kind, the target last."""
    import pandas as pd

    columns, target = KINDS[kind](np.random.default_rng(seed), rows)
    return pd.DataFrame({**columns, TARGET: target})


def is_labelled(frame: pd.DataFrame) -> bool:
    """Whether the target is labels."""
    return not np.issubdtype(np.asarray(frame[TARGET]).dtype, np.number)


def _kind(make: Callable[[Random, int], Made]) -> Callable[[Random, int], Made]:
    KINDS[make.__name__] = make
    return make


def _named(x: Values, letter: str = "x") -> dict[str, Values]:
    return {f"{letter}{place}": x[:, place] for place in range(x.shape[1])}


def _world(seed: int) -> Random:
    """What is fixed of a kind."""
    return np.random.default_rng(1000 + seed)


def _labels(random: Random, logits: Numbers, names: tuple[str, str] = ("no", "yes")) -> Values:
    return np.where(random.random(len(logits)) < 1 / (1 + np.exp(-logits)), names[1], names[0])


def _friedman(x: Numbers) -> Numbers:
    """Friedman 1991, without its noise: deviation about 5."""
    found: Numbers = (
        10 * np.sin(np.pi * x[:, 0] * x[:, 1])
        + 20 * (x[:, 2] - 0.5) ** 2
        + 10 * x[:, 3]
        + 5 * x[:, 4]
    )
    return found


@_kind
def friedman(random: Random, rows: int) -> Made:
    """Five smooth columns of ten."""
    x = random.random((rows, 10))
    return _named(x), _friedman(x) + random.normal(size=rows)


@_kind
def few_rows(random: Random, rows: int) -> Made:
    """The same, a thirteenth of the rows."""
    return friedman(random, max(500, rows // 13))


@_kind
def linear(random: Random, rows: int) -> Made:
    """A straight line in 30 columns under much noise."""
    x = random.normal(size=(rows, 30))
    return _named(x), x @ _world(1).normal(size=30) + 3 * random.normal(size=rows)


@_kind
def noise_columns(random: Random, rows: int) -> Made:
    """Friedman's five columns among 105."""
    columns, y = friedman(random, rows)
    return {**columns, **_named(random.normal(size=(rows, 100)), "z")}, y


@_kind
def noise_codes(random: Random, rows: int) -> Made:
    """Whole numbers of many values that mean nothing."""
    columns, y = friedman(random, rows)
    codes = {f"n{most}": random.integers(0, most, rows) for most in (1_200, 3_000, 100_000)}
    return {**columns, **codes}, 0.3 * y + 1.5 * random.normal(size=rows)


@_kind
def boxes(random: Random, rows: int) -> Made:
    """A sum of 40 boxes with edges along the columns: what trees are made of."""
    world, x = _world(2), random.random((rows, 8))
    y = np.zeros(rows)
    for _ in range(40):
        (first, second), (above, below) = world.integers(8, size=2), world.random(2)
        y += world.normal() * ((x[:, first] > above) & (x[:, second] < below))
    return _named(x), y + 0.3 * random.normal(size=rows)


@_kind
def thresholds(random: Random, rows: int) -> Made:
    """Fees and tariffs: steps of single columns, added up."""
    world = _world(3)
    amount, age, distance = (
        random.gamma(2, 500, rows),
        random.integers(18, 90, rows),
        random.exponential(30, rows),
    )
    y = np.zeros(rows)
    for column, most in ((amount, 4000), (age, 90), (distance, 150)):
        edges = np.sort(world.random(5) * most)
        y += world.normal(size=6)[np.searchsorted(edges, column)]
    return {"amount": amount, "age": age, "distance": distance}, y + 0.3 * random.normal(size=rows)


@_kind
def waves(random: Random, rows: int) -> Made:
    """Many turns along one column."""
    x = random.random((rows, 5))
    y = np.sin(40 * x[:, 0]) + x[:, 1] * np.cos(15 * x[:, 2])
    return _named(x), y + 0.2 * random.normal(size=rows)


@_kind
def rotated(random: Random, rows: int) -> Made:
    """What matters are sums of 15 columns."""
    x = random.normal(size=(rows, 15))
    hidden = np.tanh(x @ _world(4).normal(size=(15, 5)) / 2)
    y = hidden[:, 0] * hidden[:, 1] + hidden[:, 2] - hidden[:, 3] * hidden[:, 4]
    return _named(x), y + 0.1 * random.normal(size=rows)


@_kind
def parity(random: Random, rows: int) -> Made:
    """Whether an odd number of four columns is high."""
    x = random.random((rows, 8))
    odd = (x[:, :4] > 0.5).sum(axis=1) % 2 == 1
    return _named(x), np.where(odd ^ (random.random(rows) < 0.1), "odd", "even")


@_kind
def ratios(random: Random, rows: int) -> Made:
    """Prices per unit: quotients of columns."""
    x = random.uniform(0.5, 5, size=(rows, 6))
    y = x[:, 0] / x[:, 1] + x[:, 2] * x[:, 3] / (x[:, 4] + x[:, 5])
    return _named(x), y + 0.1 * random.normal(size=rows)


@_kind
def long_tails(random: Random, rows: int) -> Made:
    """Inputs whose logarithms are normal, of deviation 2."""
    x = np.exp(2 * random.normal(size=(rows, 8)))
    log = np.log(x)
    y = log[:, 0] * log[:, 1] + log[:, 2] + np.sqrt(x[:, 3]) / 4
    return _named(x), y + 0.5 * random.normal(size=rows)


@_kind
def long_tailed_target(random: Random, rows: int) -> Made:
    """A target of which one row in a thousand has most of the variance."""
    x = random.normal(size=(rows, 8))
    return _named(x), np.exp(
        1.2 * x[:, 0] + 0.8 * x[:, 1] * x[:, 2] + 0.3 * random.normal(size=rows)
    )


@_kind
def prices(random: Random, rows: int) -> Made:
    """A target that grows by factors: skewness 2 to 3."""
    size, rooms, age = (
        random.gamma(4, 25, rows),
        random.integers(1, 7, rows),
        random.integers(0, 80, rows),
    )
    log = 0.6 * np.log(size) + 0.08 * rooms - 0.006 * age + 0.4 * np.sin(age / 15)
    return {"size": size, "rooms": rooms, "age": age}, np.exp(log + 0.25 * random.normal(size=rows))


@_kind
def counts(random: Random, rows: int) -> Made:
    """Counts, a third of them 0."""
    x = random.normal(size=(rows, 6))
    log = 0.3 + 0.6 * x[:, 0] - 0.4 * x[:, 1] * (x[:, 2] > 0) + 0.3 * np.sin(2 * x[:, 3])
    return _named(x), random.poisson(np.exp(log)).astype(np.float64)


@_kind
def outlying_targets(random: Random, rows: int) -> Made:
    """One target in a hundred is far off."""
    columns, y = friedman(random, rows)
    return columns, y + 200 * (random.random(rows) < 0.01) * random.normal(size=rows)


@_kind
def uneven_noise(random: Random, rows: int) -> Made:
    """Noise that grows with a column."""
    x = random.random((rows, 6))
    return _named(x), np.sin(6 * x[:, 0]) + x[:, 1] + 2 * x[:, 2] * random.normal(size=rows)


@_kind
def missing(random: Random, rows: int) -> Made:
    """Cells that are missing the likelier the greater they are; that one is missing matters."""
    columns, y = friedman(random, rows)
    x = np.stack(list(columns.values()), axis=1)
    gone = random.random(x.shape) < 0.3 * x
    return _named(np.where(gone, np.nan, x)), y + 3 * gone[:, 7]


@_kind
def copies(random: Random, rows: int) -> Made:
    """Columns that say nearly the same: three causes seen ten times each."""
    causes = random.normal(size=(rows, 3))
    seen = np.repeat(causes, 10, axis=1) + 0.3 * random.normal(size=(rows, 30))
    y = causes[:, 0] * causes[:, 1] + np.abs(causes[:, 2])
    return _named(seen), y + 0.2 * random.normal(size=rows)


@_kind
def words(random: Random, rows: int) -> Made:
    """Numbers of 300 words in a text, nearly all 0."""
    world = _world(5)
    often = 1 / np.arange(2, 302)
    x = random.poisson(often, size=(rows, 300))
    weights = world.normal(size=300) * (world.random(300) < 0.2)
    logits = x @ weights + 2 * ((x[:, 3] > 0) & (x[:, 7] > 0)) - 0.5
    return _named(x, "word"), _labels(random, 2 * logits)


@_kind
def flags(random: Random, rows: int) -> Made:
    """60 columns of 0 and 1."""
    world, x = _world(6), (random.random((rows, 60)) < 0.3).astype(int)
    weights = world.normal(size=60) * (world.random(60) < 0.4)
    y = x @ weights + 2 * x[:, 0] * x[:, 1] - 2 * x[:, 2] * x[:, 3] * x[:, 4]
    return _named(x), y + 0.5 * random.normal(size=rows)


@_kind
def shops(random: Random, rows: int) -> Made:
    """800 shops by numbers in no order."""
    world = _world(7)
    numbers, effects = (
        world.choice(np.arange(1_000, 9_999), 800, replace=False),
        world.normal(size=800),
    )
    shop, x = random.integers(0, 800, rows), random.normal(size=rows)
    y = effects[shop] + 0.5 * x + 0.5 * random.normal(size=rows)
    return {"shop": numbers[shop], "x": x, "other": random.normal(size=rows)}, y


@_kind
def few_large_shops(random: Random, rows: int) -> Made:
    """2,000 shops by name, a few of them with most of the rows."""
    effects = _world(8).normal(size=2_000)
    shop = np.minimum(random.zipf(1.3, rows), 2_000) - 1
    x = random.normal(size=rows)
    y = effects[shop] + 0.5 * x * np.sign(effects[shop]) + 0.5 * random.normal(size=rows)
    return {"shop": np.char.add("s", shop.astype(str)).astype(object), "x": x}, y


@_kind
def postal_codes(random: Random, rows: int) -> Made:
    """Postal codes, of which two digits matter."""
    effects = _world(9).normal(size=100)
    rating, code = random.integers(1, 6, rows), random.integers(10_000, 99_999, rows)
    level, amount = random.choice(["low", "mid", "high"], rows), random.gamma(2, 2, rows)
    logits = rating - 3 + 0.8 * (level == "high") + effects[code // 1_000] - 0.2 * amount
    columns = {
        "rating": rating,
        "level": level.astype(object),
        "postal_code": code,
        "amount": amount,
    }
    return columns, _labels(random, logits)


@_kind
def pairs_of_categories(random: Random, rows: int) -> Made:
    """Two categories that matter together, and how a number matters in each."""
    effects = _world(10).normal(size=(12, 15))
    a, b, x = random.integers(12, size=rows), random.integers(15, size=rows), random.random(rows)
    y = effects[a, b] + np.sin(6 * x) * (a % 3) + 0.5 * random.normal(size=rows)
    names = (
        np.char.add(letter, codes.astype(str)).astype(object)
        for letter, codes in (("a", a), ("b", b))
    )
    return {**dict(zip(("a", "b"), names, strict=True)), "x": x}, y


@_kind
def whole_numbers(random: Random, rows: int) -> Made:
    """Whole numbers of many values that matter smoothly."""
    meters, grams, x = (
        random.integers(0, 5_000, rows),
        random.integers(200, 2_000, rows),
        random.normal(size=rows),
    )
    y = np.sqrt(meters) / 20 + np.log(grams) * x * 0.5 + np.sin(meters / 800)
    return {"meters": meters, "grams": grams, "x": x}, y + 0.5 * random.normal(size=rows)


@_kind
def places(random: Random, rows: int) -> Made:
    """Longitude and latitude: the nearest of 25 centres."""
    world = _world(11)
    centres, effects = world.random((25, 2)) * (4, 3) + (6, 47), world.normal(size=25)
    place = random.random((rows, 2)) * (4, 3) + (6, 47)
    apart = ((place[:, None, :] - centres) ** 2).sum(axis=2)
    y = effects[apart.argmin(axis=1)] + np.exp(-apart.min(axis=1) * 8)
    columns = {"longitude": place[:, 0], "latitude": place[:, 1], "size": random.gamma(2, 1, rows)}
    return columns, y + 0.2 * columns["size"] + 0.3 * random.normal(size=rows)


@_kind
def hours(random: Random, rows: int) -> Made:
    """A row an hour: the time of day and of the week, a trend, and the temperature."""
    import pandas as pd

    when = pd.date_range("2023-01-01", periods=rows, freq="h")
    hour, weekday, passed = (
        when.hour.to_numpy(),
        when.day_of_week.to_numpy(),
        np.arange(rows) / rows,
    )
    temperature = 10 + 8 * np.sin(2 * np.pi * np.arange(rows) / 8760) + 2 * random.normal(size=rows)
    y = 5 * np.sin(2 * np.pi * hour / 24) * (weekday < 5) + 3 * passed + 2 * (weekday >= 5)
    y += 0.1 * temperature
    return {"when": when.to_numpy(), "temperature": temperature}, y + 0.5 * random.normal(size=rows)


@_kind
def rare_class(random: Random, rows: int) -> Made:
    """One row in a hundred is of the class that matters."""
    x = random.normal(size=(rows, 12))
    return _named(x), _labels(random, 2 * (x[:, 0] + x[:, 1] * x[:, 2] + np.abs(x[:, 3]) - 5.2))


@_kind
def sixty_classes(random: Random, rows: int) -> Made:
    """60 clouds in six dimensions."""
    centres, label = 1.2 * _world(12).normal(size=(60, 6)), random.integers(60, size=rows)
    x = centres[label] + 0.6 * random.normal(size=(rows, 6))
    return _named(x), np.char.add("c", label.astype(str)).astype(object)


@_kind
def grades(random: Random, rows: int) -> Made:
    """Five classes in order."""
    x = random.normal(size=(rows, 8))
    score = x[:, 0] + x[:, 1] * (x[:, 2] > 0) + 0.5 * x[:, 3] ** 2 + 0.7 * random.normal(size=rows)
    return _named(x), np.array(list("EDCBA"), object)[np.searchsorted([-1, 0, 1, 2], score)]


@_kind
def wide(random: Random, rows: int) -> Made:
    """400 columns, ten of which matter, and an eighth of the rows."""
    rows = max(1_000, rows // 8)
    x = random.normal(size=(rows, 400))
    weights = np.zeros(400)
    weights[::40] = _world(13).normal(size=10)
    return _named(x), x @ weights + np.abs(x[:, 0] * x[:, 40]) + random.normal(size=rows)
