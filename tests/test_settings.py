import contextlib
import dataclasses
import inspect
import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import descend
from descend import choices, defaults
from descend.errors import SettingsError
from descend.settings import Settings, settings_from

FIELDS = [field.name for field in dataclasses.fields(Settings)]

positive = st.floats(min_value=0, exclude_min=True, max_value=1e38)
not_negative = st.floats(min_value=0, max_value=1e38)
fractions = st.floats(min_value=0, max_value=1, exclude_max=True)
counts = st.integers(1, 10**12)
# A file has a name of 255 bytes at most, and a letter may take four.
names = st.text(min_size=1, max_size=60).filter(
    lambda text: "," not in text and text.strip() == text
)

good = st.fixed_dictionaries(
    {"target": names},
    optional={
        "task": st.sampled_from(choices.TASKS),
        "exclude": st.lists(names).map(tuple),
        "categorical": st.lists(names).map(tuple),
        "weight": names,
        "class_weight": st.just(("balanced",)) | st.just(("a=2.5", "b=c=0.0")),
        "model": st.sampled_from(choices.MODELS),
        "effort": st.sampled_from(list(defaults.EFFORTS)),
        "members": counts,
        "networks": counts,
        "hidden": st.lists(counts).map(tuple),
        "activation": st.sampled_from(choices.ACTIVATIONS),
        "batch_size": counts | st.sampled_from(["auto", "all"]),
        "batch_schedule": st.sampled_from(choices.BATCH_SCHEDULES),
        "learning_rate": positive | st.just("auto"),
        "optimizer": st.sampled_from(choices.OPTIMIZERS),
        "momentum": fractions,
        "schedule": st.sampled_from(choices.SCHEDULES),
        "warmup": fractions,
        "averaging": st.booleans(),
        "loss": st.sampled_from(choices.LOSSES),
        "l2": not_negative,
        "weight_decay": not_negative,
        "clip": positive,
        "epochs": counts,
        "time_budget": positive,
        "patience": counts,
        "validation": fractions.filter(bool) | names,
        "seed": st.integers(0, 2**32 - 1),
        "goal": st.sampled_from(choices.GOALS),
        "advice_budget": positive,
        "memory": counts,
        "sync_every": counts | st.just("auto"),
        "share_rows": st.sampled_from(choices.SHARE_ROWS),
        "store": names.filter(lambda name: "\0" not in name and not name.startswith("~")),
    },
)


@given(options=good)
def test_settings_go_through_json_and_come_back(options: dict[str, Any]) -> None:
    made = settings_from(options)
    assert settings_from(json.loads(json.dumps(made.as_json()))) == made


@given(options=good)
def test_dashes_and_underscores_are_one(options: dict[str, Any]) -> None:
    dashed = {name.replace("_", "-"): value for name, value in options.items()}
    assert settings_from(dashed) == settings_from(options)


def test_every_option_is_described() -> None:
    for name in FIELDS:
        assert f"\n    {name}: " in inspect.cleandoc(Settings.__doc__ or "")


WHOLE_NUMBERS = [0, -1, 1.0, 2.5, True, math.nan, math.inf, "many", [1], None]
NUMBERS = ["fast", True, math.nan, math.inf, -math.inf, -1, -1e-9, [1]]
BAD: dict[str, list[Any]] = {
    "target": ["", " ", ",", "a,,b", None, 3],
    "task": ["", "regresion", "REGRESSION", None, 1],
    "exclude": [3, (1, 2)],
    "categorical": [3, (1, 2)],
    "numeric": [3, (1, 2)],
    "datetime": [3, (1, 2)],
    "missing": [{"a": 1}, (None,)],
    "date_order": ["ymd", "", None],
    "decimal": [",", "", None],
    "weight": ["", 3],
    "class_weight": ["a", "a=-1", ("=1",), ("a=nan",)],
    "delimiter": ["", ";;", '"', "\n", 3],
    "header": [None, "no", 1],
    "skip_lines": [-1, 1.5, "2", True],
    "model": ["mpl", None, 2],
    "effort": ["fast", "", None],
    "members": [value for value in WHOLE_NUMBERS if value is not None],
    "networks": [value for value in WHOLE_NUMBERS if value is not None],
    "hidden": [64, "128,64", (0,), (-1,), (1.5,), (True,), ("a",)],
    "activation": ["rleu", None],
    "batch_size": ["All", "32", *WHOLE_NUMBERS],
    "batch_schedule": ["Auto", "grow", "", None, 2],
    "learning_rate": ["Auto", 0, 0.0, None, *NUMBERS],
    "optimizer": ["adamm", "", None],
    "momentum": [1, 1.0, 1.5, None, *NUMBERS],
    "schedule": ["cosin", "one_cycle", None],
    "warmup": [1, 2.0, None, *NUMBERS],
    "averaging": ["on", 1, None],
    "loss": ["median", "sums", None],
    "quantiles": [0.5, "0.5", (0.0,), (1.0,), (0.9, 0.1), (0.5, 0.5), (math.nan,)],
    "l2": [None, *NUMBERS],
    "weight_decay": NUMBERS,
    "clip": [0, *NUMBERS],
    "epochs": [value for value in WHOLE_NUMBERS if value is not None],
    "time_budget": [0, *NUMBERS],
    "patience": WHOLE_NUMBERS,
    "validation": ["", 0, 1, 1.5, None, -0.1, math.nan, True],
    "seed": [-1, 1.0, True, "one", None, 2**32, 10**400],
    "goal": ["speed", "", None],
    "advice_budget": [0, *NUMBERS],
    "memory": [value for value in WHOLE_NUMBERS if value is not None],
    "sync_every": ["Auto", "4", *WHOLE_NUMBERS],
    "share_rows": ["Yes", "", True, None],
    "store": ["", 3, ("a",)],
}
CASES = [(name, value) for name, values in BAD.items() for value in values]


