"""The options of a training run: one record, checked once."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from descend.choices import CHOICES, is_delimiter
from descend.defaults import (
    ACTIVATION,
    BATCH_SCHEDULE,
    EFFORT,
    MODEL,
    MOMENTUM,
    PATIENCE,
    QUANTILES,
    VALIDATION_FRACTION,
)
from descend.errors import SettingsError, option_text, printable
from descend.io.paths import named_path
from descend.io.secrets import without_secrets
from descend.io.units import parse_duration, parse_size
from descend.option_checks import (
    FLOAT32_MAX,
    check_choice,
    check_names,
    check_no_array,
    check_number,
)
from descend.peer_names import ABSENT, COUNTERPARTS, HELD_OUT, LOSS_NAMES, plain_name

UNITS = {
    "memory": parse_size,
    "time_budget": parse_duration,
    "advice_budget": parse_duration,
}
"""Options that may be texts with a unit, from Python as on the command line."""
BALANCED = "balanced"
"""The class weights that give each class the same sum of weights."""
SEEDS = 1 << 32
"""Seeds are below this: the random generators take 32 bits."""
IN_MEMORY = "rows in memory"
"""What a record says of validation rows that the caller held in memory."""
NAMES = ("exclude", "categorical", "numeric", "datetime", "missing")
"""Options that are lists; all but the last are lists of columns."""


@dataclass(frozen=True, eq=False)
class GivenRows:
    """Validation rows that the caller holds in memory.

    Attributes:
        data: whatever `open_table` takes.
    """

    data: Any


@dataclass(frozen=True)
class Settings:
    """What the user asked for; `"auto"` and `None` stand for what `descend` then decides.

    Attributes:
        target: the column to predict (several, separated by commas, for regression).
        task: `auto`, `regression` or `classification`.
        exclude: columns to leave out.
        categorical: columns to treat as categories although they hold numbers.
        numeric: columns to treat as numbers, whatever they look like.
        datetime: columns of numbers that are dates: 20240131, or seconds or parts of them since
            1970.
        missing: further texts for a missing value; `COLUMN=TEXT` for one column only.
        date_order: `dmy` or `mdy` if 01/02/2024 is ambiguous; `auto` decides by the other rows.
        decimal: `point` or `comma` if 1,234 is ambiguous; `auto` decides.
        weight: the column with row weights.
        class_weight: of classes, what the losses of their rows are multiplied by: `NAME=WEIGHT`
            for each, 1 for the others; or `balanced`, which gives each class the same sum of
            weights. From Python also a mapping of classes to weights. Metrics are without them.
        delimiter: field separator of text files: one character, or `tab`, or `space` for any
            number of spaces and tabs; None detects it.
        header: whether the first line of text files holds the names of the columns.
        skip_lines: lines above the header of text files; None detects them.
        model: `tabular`, the network made for tables; `mlp`, a small plain one; or `linear`.
        effort: how much the tabular network trains: `quick`, `default` or `thorough`.
        members: of a network of the tabular model, trained together; None is 1, 4 or 2 by the
            effort.
        networks: of the tabular model, trained one after another, which predict their mean; None
            is 1, and 8 for `thorough`.
        hidden: units of each hidden layer; None is (128, 128, 128) for tabular and
            (128, 64) for mlp.
        activation: `relu`, `gelu` or `tanh`.
        batch_size: rows per update; `all` is gradient descent, 1 stochastic gradient descent.
        batch_schedule: `constant` keeps the batch size; `auto` lets it grow by measured gradient
            noise while training goes on, at the same learning rate.
        learning_rate: peak learning rate, or `auto`.
        optimizer: name of an update rule; `auto` is adamw for tabular, else momentum.
        momentum: for momentum and nesterov.
        schedule: of the learning rate; `auto` is warmup-stable-decay for tabular, else constant.
        warmup: fraction of the updates over which the learning rate rises from 0; `auto` is the
            first 60 updates, an epoch at most.
        averaging: whether to evaluate and save a running average of the weights instead of the
            weights after the last update.
        loss: the loss of one row, or `auto`.
        quantiles: rising levels between 0 and 1, for the loss `quantile`, which they name; where
            it is named alone, 0.1, 0.5 and 0.9.
        l2: penalty, l2/2 · |weights|², the same at every batch size.
        weight_decay: of the update rule; None is 0.01 for adamw (0.1 for tabular) and 0 for the
            others.
        clip: largest gradient norm; longer gradients are scaled down to it.
        epochs: most passes over the training rows; None is by the effort for tabular, 30 for
            cosine, one-cycle and warmup-stable-decay, which need an end, and no limit for the
            others.
        time_budget: most seconds of training.
        patience: evaluations without improvement before the learning rate is lowered, and in
            the end training stops.
        validation: fraction of the rows to hold out for validation, or a file; from Python
            also a table or arrays, as `data` may be one.
        seed: for the split, the initial weights and the order of rows.
        goal: what the advice looks for: `time` to a good validation loss, `examples` to it, or
            the `quality` of the loss.
        advice_budget: most seconds for the advice; None: a fraction of the training time.
        memory: bytes the whole process may use; a text such as "4GiB" is one too.
        sync_every: updates that each of several processes makes by itself before their weights are
            averaged; 1 sums the gradients of every batch, `auto` measures what messages cost.
        share_rows: whether each of several processes reads and keeps a share of the rows, and
            none has all: `yes`, `no`, or `auto` for tables that do not fit in memory.
        store: the folder for encoded rows; None keeps them in memory if they fit.
    """

    target: str
    task: str = "auto"
    exclude: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()
    datetime: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    date_order: str = "auto"
    decimal: str = "auto"
    weight: str | None = None
    class_weight: tuple[str, ...] = ()
    delimiter: str | None = None
    header: bool = True
    skip_lines: int | None = None
    model: str = MODEL
    effort: str = EFFORT
    members: int | None = None
    networks: int | None = None
    hidden: tuple[int, ...] | None = None
    activation: str = ACTIVATION
    batch_size: int | str = "auto"
    batch_schedule: str = BATCH_SCHEDULE
    learning_rate: float | str = "auto"
    optimizer: str = "auto"
    momentum: float = MOMENTUM
    schedule: str = "auto"
    warmup: float | str = "auto"
    averaging: bool = True
    loss: str = "auto"
    quantiles: tuple[float, ...] = ()
    l2: float = 0.0
    weight_decay: float | None = None
    clip: float | None = None
    epochs: int | None = None
    time_budget: float | None = None
    patience: int = PATIENCE
    validation: float | str | GivenRows = VALIDATION_FRACTION
    seed: int = 0
    goal: str = "time"
    advice_budget: float | None = None
    memory: int | None = None
    sync_every: int | str = 1
    share_rows: str = "auto"
    store: str | None = None

    def __post_init__(self) -> None:
        """Check every option; raise SettingsError for the first impossible one."""
        for field in dataclasses.fields(self):
            check_no_array(field.name, getattr(self, field.name))
        if not isinstance(self.target, str) or not all(self.targets):
            raise SettingsError(
                f"{option_text('target')} must name a column, or several with commas between; "
                f"found {self.target!r}."
            )
        for name in NAMES:
            what = "texts, such as '?' or '-999'" if name == "missing" else "names of columns"
            check_names(name, getattr(self, name), what)
        self._check_columns()
        if self.weight is not None and not (isinstance(self.weight, str) and self.weight):
            raise SettingsError(
                f"{option_text('weight')} must name a column; found {self.weight!r}."
            )
        class_weights(self.class_weight)
        if self.delimiter is not None and not is_delimiter(self.delimiter):
            raise SettingsError(
                f"{option_text('delimiter')} must be one character, such as ';', or tab, or space; "
                f"found {self.delimiter!r}."
            )
        if not isinstance(self.header, bool):
            raise SettingsError(
                f"{option_text('header')} must be true or false; found {self.header!r}."
            )
        if self.skip_lines is not None:
            check_number("skip_lines", self.skip_lines, low=0, whole=True)
        if isinstance(self.loss, str):
            object.__setattr__(self, "loss", LOSS_NAMES.get(plain_name(self.loss), self.loss))
        for name, choices in CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        self._resolve_quantiles()
        if self.batch_size not in ("auto", "all"):
            check_number("batch_size", self.batch_size, low=1, whole=True, also="'all' or 'auto'")
        if self.learning_rate != "auto":
            check_number(
                "learning_rate", self.learning_rate, above=0, most=FLOAT32_MAX, also="'auto'"
            )
        if not isinstance(self.validation, str | GivenRows) or not self.validation:
            check_number("validation", self.validation, above=0, below=1, also="a file")
        if self.hidden is not None and not isinstance(self.hidden, tuple):
            raise SettingsError(
                f"{option_text('hidden')} must be the units of each layer, such as (128, 64); "
                f"found {self.hidden!r}."
            )
        if not isinstance(self.averaging, bool):
            raise SettingsError(
                f"{option_text('averaging')} must be true or false; found {self.averaging!r}."
            )
        for units in self.hidden or ():
            check_number("hidden", units, low=1, whole=True)
        if self.store is not None:
            if not (isinstance(self.store, str) and self.store):
                raise SettingsError(
                    f"{option_text('store')} must name a folder; found {self.store!r}."
                )
            named_path(self.store, option_text("store"))
        check_number("momentum", self.momentum, low=0, below=1)
        if self.warmup != "auto":
            check_number("warmup", self.warmup, low=0, below=1, also="'auto'")
        if self.sync_every != "auto":
            check_number("sync_every", self.sync_every, low=1, whole=True, also="'auto'")
        check_number("l2", self.l2, low=0, most=FLOAT32_MAX)
        if self.weight_decay is not None:
            check_number("weight_decay", self.weight_decay, low=0, most=FLOAT32_MAX)
        check_number("patience", self.patience, low=1, whole=True)
        check_number("seed", self.seed, low=0, below=SEEDS, whole=True)
        for name, whole in (
            ("members", True),
            ("networks", True),
            ("epochs", True),
            ("time_budget", False),
            ("clip", False),
            ("advice_budget", False),
            ("memory", True),
        ):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), above=0, whole=whole)

    def _resolve_quantiles(self) -> None:
        """Levels name the loss, and the loss has levels; raise SettingsError where they cannot be.

        Decided here, so that nobody meets one without the other.
        """
        if not isinstance(self.quantiles, tuple):
            raise SettingsError(
                f"{option_text('quantiles')} must be levels between 0 and 1, such as (0.1, 0.9); "
                f"found {self.quantiles!r}."
            )
        for level in self.quantiles:
            check_number("quantiles", level, above=0, below=1)
        if any(low >= high for low, high in itertools.pairwise(self.quantiles)):
            raise SettingsError(
                f"{option_text('quantiles')} must rise, without a level twice; "
                f"found {self.quantiles!r}."
            )
        if self.quantiles and self.loss not in ("auto", "quantile"):
            raise SettingsError(
                f"{option_text('quantiles')} goes with {option_text('loss', 'quantile')}; found "
                f"{option_text('loss', self.loss)}. "
                "Leave one of them out."
            )
        if self.loss == "quantile" and not self.quantiles:
            object.__setattr__(self, "quantiles", QUANTILES)
        if self.quantiles and self.loss == "auto":
            object.__setattr__(self, "loss", "quantile")

    def _check_columns(self) -> None:
        """Raise SettingsError if a column is named as two types."""
        kinds = ("categorical", "numeric", "datetime")
        for place, one in enumerate(kinds):
            for other in kinds[place + 1 :]:
                both = set(getattr(self, one)) & set(getattr(self, other))
                if both:
                    raise SettingsError(
                        f"Column {min(both)!r} is named with {option_text(one)} and with "
                        f"{option_text(other)}; "
                        "expected one of them."
                    )

    @property
    def targets(self) -> tuple[str, ...]:
        """The target columns, one or several; a name with a comma has double quotes."""
        if '"' in self.target:
            return split_names(self.target)
        return tuple(name.strip() for name in self.target.split(","))

    @property
    def rising_part(self) -> float:
        """The fraction of the updates over which the learning rate rises, if given; else 0."""
        return 0.0 if isinstance(self.warmup, str) else self.warmup

    def as_json(self) -> dict[str, Any]:
        """The options as values that JSON holds, without passwords in addresses."""
        options = dict(vars(self))
        if isinstance(self.validation, GivenRows):
            options["validation"] = IN_MEMORY
        if isinstance(self.validation, str):
            options["validation"] = without_secrets(self.validation)
        return options

    def replace(self, **changes: Any) -> Settings:
        """The same options with some changed."""
        return settings_from({**vars(self), **changes})


def settings_from(options: Mapping[str, Any]) -> Settings:
    """Make Settings from a mapping of option names (dashes or underscores) to values.

    Raises:
        SettingsError: an unknown option (the nearest name is offered), no target, a bad value.
    """
    fields = {field.name: field for field in dataclasses.fields(Settings)}
    known: dict[str, Any] = {}
    for key, value in options.items():
        name = key.replace("-", "_")
        if name not in fields:
            raise SettingsError(f"There is no option {option_text(name)}.{_instead(name, fields)}")
        known[name] = _plain(name, value)
        if name in UNITS and isinstance(value, str):
            known[name] = UNITS[name](value, name)
    if isinstance(known.get("target"), tuple):
        known["target"] = ",".join(_listed_name(str(name)) for name in known["target"])
    if not known.get("target"):
        raise SettingsError(
            f"Which column is to be predicted? Name it with {option_text('target', 'COLUMN')}."
        )
    return Settings(**known)


def _instead(name: str, known: Iterable[str]) -> str:
    """What to give in place of an option that there is not; empty if nothing is known."""
    if name in HELD_OUT:
        validation = option_text("validation")
        return f" {validation} takes the rows to hold out, or a fraction of all rows such as 0.1."
    if name in ABSENT:
        return f" Instead: {ABSENT[name]}."
    if name in COUNTERPARTS:
        return f" Here it is {option_text(COUNTERPARTS[name])}."
    near = difflib.get_close_matches(name, known, 1)
    return f" Did you mean {option_text(near[0])}?" if near else ""


def class_weights(given: object) -> dict[str, float] | None:
    """The weights in a list of `NAME=WEIGHT`, by the text of the class; None for `balanced`.

    >>> class_weights(("yes=5", "no=1"))
    {'yes': 5.0, 'no': 1.0}

    Raises:
        SettingsError: it is no such list.
    """
    if given == (BALANCED,):
        return None
    found: dict[str, float] = {}
    for text in given if isinstance(given, tuple) else (given,):
        name, _, number = str(text).rpartition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if not (name and math.isfinite(weight) and weight >= 0) or name in found:
            raise SettingsError(
                f"{option_text('class_weight')} must be balanced, or NAME=WEIGHT for each class, "
                f"once, with a weight of 0 or more, such as yes=5; found {printable(str(text))!r}."
            )
        found[name] = weight
    return found


_LISTED_NAME = re.compile(r'\s*(?:"((?:[^"]|"")+)"\s*|([^,]*))(?:,|$)')


def split_names(text: str) -> tuple[str, ...]:
    """The names in a list with commas; one with a comma or spaces around it has double quotes.

    >>> split_names('a, b c,"d, e"," f"')
    ('a', 'b c', 'd, e', ' f')
    """
    found = []
    for quoted, plain in _LISTED_NAME.findall(text.replace("\n", " ")):
        name = quoted.replace('""', '"') or plain.strip()
        if name.strip():
            found.append(name)
    return tuple(found)


def _listed_name(name: str) -> str:
    """A name as `split_names` has it in a list."""
    plain = name == name.strip() and "," not in name and '"' not in name
    return name if plain else '"' + name.replace('"', '""') + '"'


def _plain(name: str, value: Any) -> Any:
    """The value in Python's own types, as records hold it."""
    if isinstance(value, str) and name in (*NAMES, "class_weight"):
        return split_names(value)
    if name == "class_weight":
        if isinstance(value, Mapping):
            return tuple(f"{_class_text(one)}={weight}" for one, weight in value.items())
        return () if value is None else _plain("", value)
    if name == "validation" and not isinstance(value, int | float | str | GivenRows):
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        # A number of NumPy is one too.
        return value.item() if getattr(value, "shape", None) == () else _given(value)
    if isinstance(value, int | float) and name in ("hidden", "quantiles"):
        return (value,)
    if name == "missing":  # A number stands for the text that a cell has.
        parts = _plain("", value if isinstance(value, list | tuple) else (value,))
        return tuple(str(one) if isinstance(one, int | float) else one for one in parts)
    if isinstance(value, list | tuple):
        return tuple(_plain("", part) for part in value)
    # NumPy's scalars, known without importing NumPy: `--help` need not wait for it.
    return value.item() if getattr(value, "shape", None) == () else value


def _class_text(label: object) -> str:
    """A class as a table would hold it: NumPy and Python write True, tables true."""
    text = str(label)
    return text.lower() if text in ("True", "False") else text


def _given(value: Any) -> Any:
    """Validation rows in memory; a value that is none stays, to be refused with the others."""
    return value if value is None or isinstance(value, Mapping) else GivenRows(value)
