"""The text of --help: options in groups with their defaults, then examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import typer.core

MOST_WIDTH = 110
"""Columns of a help text on a wide terminal."""
OTHER = "Other options"
GROUPS = (
    "Columns and rows",
    "How the file is written",
    "Model",
    "Optimization",
    "When to stop",
    "Advice",
    "Memory",
    "Several processes",
    OTHER,
)
"""In this order; options without a group come last."""
EXAMPLES: dict[str, tuple[str, ...]] = {
    "train": (
        "descend train bikes.csv --target count --out runs/bikes",
        "descend train bikes.csv --target count --exclude id,date --time-budget 30s",
        "descend train bikes.csv --target count --model mlp --batch-size 64",
        "descend train \"SELECT * FROM 'p-*.parquet' WHERE year > 2012\" --target price",
    ),
    "advise": ("descend advise bikes.csv --target count --out advice",),
    "resume": ("descend resume runs/bikes",),
    "predict": (
        "descend predict runs/bikes new.csv -o predictions.csv",
        "descend predict runs/bikes new.csv -o out.csv --keep id,date --interval 0.95",
    ),
    "evaluate": ("descend evaluate runs/bikes test.csv",),
    "export": ("descend export runs/bikes bikes.onnx",),
    "inspect": (
        "descend inspect bikes.csv --target count",
        "descend inspect runs/bikes",
    ),
    "compare": (
        "descend compare bikes.csv --target count",
        "descend compare bikes.csv --target count --sizes 32,256 --methods adam",
    ),
    "landscape": (
        "descend landscape valley",
        "descend landscape double-well --play --out play.html",
        "descend landscape runs/bikes",
    ),
    "report": (
        "descend report runs/bikes",
        "descend report runs/bikes runs/bikes-2 --out both.html",
    ),
}
"""What can be typed, by the name of the command."""


class HelpfulCommand(typer.core.TyperCommand):
    """A command whose help shows its options in groups, and examples."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options, a section for each group."""
        for heading, records in group_options(self, ctx):
            with formatter.section(heading):
                formatter.write_dl(records)
        examples = EXAMPLES.get(self.name or "", ())
        if examples:
            with formatter.section("Examples"):
                for example in examples:
                    formatter.write(f"{' ' * formatter.current_indent}{example}\n")


class HelpfulGroup(typer.core.TyperGroup):
    """The program, whose help says of each command all of its first sentence.

    `descend help` and `descend help train` show what `-h` does.
    """

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the arguments name, and its arguments."""
        if args[:1] == ["help"]:
            if len(args) == 1:
                typer.echo(ctx.get_help())
                ctx.exit()
            args = [args[1], "--help"]
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a line or two for each command."""
        records = [
            (name, (command.help or "").split("\n")[0])
            for name in self.list_commands(ctx)
            if (command := self.get_command(ctx, name)) is not None and not command.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(records)


def group_options(command: Any, ctx: Any) -> Iterator[tuple[str, Sequence[tuple[str, str]]]]:
    """The arguments, then the options of each group: (how it is typed, what it does)."""
    found: dict[str, list[tuple[str, str]]] = {}
    for one in command.get_params(ctx):
        record = one.get_help_record(ctx)
        if record is None:
            continue
        is_argument = one.param_type_name == "argument"
        group = "Arguments" if is_argument else getattr(one, "rich_help_panel", None) or OTHER
        found.setdefault(group, []).append(record)
    order = ("Arguments", *GROUPS)
    for heading in sorted(found, key=order.index):
        yield heading, found[heading]
