"""The options that several commands share, each stated once."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from descend.defaults import RISE_UPDATES
from descend.errors import SettingsError, option_text, printable
from descend.io.secrets import without_secrets
from descend.io.units import parse_duration, parse_size

Data = Annotated[str, typer.Argument(help="A file, a glob, a URL, or an SQL query.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
Out = Annotated[Path | None, typer.Option("--out", help="The folder to write.")]
Force = Annotated[
    bool, typer.Option("--force", help="Replace what an earlier command wrote in the folder.")
]
Config = Annotated[Path | None, typer.Option("--config", help="A TOML file with options.")]
Like = Annotated[Path | None, typer.Option("--like", help="A run whose settings to repeat.")]


def progress_of(quiet: bool) -> Any:
    """The progress of a command."""
    from descend.reporting.progress import make_progress

    return make_progress("silent" if quiet else "auto")


def names(text: str) -> tuple[str, ...]:
    """The names in a list with commas; a name that holds a comma stands in double quotes."""
    from descend.settings import split_names

    return split_names(text)


def _hidden(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(units) for units in text.replace(" ", "").split(",") if units)
    except ValueError:
        raise SettingsError(
            f"--hidden must be whole numbers with commas, like 128,64; found {text!r}."
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
        help="The table of the run, where it was a query or an address: they are not taken from "
        "a record, which may come from somebody else.",
    ),
]
NamedValidation = Annotated[
    str | None,
    typer.Option("--validation", metavar="DATA", help="Its validation rows, likewise."),
]
NamedStore = Annotated[
    str | None,
    typer.Option("--store", metavar="DIR", help="The folder for rows, where the run's is gone."),
]


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


MEMORY = "Most memory of the whole process: 4GiB, 500MB; in powers of 1024."

SETTINGS: dict[str, Option] = {
    "target": Option(
        "The column to predict; several with commas for regression.", metavar="COLUMN"
    ),
    "task": Option("auto, regression or classification.", metavar="TASK"),
    "exclude": Option("Columns to leave out.", parse=names, metavar="COL,COL"),
    "categorical": Option("Number columns to treat as categories.", parse=names, metavar="COL,COL"),
    "numeric": Option("Columns to treat as numbers.", parse=names, metavar="COL,COL"),
    "datetime": Option(
        "Number columns that count seconds (or ms, µs, ns) since 1970.",
        parse=names,
        metavar="COL,COL",
    ),
    "missing": Option(
        "Further texts for a missing value; COL=TEXT for one column.",
        parse=names,
        metavar="TEXT,TEXT",
    ),
    "date_order": Option("How 01/02/2024 is read: dmy or mdy.", metavar="ORDER"),
    "decimal": Option("How 1,234 is read: point or comma as decimal mark.", metavar="MARK"),
    "weight": Option("The column with row weights.", metavar="COLUMN"),
    "delimiter": Option(
        "Between the fields of text files: one character, tab, or space.", metavar="CHAR"
    ),
    "header": Option("Whether the first line of text files names the columns.", bool),
    "skip_lines": Option("Lines above the header of text files.", int, metavar="N"),
    "model": Option("tabular, mlp or linear.", metavar="MODEL"),
    "effort": Option("quick, default or thorough, for tabular.", metavar="EFFORT"),
    "members": Option("Networks in one, for tabular.", int, metavar="N"),
    "hidden": Option("Units of the hidden layers.", parse=_hidden, metavar="128,64"),
    "activation": Option("relu, gelu or tanh.", metavar="NAME"),
    "batch_size": Option(
        "Rows per update: a number, auto, or all (gradient descent); 1 is stochastic.",
        parse=_number_or_word("batch_size", ("auto", "all"), whole=True),
        metavar="N|auto|all",
    ),
    "learning_rate": Option(
        "Peak learning rate, or auto.",
        parse=_number_or_word("learning_rate", ("auto",), whole=False),
        metavar="X|auto",
    ),
    "optimizer": Option("auto, adamw, momentum, sgd, nesterov, adam, ...", metavar="NAME"),
    "momentum": Option("Momentum of the rules momentum and nesterov.", float, metavar="X"),
    "schedule": Option("auto, constant, cosine, one-cycle or inverse-time.", metavar="NAME"),
    "warmup": Option(
        "Fraction of the run in which the rate rises from 0; "
        f"auto: {RISE_UPDATES} updates, at most an epoch.",
        parse=_number_or_word("warmup", ("auto",), whole=False),
        metavar="X|auto",
    ),
    "averaging": Option("Evaluate and save a running average of the weights.", bool),
    "loss": Option(
        "squared_error, absolute_error, huber, poisson or cross_entropy.", metavar="NAME"
    ),
    "l2": Option("Penalty l2/2 * |weights|^2.", float, metavar="X"),
    "weight_decay": Option("Weight decay of the update rule.", float, metavar="X"),
    "clip": Option("Largest norm of a gradient.", float, metavar="X"),
    "epochs": Option("Most passes over the training rows.", int, metavar="N"),
    "time_budget": Option(
        "Most training time: 30s, 10m, 2h.", parse=parse_duration, metavar="TIME"
    ),
    "patience": Option(
        "Evaluations without improvement before the rate is lowered.", int, metavar="N"
    ),
    "validation": Option(
        "Fraction of the rows to hold out for validation, or a file of validation rows.",
        parse=_fraction_or_file,
        metavar="0.1|FILE",
    ),
    "seed": Option("Of the split, the initial weights and the order of rows.", int, metavar="N"),
    "goal": Option("What auto looks for: time, examples or quality.", metavar="GOAL"),
    "advice_budget": Option(
        "Most time for choosing what is auto: 20s, 2m.",
        parse=lambda text: parse_duration(text, "advice_budget"),
        metavar="TIME",
    ),
    "memory": Option(MEMORY, parse=parse_size, metavar="SIZE"),
    "store": Option("Keep the converted rows in this folder, for later runs.", metavar="DIR"),
}


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command an option for every setting.

    The command's `given` parameter gets the settings that were typed, parsed, by name.
    """
    own = [
        parameter
        for parameter in inspect.signature(command, eval_str=True).parameters.values()
        if parameter.name != "given"
    ]
    shared = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                option.kind | None,
                typer.Option(
                    _declared(name, option), help=option.help, metavar=option.metavar or None
                ),
            ],
        )
        for name, option in SETTINGS.items()
    ]

    def wrapped(**values: Any) -> Any:
        given = {}
        for name, option in SETTINGS.items():
            value = values.pop(name)
            if value is not None:
                given[name] = option.parse(value) if option.parse else value
        return command(**values, given=given)

    order = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    wrapped.__signature__ = inspect.Signature([*order, *shared])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in (*order, *shared)}
    wrapped.__doc__ = command.__doc__
    wrapped.__name__ = command.__name__
    return wrapped