def test_there_are_bad_values_for_every_option() -> None:
    assert list(BAD) == FIELDS


@pytest.mark.parametrize(("name", "value"), CASES)
def test_a_bad_value_names_the_option_and_what_was_found(name: str, value: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(**{"target": "price", name: value})
    text = str(caught.value)
    assert name in text
    assert "must" in text
    listed = (
        name in ("hidden", "quantiles", "class_weight")
        and isinstance(value, tuple)
        and len(value) == 1
    )
    found = value[0] if listed else value
    assert f"found {found!r}" in text


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"optimizer": "adamm"}, "'adam'"),
        ({"schedule": "one_cycle"}, "'one-cycle'"),
        ({"task": "regresion"}, "'regression'"),
        ({"loss": "crossentropyy"}, "'cross_entropy'"),
        ({"batchsize": 3}, "batch_size"),
        ({"learning-rat": 3}, "learning_rate"),
        ({"batch_size": 0.5}, "'all' or 'auto'"),
        ({"batch_size": 0}, "at least 1"),
        ({"learning_rate": 0}, "greater than 0"),
        ({"momentum": 1.0}, "less than 1"),
    ],
)
def test_an_error_offers_what_to_type(options: dict[str, Any], hint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_from({"target": "price", **options})
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("alias", "loss"),
    [("mse", "squared_error"), ("MAE", "absolute_error"), ("log_loss", "cross_entropy")],
)
def test_a_loss_is_known_by_its_usual_names(alias: str, loss: str) -> None:
    assert settings_from({"target": "price", "loss": alias}).loss == loss


def test_an_unknown_option_far_from_all_others_is_refused() -> None:
    for name, said in {"lr": "learning_rate", "eval_set": "validation", "tol": "patience"}.items():
        with pytest.raises(SettingsError, match=said):
            settings_from({"target": "y", name: 1})
    with pytest.raises(SettingsError, match=r"There is no option xyzzy\.$"):
        settings_from({"target": "price", "xyzzy": 1})


@pytest.mark.parametrize("options", [{}, {"target": ""}, {"target": None}, {"target": []}])
def test_a_missing_target_says_what_to_type(options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="target='COLUMN'"):
        settings_from(options)


def test_several_targets_come_with_commas_or_as_a_list() -> None:
    assert settings_from({"target": "a, b"}).targets == ("a", "b")
    assert settings_from({"target": ["a", "b"]}).targets == ("a", "b")


def test_names_come_with_commas_or_as_a_list() -> None:
    written = settings_from({"target": "y", "exclude": "id, name", "categorical": ["zip"]})
    assert written.exclude == ("id", "name")
    assert written.categorical == ("zip",)


@pytest.mark.parametrize("given", [-999, [-999], (np.int64(-999),), "-999"])
def test_a_number_that_means_missing_is_taken_as_its_text(given: Any) -> None:
    assert settings_from({"target": "y", "missing": given}).missing == ("-999",)


@pytest.mark.parametrize("name", ["learning_rate", "l2", "weight_decay"])
@pytest.mark.parametrize("value", [1e39, 10**400])
def test_a_number_beyond_float32_is_refused(name: str, value: float) -> None:
    with pytest.raises(SettingsError, match=r"at most 3\.4e\+38"):
        settings_from({"target": "y", name: value})


def test_numbers_of_numpy_become_plain_ones() -> None:
    made = settings_from(
        {
            "target": "y",
            "batch_size": np.int64(32),
            "learning_rate": np.float32(0.5),
            "hidden": (np.int32(8),),
        }
    )
    json.dumps(made.as_json())
    assert made == settings_from(
        {"target": "y", "batch_size": 32, "learning_rate": 0.5, "hidden": (8,)}
    )


def test_replacing_checks_again() -> None:
    made = Settings("y")
    assert made.replace(batch_size=8).batch_size == 8
    assert made.batch_size == "auto"
    with pytest.raises(SettingsError):
        made.replace(batch_size=0)
    with pytest.raises(SettingsError):
        made.replace(batchsize=8)


@pytest.mark.parametrize("name", sorted(set(FIELDS) - {"target"}))
@pytest.mark.parametrize("value", [np.array([0.1, 0.2]), np.zeros((2, 0)), np.array(["a", "b"])])
def test_an_array_is_taken_or_refused_in_one_sentence(name: str, value: Any) -> None:
    with contextlib.suppress(SettingsError):
        settings_from({"target": "y", name: value})


@pytest.mark.parametrize("name", ["train", "advise", "compare", "landscape"])
def test_the_target_of_a_table_is_never_guessed(name: str) -> None:
    table = pa.table({"x": [0.1, 0.2] * 50, "y": [1.0, 2.0] * 50, "price": [3.0, 4.0] * 50})
    with pytest.raises(SettingsError, match="target='COLUMN'"):
        getattr(descend, name)(table, model="linear")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("memory", "1GiB", 1 << 30),
        ("memory", "500MB", 500 << 20),
        ("time_budget", "10m", 600.0),
        ("advice_budget", "30s", 30.0),
    ],
)
def test_sizes_and_times_may_have_a_unit(name: str, text: str, value: float) -> None:
    assert getattr(settings_from({"target": "y", name: text}), name) == value


def test_a_size_with_another_unit_is_answered_with_one_that_works() -> None:
    with pytest.raises(SettingsError, match="memory must be a size like 4GiB or 500MB; found"):
        settings_from({"target": "y", "memory": "1 gallon"})
