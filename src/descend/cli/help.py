"""The text of --help: options in groups with their defaults, then examples."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import typer.core

from descend.errors import InputError, printable

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

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; raise InputError, with what to type, where some are too many."""
        typed = list(args)
        ctx.allow_extra_args = True
        super().parse_args(ctx, args)
        if ctx.args and not ctx.resilient_parsing:
            lists = {name for one in self.params if "," in (one.metavar or "") for name in one.opts}
            raise InputError(_too_many(ctx.command_path, ctx.args, typed, lists))
        return list(ctx.args)

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


def _too_many(command: str, extra: list[str], typed: list[str], lists: set[str]) -> str:
    """What is too much, and how values of one option are typed where it follows such an option."""
    shown = " ".join(map(shlex.quote, extra))
    text = f"{command} takes no further argument; found {printable(shown, 200)}."
    place = typed.index(extra[0]) if extra[0] in typed else 0
    before = [at for at in range(place) if typed[at].startswith("-")]
    if before and typed[before[-1]] in lists:
        option, values = typed[before[-1]], typed[before[-1] + 1 : place] + extra
        joined = shlex.quote(",".join(value.rstrip(",") for value in values))
        return f"{text} If it belongs to {option}, type {option} {printable(joined, 200)}"
    return f"{text} Type {command} --help."


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
