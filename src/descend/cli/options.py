"""The options of the commands, each stated once."""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from descend.choices import (
    ACTIVATIONS,
    BATCH_SCHEDULES,
    GOALS,
    LOSSES,
    MODELS,
    SCHEDULES,
    SHARE_ROWS,
    TASKS,
)
from descend.cli.completion import completion_of
from descend.defaults import EFFORTS, RISE_UPDATES
from descend.errors import SettingsError, option_text, quoted_cell
from descend.io.units import parse_duration, parse_size
from descend.settings import Settings, split_names

Data = Annotated[
    str, typer.Argument(metavar="DATA", help="A file, a glob, a URL, or an SQL query.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress; warnings alone.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="The folder to write.")]
Force = Annotated[
    bool, typer.Option("--force", help="Replace what an earlier command wrote in the folder.")
]
Config = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="A TOML file with options.")
]
Like = Annotated[
    Path | None, typer.Option("--like", metavar="RUN", help="A run whose settings to repeat.")
]


def progress_of(quiet: bool) -> Any:
    """The progress of a command."""
    from descend.reporting.progress import make_progress

    return make_progress("quiet" if quiet else "auto")


def _parse_hidden(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(units) for units in text.replace(" ", "").split(",") if units)
    except ValueError:
        raise SettingsError(
            f"--hidden must be whole numbers with commas, like 128,64; found {text!r}."
        ) from None


def _levels(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(level) for level in text.replace(" ", "").split(",") if level)
    except ValueError:
        raise SettingsError(
            f"--quantiles must be numbers with commas, like 0.1,0.5,0.9; found {text!r}."
        ) from None


def _number_or_word(option: str, words: tuple[str, ...], whole: bool) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        if text in words:
            return text
        try:
            return int(text) if whole else float(text)
        except ValueError:
            wanted = " or ".join([*words, "a whole number" if whole else "a number"])
            raise SettingsError(
                f"{option_text(option)} must be {wanted}; found {text!r}."
                f"{without_comma(text, whole=whole)}"
            ) from None

    return parse


def _fraction_or_file(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


NamedData = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="DATA",
        help="The table of the run, if that is a query or an address: these are not taken from "
        "a record, which may come from somebody else.",
    ),
]
NamedValidation = Annotated[
    str | None,
    typer.Option("--validation", metavar="DATA", help="The validation rows of the run, likewise."),
]
NamedStore = Annotated[
    str | None,
    typer.Option(
        "--store", metavar="DIR", help="The folder for encoded rows, if the run's is gone."
    ),
]


def _choices_text(choices: Iterable[str]) -> str:
    """The choices in words, such as `a, b or c`."""
    *others, last = choices
    return f"{', '.join(others)} or {last}."


class Option:
    """An option of the command line: how it is parsed, and its text in --help."""

    def __init__(
        self,
        help: str,
        kind: type = str,
        parse: Callable[[str], Any] | None = None,
        metavar: str = "",
    ) -> None:
        self.help = help
        self.kind = kind
        self.parse = parse
        self.metavar = metavar

    @property
    def typed_as(self) -> type:
        """What Typer parses: of numbers the text, of which `read` says what is wrong."""
        return str if self.kind in (int, float) else self.kind

    def read(self, name: str, value: Any) -> Any:
        """The value of the option as a setting has it.

        Raises:
            SettingsError: a text that is no such value.
        """
        if self.parse is not None:
            return self.parse(value)
        return _number(name, value, self.kind) if self.kind in (int, float) else value


def _number(name: str, text: str, kind: type) -> int | float:
    """The number that an option was given; 1e6 is a whole number too."""
    try:
        number: int | float = int(text)
    except ValueError:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if kind is float and not math.isnan(number):
            return number
        if kind is int and float(number).is_integer():
            return int(number)
    else:
        return kind(number) if kind is int or abs(number) < 2**53 else float(text)
    expected = "a whole number" if kind is int else "a number"
    found, hint = quoted_cell(text), without_comma(text, whole=kind is int)
    raise SettingsError(f"{option_text(name)} must be {expected}; found {found}.{hint}")


def without_comma(text: str, *, whole: bool) -> str:
    """What to type for a number with a decimal comma, or of a whole number with thousands commas.

    >>> without_comma("0,1", whole=False), without_comma("1,000", whole=True)
    (' Type 0.1.', ' Type 1000.')
    """
    form, mark = (r"[+-]?\d{1,3}(,\d{3})+", "") if whole else (r"[+-]?\d+,\d+", ".")
    return f" Type {text.replace(',', mark)}." if re.fullmatch(form, text) else ""


