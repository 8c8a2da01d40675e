"""What is told of batch sizes, held against measured runs: held, did not hold, or undetermined.

Everything is compared within a seed, as a ratio; over the seeds the ratio has a 90 % interval
(Student's t on its logarithm). A claim holds where the interval lies on its side of 1, does not
hold where it lies on the other, and is undetermined where it holds 1.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.special

Record = Mapping[str, Any]

HELD, FAILED, OPEN = "held", "did not hold", "undetermined"
LEVEL = 0.9


class Ratio(NamedTuple):
    """A ratio over seeds: its geometric mean and interval.

    `low` and `high` are infinitely wide where a single seed cannot tell. Where a run never came
    to the target within its budget, the ratio is only known to be `at_least` so much.
    """

    value: float
    low: float
    high: float
    at_least: bool = False
    at_most: bool = False

    @property
    def verdict(self) -> str:
        """Whether it is above 1."""
        if self.low > 1.0 and not self.at_most:
            return HELD
        if self.high < 1.0 and not self.at_least:
            return FAILED
        return OPEN

    def __str__(self) -> str:
        sign = "at least " if self.at_least else "at most " if self.at_most else ""
        if not math.isfinite(self.value) or not math.isfinite(self.high):
            return f"{sign}{_short(self.value)} times"
        return f"{sign}{_short(self.value)} times ({_short(self.low)} to {_short(self.high)})"


def ratio_of(
    pairs: Sequence[tuple[float, float]],
    *,
    at_least: bool = False,
    at_most: bool = False,
    exact: bool = False,
) -> Ratio:
    """The ratio of the first to the second of each pair, a pair for each seed.

    >>> str(ratio_of([(4.0, 2.0), (6.0, 3.0), (2.0, 1.0)]))
    '2 times (2 to 2)'
    """
    logs = np.array([math.log(one / other) for one, other in pairs])
    value = math.exp(float(logs.mean()))
    if exact:
        return Ratio(value, value, value, at_least, at_most)
    if len(logs) < 2:
        return Ratio(value, 0.0, math.inf, at_least, at_most)
    quantile = float(scipy.special.stdtrit(len(logs) - 1, 0.5 + LEVEL / 2))
    half = quantile * float(logs.std(ddof=1)) / math.sqrt(len(logs))
    return Ratio(value, value * math.exp(-half), value * math.exp(half), at_least, at_most)


def claims(runs: Sequence[Record]) -> list[dict[str, Any]]:
    """A verdict, a sentence and its ratios for each claim.

    Args:
        runs: records as compare.json holds them: method, panel, seed, measures.
    """
    tuned = [run for run in runs if run["panel"] == "tuned"]
    found = [
        _closer(tuned),
        _less_noisy(tuned),
        _smoother_curve(tuned),
        _faster(tuned),
        _memory(tuned),
        _momentum(tuned),
        _tuning(runs),
    ]
    return [claim for claim in found if claim is not None]


def _closer(runs: Sequence[Record]) -> dict[str, Any] | None:
    sizes = sorted({_size(run) for run in runs})
    parts: dict[str, Ratio] = {}
    for name, when in (("start", "deviation_at_start"), ("trained", "deviation_when_trained")):
        for small, large in itertools.pairwise(sizes):
            pairs = _by_seed(_at_size(runs, small), _at_size(runs, large), when)
            if pairs:
                parts[f"{small:,} against {large:,} rows, {name}"] = ratio_of(pairs)
    if not parts:
        return None
    told = "; ".join(f"{name}: {ratio}" for name, ratio in parts.items())
    whole = " A batch of all rows is the true gradient." if _has_full(runs) else ""
    return _claim(
        "closer",
        "A larger batch is closer to the true gradient.",
        parts,
        f"How much further the gradient of the smaller batch is from the true one — {told}.{whole}",
    )


def _less_noisy(runs: Sequence[Record]) -> dict[str, Any] | None:
    mini, one = _of(runs, "mini", "momentum"), _of(runs, "stochastic", "momentum")
    pairs = _by_seed(one, mini, "deviation_when_trained")
    if not pairs:
        return None
    ratio = ratio_of(pairs)
    return _claim(
        "noise",
        "The mini-batch gradient is less noisy than that of SGD.",
        {"trained": ratio},
        f"At trained weights the gradient of one row scatters {ratio} as far as that of the "
        "advised mini-batch.",
    )


def _smoother_curve(runs: Sequence[Record]) -> dict[str, Any] | None:
    parts = {}
    for rule in ("sgd", "momentum"):
        pairs = _by_seed(
            _of(runs, "stochastic", rule), _of(runs, "mini", rule), "roughness", offset=0.01
        )
        if pairs:
            parts[_rule(rule)] = ratio_of(pairs)
    if not parts:
        return None
    told = "; ".join(f"{name} {ratio}" for name, ratio in parts.items())
    return _claim(
        "curve",
        "The loss curve of mini-batch is smoother than that of SGD.",
        parts,
        "Roughness of the curve of SGD, as a multiple of that of the advised mini-batch, each at "
        f"its tuned learning rate, where noise and rate trade against each other — {told}.",
    )


def _faster(runs: Sequence[Record]) -> dict[str, Any] | None:
    parts = {}
    for rule in ("sgd", "momentum"):
        for family, name in (("stochastic", "SGD"), ("full", "gradient descent")):
            ratio = _times(_of(runs, family, rule), _of(runs, "mini", rule))
            if ratio is not None:
                parts[f"{name} {_rule(rule)}"] = ratio
    told = "; ".join(f"{name} {ratio}" for name, ratio in parts.items())
    if not parts:
        told = "nothing: in some seed neither came to the target; a longer budget would tell"
    return _claim(
        "faster",
        "Mini-batch converges faster, in seconds, than either extreme.",
        parts,
        f"Seconds to the target, as a multiple of those of the advised mini-batch — {told}.",
    )


def _memory(runs: Sequence[Record]) -> dict[str, Any] | None:
    pairs = _by_seed(_of(runs, "full", "momentum"), _of(runs, "mini", "momentum"), "memory")
    if not pairs:
        return None
    ratio = ratio_of(pairs, exact=True)
    return _claim(
        "memory",
        "Full batches need more memory.",
        {"memory": ratio},
        f"Training with all rows in a batch holds {_short(ratio.value)} times the memory of the "
        "advised mini-batch; of that, chunks of rows that are read ahead are a part.",
    )


def _momentum(runs: Sequence[Record]) -> dict[str, Any] | None:
    parts = {}
    for family, name in (
        ("full", "gradient descent"),
        ("mini", "the advised mini-batch"),
        ("stochastic", "SGD"),
    ):
        pairs = _by_seed(
            _of(runs, family, "sgd"), _of(runs, family, "momentum"), "roughness", offset=0.01
        )
        if pairs:
            parts[name] = ratio_of(pairs)
    if not parts:
        return None
    told = "; ".join(f"{name} {ratio}" for name, ratio in parts.items())
    return _claim(
        "momentum",
        "Momentum smooths.",
        parts,
        f"Roughness of the loss curve without momentum, as a multiple of that with it — {told}.",
    )


def _tuning(runs: Sequence[Record]) -> dict[str, Any] | None:
    """Claim 10: how far apart the sizes end, at one rate and at tuned ones."""
    pairs = []
    for seed in sorted({run["seed"] for run in runs}):
        gaps = []
        for panel in ("same", "tuned"):
            own = [
                run["measures"]["best"]
                for run in runs
                if run["panel"] == panel and run["seed"] == seed and run["method"]["basic"]
            ]
            gaps.append(max(own) / min(own) - 1.0 if len(own) > 1 and min(own) > 0 else None)
        if gaps[0] and gaps[1]:
            pairs.append((gaps[0], gaps[1]))
    if not pairs:
        return None
    ratio = ratio_of(pairs)
    return _claim(
        "tuning",
        "Much of the difference between batch sizes is the learning rate.",
        {"gap": ratio},
        "From the best to the worst method, the gap in validation loss at one learning rate for "
        f"all is {ratio} the gap at tuned rates.",
    )


def _claim(name: str, text: str, parts: Mapping[str, Ratio], sentence: str) -> dict[str, Any]:
    """All parts on one side decide; one that is on the other side contradicts."""
    verdicts = [ratio.verdict for ratio in parts.values()]
    verdict = FAILED if FAILED in verdicts else HELD if set(verdicts) == {HELD} else OPEN
    why = {
        HELD: "It held.",
        FAILED: "It did not hold here.",
        OPEN: "The intervals leave it open.",
    }
    if FAILED in verdicts and HELD in verdicts:
        why[FAILED] = "It held in part only."
    return {
        "name": name,
        "claim": text,
        "verdict": verdict,
        "sentence": f"{why[verdict]} {sentence}",
        "ratios": {
            part: {**ratio._asdict(), "verdict": ratio.verdict} for part, ratio in parts.items()
        },
    }


def _times(slow: Mapping[int, Record], fast: Mapping[int, Record]) -> Ratio | None:
    """Seconds to the target; a run that did not arrive counts with all its seconds."""
    pairs, at_least, at_most = [], False, False
    for seed in sorted(slow.keys() & fast.keys()):
        one, other = slow[seed]["measures"], fast[seed]["measures"]
        if one["seconds_to_target"] is None and other["seconds_to_target"] is None:
            return None
        at_least = at_least or one["seconds_to_target"] is None
        at_most = at_most or other["seconds_to_target"] is None
        seconds = [
            part["seconds"] if part["seconds_to_target"] is None else part["seconds_to_target"]
            for part in (one, other)
        ]
        if min(seconds) <= 0:
            return None
        pairs.append((seconds[0], seconds[1]))
    return ratio_of(pairs, at_least=at_least, at_most=at_most) if pairs else None


def _at_size(runs: Sequence[Record], size: int) -> dict[int, Record]:
    """A run at a batch size for each seed."""
    return {run["seed"]: run for run in runs if _size(run) == size}


def _by_seed(
    one: Mapping[int, Record], other: Mapping[int, Record], measure: str, offset: float = 0.0
) -> list[tuple[float, float]]:
    """The measures of two methods, a pair for each seed; nothing where one is 0 or unknown."""
    pairs = []
    for seed in sorted(one.keys() & other.keys()):
        left, right = one[seed]["measures"][measure], other[seed]["measures"][measure]
        if left is None or right is None or min(left, right) + offset <= 0:
            return []
        pairs.append((left + offset, right + offset))
    return pairs


def _of(runs: Sequence[Record], family: str, rule: str) -> dict[int, Record]:
    """The runs of a kind of method by seed; of mini-batches the advised one."""
    return {
        run["seed"]: run
        for run in runs
        if run["method"]["optimizer"] == rule
        and run["method"]["family"] == family
        and (family != "mini" or run["method"]["advised"])
    }


def _has_full(runs: Sequence[Record]) -> bool:
    return any(run["method"]["family"] == "full" for run in runs)


def _size(run: Record) -> int:
    return int(run["method"]["batch_size"])


def _rule(rule: str) -> str:
    return {"sgd": "plain", "momentum": "with momentum"}[rule]


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
