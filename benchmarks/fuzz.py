"""Does odd input end in a right answer or in one short text?

Real files are damaged (`benchmarks/mutations.py`) and given to what reads them. An input passes
if it is read as an independent reader reads it, or refused by an error of ours. What counts as a
defect: any other exception, more than ten seconds, code in the file that runs, another answer.

Beside that commands get signals at random moments (`benchmarks/fuzz_signals.py`), and are run on
tables of all shapes under `--memory` (`benchmarks/fuzz_memory.py`).

    python -m benchmarks fuzz --inputs 20000 --workers 2 --signals 300 --memory 40
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import io
import multiprocessing
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks import measure
from benchmarks.fuzz_memory import fuzz_memory
from benchmarks.fuzz_signals import fuzz_signals
from benchmarks.fuzz_targets import TARGETS, Target, WrongAnswerError, make_seeds
from descend.errors import DescendError

SIGNAL_OUTCOMES = {
    "finished": "read",
    "ended": "refused",
    "hang": "hang",
    "defect": "traceback",
}
DEFECTS = ("traceback", "hang", "wrong answer", "long text", "memory")
LONGEST = 10
"""Seconds of the processor that an input may take."""
WAITED = 12
"""Times as many seconds may pass: the machine may do other work."""


class HangError(BaseException):
    """An input took longer than it may."""


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Raise HangError after LONGEST seconds; end the program where even that does not help."""

    def ring(number: int, frame: object) -> None:
        raise HangError

    before = {number: signal.signal(number, ring) for number in (signal.SIGPROF, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_PROF, LONGEST)
    signal.alarm(WAITED * LONGEST)
    faulthandler.dump_traceback_later(2 * WAITED * LONGEST, exit=True)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        faulthandler.cancel_dump_traceback_later()
        for number, handler in before.items():
            signal.signal(number, handler)


def tried(target: Target, folder: Path, dice: random.Random) -> tuple[str, str]:
    """Damage one file and read it: `read`, `refused`, or what kind of defect, and its text."""
    target.restore(folder)
    path = folder / dice.choice(target.files)
    try:
        with watched(), contextlib.redirect_stdout(io.StringIO()):
            target.damaged(path, dice)
            target.read(folder, path)
    except DescendError as error:
        text = str(error)
        long = len(text) > 1500 or "Traceback" in text
        return ("long text", text[:3000]) if long else ("refused", text)
    except WrongAnswerError as error:
        return "wrong answer", str(error)
    except HangError:
        return "hang", traceback.format_exc(limit=-4)
    except Exception:
        return "traceback", traceback.format_exc(limit=-4)
    finally:
        if Path("HACKED").exists() or (folder / "HACKED").exists():
            raise AssertionError(f"{path} was run as code")
    return "read", ""


def fuzz(
    inputs: int, seed: int, *, keep: Path | None = None, seconds: float = float("inf")
) -> dict[str, Counter[str]]:
    """Try so many inputs, spread over the kinds of files; defects are printed, and kept.

    Args:
        inputs: how many.
        seed: chooses them.
        keep: a folder for those that show a defect.
        seconds: after which no further one is begun.
    """
    end = time.monotonic() + seconds
    dice = random.Random(seed)
    counts: dict[str, Counter[str]] = {}
    shares = [target.share for target in TARGETS]
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        folder = Path(name)
        make_seeds(folder / "seeds")
        for number in range(inputs):
            if time.monotonic() > end:
                break
            target = dice.choices(TARGETS, shares)[0]
            work = folder / target.name
            work.mkdir(exist_ok=True)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                outcome, text = tried(target, work, dice)
            counts.setdefault(target.name, Counter())[outcome] += 1
            if outcome in DEFECTS:
                print(f"input {number}, {target.name}: {outcome}\n{text}\n", flush=True)
                if keep is not None:
                    shutil.copytree(work, keep / f"{number}-{target.name}", dirs_exist_ok=True)
    return counts


def fuzz_side_by_side(
    inputs: int, seed: int, workers: int, *, keep: Path | None, seconds: float
) -> dict[str, Counter[str]]:
    """`fuzz` in several processes, each with inputs of its own; the counts are added."""
    if workers == 1:
        return fuzz(inputs, seed, keep=keep, seconds=seconds)
    counts: dict[str, Counter[str]] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context) as pool:
        tasks = [
            pool.submit(
                fuzz,
                inputs // workers + (place < inputs % workers),
                seed + place,
                keep=keep and keep / str(place),
                seconds=seconds,
            )
            for place in range(workers)
        ]
        for task in tasks:
            for kind, found in task.result().items():
                counts[kind] = counts.get(kind, Counter()) + found
    return counts


def defects(counts: dict[str, Counter[str]]) -> int:
    """Inputs that neither were read rightly nor refused in one text."""
    return sum(
        times
        for of_kind in counts.values()
        for outcome, times in of_kind.items()
        if outcome in DEFECTS
    )


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--signals", type=int, default=0, help="commands to send signals to")
    parser.add_argument("--memory", type=int, default=0, help="commands to run under --memory")
    parser.add_argument("--workers", type=int, default=1, help="processes that try inputs")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="at most so long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-save", action="store_true", help="print only")
    parser.add_argument("--keep", type=Path, help="a folder for inputs that show a defect")
    given = parser.parse_args(words)
    began = time.perf_counter()
    keep = given.keep and given.keep.resolve()
    counts = fuzz_side_by_side(
        given.inputs, given.seed, given.workers, keep=keep, seconds=given.seconds
    )
    for shape, found in fuzz_memory(given.memory, random.Random(given.seed)).items():
        counts[f"memory, {shape}"] = found
    for name, outcomes in fuzz_signals(given.signals, random.Random(given.seed)).items():
        counts[f"signals, {name}"] = Counter(
            {SIGNAL_OUTCOMES[outcome]: times for outcome, times in outcomes.items()}
        )
    names = ["read", "refused", *DEFECTS]
    total = sum(counts.values(), Counter[str]())
    lines = [
        [kind, *(of_kind[name] for name in names)]
        for kind, of_kind in [*sorted(counts.items()), ("all", total)]
    ]
    seconds = time.perf_counter() - began
    text = (
        f"Damaged files that were read rightly, refused in one text, or showed a defect:\n\n"
        f"{measure.table(['file', *names], lines)}\n\n"
        f"{total.total():,} inputs in {seconds:.0f} s, none run as code."
    )
    facts = {"seed": given.seed, "counts": {kind: dict(of) for kind, of in counts.items()}}
    measure.record("fuzz", text, facts, save=not given.no_save)
    return 1 if defects(counts) else 0


if __name__ == "__main__":
    sys.exit(main())