SETTINGS: dict[str, Option] = {
    "target": Option(
        "The column to predict; several with commas for regression.", metavar="COLUMN"
    ),
    "task": Option(_choices_text(TASKS), metavar="TASK"),
    "exclude": Option("Columns to leave out.", parse=split_names, metavar="COL,COL"),
    "categorical": Option(
        "Number columns to treat as categories.", parse=split_names, metavar="COL,COL"
    ),
    "numeric": Option("Columns to treat as numbers.", parse=split_names, metavar="COL,COL"),
    "datetime": Option(
        "Number columns that are dates: 20240131, or seconds (or ms, µs, ns) since 1970.",
        parse=split_names,
        metavar="COL,COL",
    ),
    "missing": Option(
        "Further texts that mean a missing value; COL=TEXT for one column.",
        parse=split_names,
        metavar="TEXT,TEXT",
    ),
    "date_order": Option("How 01/02/2024 is read: dmy or mdy.", metavar="ORDER"),
    "decimal": Option("How 1,234 is read: point or comma as decimal mark.", metavar="MARK"),
    "weight": Option("The column with row weights.", metavar="COLUMN"),
    "class_weight": Option(
        "Weights of the classes in the loss; balanced: the same sum for each.",
        parse=split_names,
        metavar="balanced|NAME=WEIGHT,...",
    ),
    "delimiter": Option(
        "Field separator of text files: one character, tab, or space.", metavar="CHAR"
    ),
    "header": Option("Whether the first line of text files names the columns.", bool),
    "skip_lines": Option("Lines to skip above the header of text files.", int, metavar="N"),
    "model": Option(_choices_text(MODELS), metavar="MODEL"),
    "effort": Option(f"For tabular: {_choices_text(EFFORTS)}", metavar="EFFORT"),
    "members": Option(
        "For tabular: parts of a network, trained together, that predict their mean.",
        int,
        metavar="N",
    ),
    "networks": Option(
        "For tabular: networks, trained one after another, that predict their mean.",
        int,
        metavar="N",
    ),
    "hidden": Option("Units of the hidden layers.", parse=_parse_hidden, metavar="128,64"),
    "activation": Option(_choices_text(ACTIVATIONS), metavar="NAME"),
    "batch_size": Option(
        "Rows per update: a number, auto, or all (gradient descent); 1 is stochastic.",
        parse=_number_or_word("batch_size", ("auto", "all"), whole=True),
        metavar="N|auto|all",
    ),
    "batch_schedule": Option(
        "Whether the batch grows while training goes on; auto: by the measured gradient noise.",
        metavar="|".join(BATCH_SCHEDULES),
    ),
    "learning_rate": Option(
        "Peak learning rate, or auto.",
        parse=_number_or_word("learning_rate", ("auto",), whole=False),
        metavar="X|auto",
    ),
    "optimizer": Option("auto, adamw, momentum, sgd, nesterov, adam, ...", metavar="NAME"),
    "momentum": Option("Momentum, for momentum and nesterov.", float, metavar="X"),
    "schedule": Option(_choices_text(("auto", *SCHEDULES)), metavar="NAME"),
    "warmup": Option(
        "Fraction of the run in which the rate rises from 0; "
        f"auto: {RISE_UPDATES} updates, at most an epoch.",
        parse=_number_or_word("warmup", ("auto",), whole=False),
        metavar="X|auto",
    ),
    "averaging": Option("Evaluate and save a running average of the weights.", bool),
    "loss": Option(_choices_text(LOSSES), metavar="NAME"),
    "quantiles": Option("Levels of the loss quantile.", parse=_levels, metavar="0.1,0.5,0.9"),
    "l2": Option("Penalty l2/2 * |weights|^2.", float, metavar="X"),
    "weight_decay": Option("Weight decay of the optimizer.", float, metavar="X"),
    "clip": Option("Largest gradient norm; longer gradients are scaled down.", float, metavar="X"),
    "epochs": Option("Most passes over the training rows.", int, metavar="N"),
    "time_budget": Option(
        "Most training time: 30s, 10m, 2h.", parse=parse_duration, metavar="TIME"
    ),
    "patience": Option(
        "Evaluations without improvement before the learning rate is lowered.", int, metavar="N"
    ),
    "validation": Option(
        "Fraction of the rows to hold out for validation, or a file of validation rows.",
        parse=_fraction_or_file,
        metavar="0.1|FILE",
    ),
    "seed": Option(
        "Seed of the split, the initial weights and the order of rows.", int, metavar="N"
    ),
    "goal": Option(f"What auto looks for: {_choices_text(GOALS)}", metavar="GOAL"),
    "advice_budget": Option(
        "Most time for choosing the values that are auto: 20s, 2m.",
        parse=lambda text: parse_duration(text, "advice_budget"),
        metavar="TIME",
    ),
    "memory": Option(
        "Most memory of the whole process: 4GiB, 500MB; in powers of 1024.",
        parse=parse_size,
        metavar="SIZE",
    ),
    "sync_every": Option(
        "Updates of each of several processes between two averages of their weights.",
        parse=_number_or_word("sync_every", ("auto",), whole=True),
        metavar="N|auto",
    ),
    "share_rows": Option(
        "Whether each of several processes has a share of the rows, and none has all; auto: of "
        "tables that do not fit in memory.",
        metavar="|".join(SHARE_ROWS),
    ),
    "store": Option("Keep the encoded rows in this folder, for later runs.", metavar="DIR"),
}