def _declared(name: str, option: Option) -> str:
    dashed = name.replace("_", "-")
    return f"--{dashed}/--no-{dashed}" if option.kind is bool else f"--{dashed}"


def gathered_settings(
    given: dict[str, Any], config: Path | None, like: Path | None, fixed: Mapping[str, Any] = {}
) -> Any:
    """Settings from a run's record, then `fixed`, a file, what was typed: the last one wins."""
    from descend.runs.folder import read_run_record
    from descend.settings import read_config, settings_from

    options: dict[str, Any] = {}
    typed: dict[str, Any] = {}
    if like is not None:
        record = read_run_record(like)
        measured = ("batch_size", "learning_rate")
        options.update(record["asked"], **{name: record["settings"][name] for name in measured})
        options.pop("store", None)  # No folder is made because a record asks for it.
    options.update(fixed)
    if config is not None:
        typed = _parsed(read_config(config))
        options.update(typed)
    typed = {**typed, **given}
    options.update(given)
    validation = options.get("validation")
    if like is not None and isinstance(validation, str) and "validation" not in typed:
        from descend.data.reading.sources import accept_recorded

        accept_recorded(validation, record=str(like), named=None, option="validation")
    return settings_from(options)


def _parsed(config: dict[str, Any]) -> dict[str, Any]:
    """The options of a file; quoted values are read as on the command line."""
    parsed = {}
    for key, value in config.items():
        option = SETTINGS.get(key.replace("-", "_"))
        parse = option.parse if option is not None and isinstance(value, str) else None
        parsed[key] = parse(value) if parse else value
    return parsed


def typed_command() -> list[str]:
    """What was typed, for records, without passwords in addresses."""
    return [without_secrets(part) for part in sys.argv[1:]]


def show(record: Any, as_json: bool, text: str) -> None:
    """Print a result: one JSON object, or text for people."""
    if as_json:
        from descend.io.atomic import json_text

        content = json_text(record)
        encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "")
        if encoding != "utf8":  # What such a terminal lacks is written as JSON writes it.
            content = json.dumps(json.loads(content), indent=2)
        print(content)
    else:
        print(printable(text))
