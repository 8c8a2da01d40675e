import math

import numpy as np
import pytest

from descend.data.encoding.encoder import Encoder
from descend.defaults import EFFORTS, PLANNED_PATIENCE, TABULAR_LEARNING_RATE
from descend.errors import SettingsError
from descend.settings import Settings
from descend.training.build import (
    limits_of,
    resolve_for_rows,
    with_default_numbers,
    with_model_defaults,
)
from descend.training.effort import planned_epochs
from descend.training.network.from_settings import network_of
from tests.schemas import ROWS, TRAINING, Y, learn


@pytest.mark.parametrize(
    ("model", "optimizer", "schedule", "hidden"),
    [
        ("tabular", "adamw", "warmup-stable-decay", (128, 128, 128)),
        ("mlp", "momentum", "constant", (128, 64)),
        ("linear", "momentum", "constant", (128, 64)),
    ],
)
def test_what_suits_a_model_is_taken_where_nothing_is_named(
    model: str, optimizer: str, schedule: str, hidden: tuple[int, ...]
) -> None:
    made = with_model_defaults(Settings("y", model=model))
    assert (made.optimizer, made.schedule, made.hidden) == (optimizer, schedule, hidden)
    assert with_model_defaults(made) == made


def test_what_is_named_stays() -> None:
    asked = Settings("y", optimizer="sgd", schedule="cosine", hidden=(7,), members=2, epochs=3)
    made = resolve_for_rows(asked, 1_000)
    assert (made.optimizer, made.schedule, made.hidden) == ("sgd", "cosine", (7,))
    assert (made.members, made.epochs, made.weight_decay) == (2, 3, None)
    assert with_model_defaults(Settings("y", optimizer="prodigy")).schedule == "constant"


@pytest.mark.parametrize("effort", EFFORTS)
def test_an_effort_is_members_and_epochs(effort: str) -> None:
    made = resolve_for_rows(Settings("y", effort=effort), 5_000)
    assert (made.members, made.epochs, made.networks) == EFFORTS[effort]
    assert resolve_for_rows(Settings("y", effort=effort, model="linear"), 5_000).epochs is None


def test_more_rows_are_gone_through_less_often() -> None:
    epochs = [planned_epochs("default", 10**power) for power in range(2, 9)]
    assert epochs == sorted(epochs, reverse=True)
    assert epochs[0] == EFFORTS["default"].epochs
    assert epochs[-1] > 0


def test_the_rate_falls_as_the_root_of_a_small_batch() -> None:
    made = with_model_defaults(Settings("y"))
    numbers = [with_default_numbers(made, rows) for rows in (100_000, 64 * 16)]
    assert [one.batch_size for one in numbers] == [256, 16]
    rates = [float(one.learning_rate) for one in numbers]
    full = TABULAR_LEARNING_RATE
    assert rates == pytest.approx([full, full * math.sqrt(16 / 256)])
    given = with_default_numbers(made.replace(batch_size="all", learning_rate=0.5), 77)
    assert (given.batch_size, given.learning_rate) == (77, 0.5)


def test_a_planned_course_is_not_lowered_on_its_way() -> None:
    limits = limits_of(resolve_for_rows(Settings("y"), 1_000))
    assert not limits.lower_first
    assert limits.patience == EFFORTS["default"].epochs * PLANNED_PATIENCE
    assert limits.early_decay
    assert not limits_of(resolve_for_rows(Settings("y", patience=1_000), 1_000)).early_decay
    assert not limits_of(resolve_for_rows(Settings("y", schedule="cosine"), 1_000)).early_decay
    assert limits_of(resolve_for_rows(Settings("y", model="mlp"), 1_000)).lower_first


@pytest.mark.parametrize("others", [("a",), ("a", "b")])
def test_a_class_of_the_validation_rows_alone_begins_with_a_finite_loss(
    others: tuple[str, ...],
) -> None:
    classes = np.array([others[row % len(others)] for row in range(ROWS)], object)
    classes[~TRAINING] = "elsewhere"
    classes[np.flatnonzero(TRAINING)[0]] = "once"
    schema = learn({"x": Y, "y": classes})
    assert 0 in schema.target.counts
    settings = with_model_defaults(Settings("y", model="linear", loss="cross_entropy"))
    network = network_of(settings, schema, Encoder(schema))
    inputs = {"numeric": np.zeros((1, 1), np.float32), "category": np.zeros((1, 0), np.int32)}
    outputs = np.asarray(network.apply(network.init(0), inputs))[0]
    assert np.isfinite(outputs).all()
    shares = np.exp(outputs) / np.exp(outputs).sum()
    # Half a row stands for the class that training never saw.
    counts = [count or 0.5 for count in schema.target.counts]
    assert shares == pytest.approx([count / sum(counts) for count in counts], rel=1e-5)


@pytest.mark.parametrize("model", ["mlp", "linear"])
@pytest.mark.parametrize("name", ["members", "networks"])
def test_what_only_the_tabular_network_has_is_refused_elsewhere(name: str, model: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}.*{model}"):
        with_model_defaults(Settings("y", model=model).replace(**{name: 3}))
    with_model_defaults(Settings("y", model=model).replace(**{name: 1}))