GROUP_OF: dict[str, str] = {
    name: group
    for group, members in {
        "Columns and rows": (
            *("target", "task", "exclude", "categorical", "numeric", "datetime", "weight"),
            *("validation", "seed"),
        ),
        "How the file is written": (
            *("missing", "date_order", "decimal", "delimiter", "header", "skip_lines"),
        ),
        "Model": ("model", "effort", "members", "networks", "hidden", "activation", "averaging"),
        "Optimization": (
            *("batch_size", "batch_schedule", "learning_rate", "optimizer", "momentum"),
            *("schedule", "warmup"),
            *("loss", "quantiles", "class_weight", "l2", "weight_decay", "clip"),
        ),
        "When to stop": ("epochs", "time_budget", "patience"),
        "Advice": ("goal", "advice_budget"),
        "Memory": ("memory", "store"),
        "Several processes": ("sync_every", "share_rows"),
    }.items()
    for name in members
}
"""The heading in --help under which an option stands."""


def with_options(
    *names: str, defaults: Mapping[str, Any] = {}
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options with these names, as `SETTINGS` states them.

    The command's `given` parameter gets those that were typed, parsed, by name.

    Args:
        *names: of the options.
        defaults: for the help, where they are not those of `Settings`.
    """
    options = {name: SETTINGS[name] for name in names}

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        parameters = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in inspect.signature(command, eval_str=True).parameters.values()
            if parameter.name != "given"
        ]
        parameters += [_parameter(name, option, defaults) for name, option in options.items()]

        def wrapped(**values: Any) -> Any:
            typed = {name: values.pop(name) for name in options}
            given = {
                name: options[name].read(name, value)
                for name, value in typed.items()
                if value is not None
            }
            return command(**values, given=given)

        wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapped.__annotations__ = {one.name: one.annotation for one in parameters}
        wrapped.__doc__ = command.__doc__
        wrapped.__name__ = command.__name__
        return wrapped

    return decorate


settings_options = with_options(*SETTINGS)
"""Gives a command an option for every setting."""


def _parameter(name: str, option: Option, defaults: Mapping[str, Any]) -> inspect.Parameter:
    declared = typer.Option(
        _declare_option(name, option),
        help=f"{option.help}{_default_text(name, defaults)}",
        metavar=option.metavar or None,
        rich_help_panel=GROUP_OF.get(name),
        autocompletion=completion_of(name),
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[option.typed_as | None, declared],
    )


def _default_text(name: str, defaults: Mapping[str, Any]) -> str:
    """The default of an option that has one of its own; empty where `descend` decides by others.

    Typer knows none: what was not typed has to be told from what was.
    """
    usual = {one.name: one.default for one in dataclasses.fields(Settings)}
    default = {**usual, **defaults}[name]
    if default is dataclasses.MISSING or default is None or default == ():
        return ""
    shown = {True: "yes", False: "no"}[default] if isinstance(default, bool) else str(default)
    return f"  [default: {shown}]"


def _declare_option(name: str, option: Option) -> str:
    dashed = name.replace("_", "-")
    return f"--{dashed}/--no-{dashed}" if option.kind is bool else f"--{dashed}"
