"""`python -m benchmarks [QUESTION [OPTIONS]]`: one question, or the speeds all together."""

from __future__ import annotations

import importlib
import os
import sys

SPEEDS = (
    "epoch_speed",
    "estimators",
    "start_up",
    "package",
    "reading",
    "store_speed",
    "predict_speed",
)
QUESTIONS = (
    *SPEEDS,
    "update_profile",
    "epoch_profile",
    "quality",
    "kinds",
    "torture",
    "torture_processes",
    "processes",
    "shaped_link",
    "regret",
    "advise_twice",
    "batch_growth",
    "checkpoint_cost",
    "device_speed",
    "small_batches",
    "custom_speed",
    "custom_accuracy",
    "large",
    "fuzz",
    "fuzz_memory",
    "wheel",
)


def main(arguments: list[str]) -> int:
    """Run one question with its options, or all the speeds."""
    # The processes that are timed have compiled modules, as those of an installed package have.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if not arguments:
        for question in SPEEDS:
            print(f"\n== {question}\n")
            importlib.import_module(f"benchmarks.{question}").main([])
        return 0
    question, *options = arguments
    if question not in QUESTIONS:
        print(f"There is no benchmark {question!r}; there are {', '.join(QUESTIONS)}.")
        return 2
    return importlib.import_module(f"benchmarks.{question}").main(options) or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
