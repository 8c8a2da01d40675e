"""Common claims about batch sizes, tested on measured runs.

A claim held, held in part, did not hold, made little difference, or is undetermined.

Every claim says that a ratio is above 1; ratios are taken within a seed. Claims about gradients are
tested over the drawn mini-batches, at the weights of these runs; claims about runs, over the seeds.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from descend.tuning.compare.ratios import (
    EQUIVALENCE_MARGIN,
    EQUIVALENT,
    FAILED,
    HELD,
    UNDETERMINED,
    Ratio,
    drawn_ratio,
    exact_ratio,
    ratio_of,
    shared_risk,
    verdict_of,
)

Record = Mapping[str, Any]
BySeed = Mapping[int, Record]
Parts = dict[str, Ratio | None]

RULES = {"sgd": "plain", "momentum": "with momentum"}
EXTREMES = {"full": "gradient descent", "stochastic": "SGD"}
KINDS = {"mini": "mini-batch", **EXTREMES}
WHEN = {"at the start": "deviation_at_start", "when trained": "deviation_when_trained"}
NO_CURVE = "not known: too few evaluations, or a loss that is not positive"
IN_PART = "held in part"
WORDS = {
    HELD: "It held.",
    IN_PART: "It held only in part.",
    FAILED: "It did not hold here.",
    EQUIVALENT: f"It makes little difference here: less than {EQUIVALENCE_MARGIN:g} ×.",
    UNDETERMINED: "These runs do not decide it.",
}


def claims(runs: Sequence[Record]) -> list[dict[str, Any]]:
    """Test each claim: a verdict, a sentence and the ratios.

    Args:
        runs: records as compare.json holds them: method, panel, seed, measures.
    """
    tuned = [run for run in runs if run["panel"] == "tuned"]
    at_rate_of_sgd = [run for run in runs if run["panel"] == "rate-of-sgd"]
    found = [
        _closer(tuned),
        _less_noisy(tuned),
        _smoother_at_one_rate(tuned, at_rate_of_sgd),
        *(_smoother_curve(tuned, rule) for rule in RULES),
        _faster(tuned, "full", tuple(RULES), "faster", "gradient descent"),
        _faster(tuned, "stochastic", ("sgd",), "faster-sgd-plain", "SGD, both plain"),
        _faster(tuned, "stochastic", ("momentum",), "faster-sgd", "SGD, both with momentum"),
        _memory(tuned),
        *(_momentum(tuned, family) for family in KINDS),
        _tuning(runs),
    ]
    return [claim for claim in found if claim is not None]


def _closer(runs: Sequence[Record]) -> dict[str, Any] | None:
    sizes = sorted(
        {_size(run) for run in runs if run["method"]["family"] in ("stochastic", "mini")}
    )
    parts: Parts = {}
    for small, large in itertools.pairwise(sizes):
        one, other = _at_size(runs, small), _at_size(runs, large)
        for when in WHEN:
            parts[f"{small:,} against {large:,} rows, {when}"] = _scatter(one, other, when)
    return _claim(
        "closer",
        "A larger batch is closer to the true gradient.",
        "Distance of the smaller batch's gradient from the full one, divided by the larger batch's",
        parts,
    )


def _less_noisy(runs: Sequence[Record]) -> dict[str, Any] | None:
    one, mini = _of(runs, "stochastic", "momentum"), _of(runs, "mini", "momentum")
    parts: Parts = {}
    if one and mini:
        parts = {when: _scatter(one, mini, when) for when in WHEN}
    return _claim(
        "noise",
        "The mini-batch gradient is less noisy than that of SGD.",
        "Deviation of the gradient of one row, divided by that of the advised mini-batch",
        parts,
    )


def _smoother_at_one_rate(
    tuned: Sequence[Record], at_rate_of_sgd: Sequence[Record]
) -> dict[str, Any] | None:
    return _claim(
        "curve-one-rate",
        "At the learning rate of SGD, the loss curve of mini-batch is smoother than that of SGD.",
        "Roughness of SGD's loss curve, divided by that of the advised mini-batch at SGD's rate",
        _roughness_ratios(
            (words, _of(tuned, "stochastic", rule), _of(at_rate_of_sgd, "mini", rule))
            for rule, words in RULES.items()
        ),
    )


def _smoother_curve(runs: Sequence[Record], rule: str) -> dict[str, Any] | None:
    pair = (RULES[rule], _of(runs, "stochastic", rule), _of(runs, "mini", rule))
    return _claim(
        "curve" if rule == "momentum" else "curve-plain",
        "Each at its tuned learning rate, the loss curve of mini-batch is smoother than that of "
        f"SGD, both {RULES[rule]}.",
        "Roughness of SGD's loss curve divided by the advised mini-batch's, both at tuned rates",
        _roughness_ratios([pair]),
    )


def _momentum(runs: Sequence[Record], family: str) -> dict[str, Any] | None:
    pair = ("roughness", _of(runs, family, "sgd"), _of(runs, family, "momentum"))
    return _claim(
        {"mini": "momentum", "full": "momentum-full", "stochastic": "momentum-sgd"}[family],
        f"Momentum smooths the loss curve of {KINDS[family]}.",
        "Roughness of the loss curve without momentum divided by that with it, both at tuned rates",
        _roughness_ratios([pair]),
    )


def _faster(
    runs: Sequence[Record], family: str, rules: Sequence[str], name: str, words: str
) -> dict[str, Any] | None:
    """Whether mini-batches are faster than an extreme: each rule beside its own like."""
    parts: Parts = {}
    for rule in rules:
        slow, fast = _of(runs, family, rule), _of(runs, "mini", rule)
        if slow and fast:
            parts[RULES[rule]] = _times(slow, fast)
    return _claim(
        name,
        f"Mini-batch converges faster, in seconds, than {words}.",
        "Seconds to the target, or to the lowest loss that both reached if that is higher, as a "
        "multiple of those of the advised mini-batch",
        parts,
    )


def _memory(runs: Sequence[Record]) -> dict[str, Any] | None:
    pairs = _pairs(_of(runs, "full", "momentum"), _of(runs, "mini", "momentum"), "memory")
    return _claim(
        "memory",
        "Full batches need more memory.",
        "Bytes that training with all rows in a batch takes, as a multiple of those of the advised "
        "mini-batch; both include chunks of rows that are read ahead",
        {"all rows": exact_ratio(pairs)} if pairs else {},
    )


def _tuning(runs: Sequence[Record]) -> dict[str, Any] | None:
    pairs = []
    for seed in sorted({run["seed"] for run in runs}):
        basic = [run for run in runs if run["seed"] == seed and run["method"]["basic"]]
        in_both = {run["method"]["name"] for run in basic if run["panel"] == "same"}
        same, tuned = (
            [
                run["measures"]["best"]
                for run in basic
                if run["panel"] == panel and run["method"]["name"] in in_both
            ]
            for panel in ("same", "tuned")
        )
        if not same or not tuned:
            continue
        best = min(*same, *tuned)
        gaps = [sum(losses) / len(losses) - best for losses in (same, tuned)]
        if min(gaps) > 0:
            pairs.append((gaps[0], gaps[1]))
    return _claim(
        "tuning",
        "Much of the difference between batch sizes is the learning rate.",
        "Average distance of the methods' final losses from the best one, at one learning rate for "
        "all, as a multiple of the same at tuned rates",
        {"all methods": ratio_of(pairs)} if pairs else {},
    )


def _claim(name: str, text: str, measured: str, parts: Parts) -> dict[str, Any] | None:
    """The record of a claim that says all ratios are above 1; None without any.

    Args:
        name: short.
        text: the claim.
        measured: what the ratios measure.
        parts: the ratios by label; None where one is not known.
    """
    if not parts:
        return None
    verdict = verdict_of(parts)
    risk = shared_risk(parts)
    some = any(part is not None and part.above() for part in parts.values())
    if verdict in (FAILED, EQUIVALENT) and some:
        verdict = IN_PART
    words = WORDS[verdict]
    unknown = {"value": None, "interval": None, "verdict": UNDETERMINED}
    listing = "; ".join(f"{label}: {part or NO_CURVE}" for label, part in parts.items())
    return {
        "name": name,
        "claim": text,
        "verdict": verdict,
        "words": words,
        "measured": measured,
        "sentence": f"{words} {measured}: {listing}.",
        "ratios": [
            {"part": label, **(part.as_json(risk) if part else {**unknown, "text": NO_CURVE})}
            for label, part in parts.items()
        ],
    }


def _scatter(one: BySeed, other: BySeed, when: str) -> Ratio | None:
    """How many times larger the deviation of gradients of the first method is."""
    measure = WHEN[when]
    pairs = _pairs(one, other, measure)
    errors = _pairs(one, other, f"{measure}_error")
    draws = _pairs(one, other, "gradients_drawn")
    if not pairs or len(errors) < len(pairs):
        return None
    return drawn_ratio(pairs, errors, int(min(min(pair) for pair in draws)))


def _roughness_ratios(kinds: Iterable[tuple[str, BySeed, BySeed]]) -> Parts:
    """Roughness of the first method divided by that of the second, where both were run."""
    parts: Parts = {}
    for name, rough, smooth in kinds:
        if rough and smooth:
            pairs = _pairs(rough, smooth, "roughness")
            parts[name] = ratio_of(pairs) if pairs else None
    return parts


def _times(slow: BySeed, fast: BySeed) -> Ratio | None:
    """The ratio of seconds to the lowest loss that both reached, or to a higher target.

    A pair for each seed, so that a method which never reached the target can be compared too.
    """
    pairs = []
    for seed in sorted(slow.keys() & fast.keys()):
        both = (slow[seed], fast[seed])
        loss = max(one["measures"][name] for one in both for name in ("target", "best"))
        seconds = [_seconds_to(one["history"], loss) for one in both]
        if min(seconds) <= 0:
            return None
        pairs.append((seconds[0], seconds[1]))
    return ratio_of(pairs) if pairs else None


def _seconds_to(history: Mapping[str, Sequence[float]], loss: float) -> float:
    """When the validation loss first was so low, between evaluations along a straight line."""
    seconds, losses = history["seconds"], history["validation_loss"]
    place = next(n for n, one in enumerate(losses) if one is not None and one <= loss)
    if place == 0:
        return seconds[0]
    fall = losses[place - 1] - losses[place]
    part = (losses[place - 1] - loss) / fall if math.isfinite(fall) and fall > 0 else 1.0
    return seconds[place - 1] + part * (seconds[place] - seconds[place - 1])


def _pairs(one: BySeed, other: BySeed, measure: str) -> list[tuple[float, float]]:
    """The measures of two methods, a pair for each seed where both are known and not 0."""
    both = [
        (one[seed]["measures"][measure], other[seed]["measures"][measure])
        for seed in sorted(one.keys() & other.keys())
    ]
    return [(left, right) for left, right in both if left and right]


def _at_size(runs: Sequence[Record], size: int) -> BySeed:
    """A run at this batch size for each seed."""
    return {run["seed"]: run for run in runs if _size(run) == size}


def _of(runs: Sequence[Record], family: str, rule: str) -> BySeed:
    """The runs of a family of methods by seed; for mini-batches, at the advised size."""
    return {
        run["seed"]: run
        for run in runs
        if run["method"]["optimizer"] == rule
        and run["method"]["family"] == family
        and (family != "mini" or run["method"]["advised"])
    }


def _size(run: Record) -> int:
    return int(run["method"]["batch_size"])
