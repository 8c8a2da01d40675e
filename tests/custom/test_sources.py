"""Rows from what other libraries give them in: equal to the same rows as arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import sparse

import descend
from descend.custom.sources import chunks_of, read_whole
from descend.errors import DataError, InputError

os.environ.setdefault("KERAS_BACKEND", "jax")
X = np.random.default_rng(0).normal(size=(120, 3)).astype(np.float32)
Y = (X @ np.array([1.0, 2.0, 3.0], np.float32)).astype(np.float32)
OPTIONS: dict[str, Any] = {"batch_size": 10, "learning_rate": 0.05, "epochs": 3}
STARTS = range(0, len(X), 32)


def one_array(data: Any, **options: Any) -> Any:
    model = (lambda key: jnp.zeros((3, 1)), lambda params, x: x @ params)
    return descend.fit(model, data, **{**OPTIONS, **options})


def mapping(data: Any, **options: Any) -> Any:
    model = (lambda key: jnp.zeros((3, 1)), lambda params, x: x["pixels"] @ params)
    return descend.fit(model, data, **{**OPTIONS, **options})


@pytest.fixture(scope="module")
def expected() -> Any:
    return one_array((X, Y)).params.tolist()


class TorchLike:
    """A data set of single rows, as PyTorch has it."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, place: int) -> Any:
        return X[place], Y[place]


class Again:
    """Chunks that can be gone through again."""

    def __iter__(self) -> Iterator[Any]:
        return ((X[start : start + 32], Y[start : start + 32]) for start in STARTS)


def torch_loader() -> Any:
    torch = pytest.importorskip("torch")
    rows = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    return torch.utils.data.DataLoader(rows, batch_size=32)


def torch_rows() -> Any:
    torch = pytest.importorskip("torch")
    return torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))


def torch_stream() -> Any:
    torch = pytest.importorskip("torch")

    class Stream(torch.utils.data.IterableDataset):  # type: ignore[misc,name-defined]
        def __iter__(self) -> Iterator[Any]:
            return iter(zip(X, Y, strict=True))

    return Stream()


def keras_sequence() -> Any:
    keras = pytest.importorskip("keras")

    class Sequence(keras.utils.PyDataset):  # type: ignore[misc,name-defined]
        def __len__(self) -> int:
            return len(STARTS)

        def __getitem__(self, place: int) -> Any:
            start = STARTS[place]
            return X[start : start + 32], Y[start : start + 32]

    return Sequence()


def grain_loader() -> Any:
    grain = pytest.importorskip("grain")
    return grain.MapDataset.source(TorchLike()).batch(32)


def grain_rows() -> Any:
    grain = pytest.importorskip("grain")
    return grain.MapDataset.source(TorchLike()).to_iter_dataset()


@pytest.mark.parametrize(
    "make",
    [
        Again,
        lambda: iter(Again()),
        lambda: list(Again()),
        TorchLike,
        lambda: zip(X, Y, strict=True),
        torch_loader,
        torch_rows,
        torch_stream,
        keras_sequence,
        grain_loader,
        grain_rows,
    ],
)
def test_rows_are_the_same_in_whatever_they_come(make: Callable[[], Any], expected: Any) -> None:
    assert one_array(make()).params.tolist() == expected


def same_arrays_again(shape: tuple[int, ...]) -> Iterator[Any]:
    """Chunks or rows in arrays that are filled again for the next one."""
    x, y = np.empty((*shape, 3), np.float32), np.empty(shape, np.float32)
    for inputs, targets in zip(X.reshape(-1, *x.shape), Y.reshape(-1, *y.shape), strict=True):
        x[...], y[...] = inputs, targets
        yield x, y


@pytest.mark.parametrize("shape", [(), (30,)])
def test_an_iterator_may_fill_the_same_arrays_again(shape: tuple[int, ...], expected: Any) -> None:
    assert one_array(same_arrays_again(shape)).params.tolist() == expected
    [*chunks] = chunks_of(({"x": x, "y": y} for x, y in same_arrays_again(shape)), "y")
    assert np.array_equal(np.concatenate([x["x"] for x, _ in chunks]), X)
    assert np.array_equal(np.concatenate([y for _, y in chunks]), Y)
    run = one_array((X, Y), validation=same_arrays_again(shape))
    whole = one_array((X, Y), validation=(X, Y))
    assert run.history[-1].validation_loss == whole.history[-1].validation_loss


class ArrowLike:
    """What a data set of Hugging Face answers to: columns by name, in batches."""

    column_names = ("pixels", "label")

    def __init__(self, kind: str | None = None) -> None:
        self.kind = kind

    def with_format(self, kind: str) -> ArrowLike:
        return ArrowLike(kind)

    def iter(self, batch_size: int) -> Iterator[Any]:
        assert self.kind == "numpy"
        for start in range(0, len(X), batch_size):
            yield {"pixels": X[start : start + batch_size], "label": Y[start : start + batch_size]}


def hugging_face() -> Any:
    datasets = pytest.importorskip("datasets")
    return datasets.Dataset.from_dict({"pixels": X.tolist(), "label": Y.tolist()})


def streamed() -> Any:
    return hugging_face().to_iterable_dataset()


@pytest.mark.parametrize(
    "make",
    [
        ArrowLike,
        hugging_face,
        streamed,
        lambda: {"pixels": X, "label": Y},
        lambda: iter([{"pixels": X[:50], "label": Y[:50]}, {"pixels": X[50:], "label": Y[50:]}]),
        lambda: [{"pixels": x, "label": y} for x, y in zip(X, Y, strict=True)],
    ],
)
def test_a_mapping_has_its_target_among_its_arrays(make: Callable[[], Any], expected: Any) -> None:
    run = mapping(make(), target="label")
    assert np.abs(run.params - np.array(expected)).max() < 1e-6


def test_weights_and_the_usual_name_of_a_target_are_found() -> None:
    weight = np.r_[np.ones(60), np.zeros(60)]
    found = mapping({"pixels": X, "y": Y, "weight": weight}, validation=({"pixels": X}, Y))
    beside = mapping(({"pixels": X}, Y, weight), validation=({"pixels": X}, Y))
    assert found.params.tolist() == beside.params.tolist()


def test_a_loader_gives_validation_rows() -> None:
    run = one_array((X, Y), validation=torch_loader(), validation_sets={"same": Again()})
    beside = one_array((X, Y), validation=(X, Y))
    assert run.params.tolist() == beside.params.tolist()
    losses = [(line.validation_loss, line.metrics["same/loss"]) for line in run.history]
    assert all(one == other for one, other in losses)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"pixels": X, "digit": Y}, "Expected the target 'label' among the arrays pixels, digit"),
        ({"label": Y}, "inputs beside the target"),
        (7, "found int"),
        (lambda: 7, "Call it: data=generator"),
    ],
)
def test_what_has_no_rows_is_refused(data: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        list(chunks_of(data, "label"))


def test_rows_of_other_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="not alike"):
        list(chunks_of([(np.ones(3), 1.0), (np.ones(4), 2.0)], "y"))


@pytest.mark.slow
def test_sequences_with_a_mask_have_a_loss_over_their_places() -> None:
    """Token ids, a mask, targets as a mapping: the loss of a row is a sum over its places."""
    random = np.random.default_rng(1)
    tokens = random.integers(0, 6, size=(200, 9)).astype(np.int16)
    mask = np.arange(9) < random.integers(3, 10, size=(200, 1))
    after = (tokens.astype(np.int32) + 1) % 6
    # What stands behind the end of a sequence must not count.
    after[~mask] = random.integers(0, 6, size=int((~mask).sum()))

    def init(key: Any) -> Any:
        first, last = jax.random.split(key)
        return jax.random.normal(first, (6, 8)), jax.random.normal(last, (8, 6)) / 3

    def loss(outputs: Any, y: Any) -> Any:
        logs = jax.nn.log_softmax(outputs)
        own = jnp.take_along_axis(logs, y["after"][..., None], axis=-1)[..., 0]
        return -jnp.sum(own * y["mask"], axis=1)

    def right(outputs: Any, y: Any) -> float:
        return float((outputs.argmax(-1) == y["after"])[y["mask"]].mean())

    run = descend.fit(
        (init, lambda params, x: params[0][x["tokens"]] @ params[1] * x["mask"][..., None]),
        ({"tokens": tokens, "mask": mask}, {"after": after, "mask": mask}),
        loss=loss,
        metrics={"right": right},
        optimizer="adam",
        learning_rate=0.02,
        batch_size=20,
        epochs=25,
    )
    assert run.metrics["model"]["right"] == 1.0
    assert run.predict({"tokens": tokens[:4], "mask": mask[:4]}).shape == (4, 9, 6)
    codes = descend.fit(
        (init, lambda params, x: params[0][x] @ params[1]),
        (tokens, (tokens.astype(np.int32) + 1) % 6),
        loss="cross_entropy",
        optimizer="adam",
        learning_rate=0.02,
        batch_size=20,
        epochs=25,
    )
    assert (codes.predict(tokens).argmax(-1) == (tokens + 1) % 6).all()


@pytest.mark.parametrize("target", ["label", "y"])
def test_a_mapping_of_data_sets_is_answered_with_how_to_give_one(target: str) -> None:
    datasets = pytest.importorskip("datasets")
    parts = datasets.Dataset.from_dict({"x": [[1.0], [2.0], [3.0]], "label": [1.0, 2.0, 3.0]})
    whole = parts.train_test_split(1, seed=0)
    with pytest.raises(DataError, match=r"data\['train'\], validation=data\['test'\]"):
        list(chunks_of(whole, target))


def test_the_batches_of_a_loader_may_stand_in_a_list(expected: Any) -> None:
    batches = [[X[start : start + 32], Y[start : start + 32]] for start in STARTS]
    assert one_array(batches).params.tolist() == expected


def test_a_chunk_may_be_empty_count_for_nothing_or_have_another_type_for_the_same_numbers() -> None:
    X_whole, y = np.round(10 * X), np.round(10 * Y)
    weight = np.arange(len(X)) >= 60
    expected = one_array((X_whole, y, weight)).params.tolist()
    chunks = [
        (X_whole[:30], y[:30], weight[:30]),
        (X_whole[:0], y[:0], weight[:0]),
        (X_whole[30:70].astype(np.float64), y[30:70].astype(np.int64), weight[30:70]),
        (X_whole[70:].astype(np.int32), y[70:], weight[70:].astype(np.int8)),
    ]
    assert one_array(iter(chunks)).params.tolist() == expected


def test_chunks_of_other_numbers_than_the_first_type_holds_are_refused() -> None:
    pixels = np.abs(X).astype(np.uint8)
    with pytest.raises(DataError, match=r"x uint8 \[3\].*x float32 \[3\].*one type"):
        one_array(iter([(pixels[:60], Y[:60]), (X[60:], Y[60:])]))
    with pytest.raises(DataError, match="not all of them 0"):
        one_array(iter([(X, Y, np.zeros(len(X)))]))
    with pytest.raises(DataError, match="make it anew"):
        one_array(iter([]))


def test_validation_rows_may_have_another_type_for_the_same_numbers() -> None:
    few = (np.round(X[:40]), np.round(Y[:40]))
    whole = (few[0].astype(int), few[1].astype(int))
    losses = [one_array((X, Y), validation=rows).history[-1] for rows in (few, whole)]
    assert losses[0].validation_loss == losses[1].validation_loss
    with pytest.raises(DataError, match=r"^validation: Expected arrays"):
        one_array((X, Y), validation=None)


def test_predictions_are_made_for_rows_as_in_training() -> None:
    run = one_array((np.abs(X).astype(np.uint8), Y))
    assert run.predict(np.ones((2, 3))).tolist() == run.predict(np.ones((2, 3), np.uint8)).tolist()
    assert run.predict(np.ones((0, 3))).shape == (0, 1)
    with pytest.raises(DataError, match=r"uint8 \['rows', 3\].*float64|float32 from 0.1 to 0.1"):
        run.predict(np.full((2, 3), 0.1))
    with pytest.raises(DataError, match=r"For a single row give x\[None\]"):
        run.predict(np.ones(3))
    with pytest.raises(InputError, match=r"x \[5\]; in training they were x \[3\]"):
        run.predict(np.ones((2, 5)))


def test_a_width_of_1_is_not_repeated() -> None:
    model = (lambda key: jnp.ones(3), lambda params, x: (x * params).sum(axis=1, keepdims=True))
    run = descend.fit(model, (X, Y), **OPTIONS)
    with pytest.raises(DataError, match=r"'rows', 3\]; found \[120, 1\]"):
        run.predict(X[:, :1])


@pytest.mark.parametrize(
    ("x", "answer"),
    [
        (sparse.csr_matrix(X), r"X.toarray\(\)"),
        (X.astype(str), "codes for text"),
        (X.astype("M8[s]"), "times as numbers"),
        (X + 1j, "real and the imaginary"),
    ],
)
def test_what_is_no_number_is_answered_with_what_to_give(x: Any, answer: str) -> None:
    with pytest.raises(DataError, match=answer):
        one_array((x, Y))


def test_a_loader_that_shuffles_is_told_how_to_go_on(tmp_path: Path) -> None:
    def rows(seed: int) -> Iterator[Any]:
        order = np.random.default_rng(seed).permutation(len(X))
        return iter([(X[order], Y[order])])

    one_array(rows(0), out=tmp_path / "run")
    with pytest.raises(DataError, match="same order: shuffle=False"):
        one_array(rows(1), out=tmp_path / "run", resume=True, epochs=5)


PyTorchDataset = type("Dataset", (), {"__module__": "torch.utils.data.dataset"})
"""What a data set of PyTorch is known by, where PyTorch is not installed."""


class Items(PyTorchDataset):  # type: ignore[misc, valid-type]
    """A data set of PyTorch that holds tuples or mappings of arrays."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, place: int) -> Any:
        return self.items[place]


@pytest.mark.parametrize(
    ("x", "y"),
    [((6,), (6,)), ((1,), (1,)), ((5,), (1,)), ((1, 8, 8), (10,)), ((3, 4, 2), ())],
)
def test_items_of_a_pytorch_data_set_are_rows(x: tuple[int, ...], y: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    X, Y = random.normal(size=(12, *x)), random.normal(size=(12, *y))
    for items in (
        [*zip(X, Y, strict=True)],
        [{"x": one, "y": other} for one, other in zip(X, Y, strict=True)],
    ):
        read = read_whole(Items(items), "y").batch
        assert [leaf.shape for leaf in jax.tree.leaves((read.x, read.y))] == [X.shape, Y.shape]
        assert np.array_equal(jax.tree.leaves(read.x)[0], X.astype(np.float32))


def test_items_of_one_array_alone_are_their_own_targets() -> None:
    X = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    read = read_whole(Items([(one,) for one in X]), "y").batch
    assert np.array_equal(jax.tree.leaves(read.x)[0], X)


@pytest.mark.parametrize("y", [(16,), (16, 1)])
def test_items_that_may_be_batches_are_asked_about(y: tuple[int, ...]) -> None:
    items = [(np.zeros((16, 6)), np.zeros(y))] * 3
    with pytest.raises(
        DataError, match=r"\(16, 6\), \(16,.*one row, or a batch of 16 rows\?.*batch_size=None"
    ):
        read_whole(Items(items), "y")
    assert len(read_whole(list(items), "y").batch.weight) == 48


@pytest.mark.parametrize(
    "item", [([1, 2, 3], [0, 1, 0]), {"ids": [1, 2, 3, 4], "y": [0, 1, 0, 1]}, [[1.0], [2.0]]]
)
def test_items_that_are_lists_of_numbers_are_refused(item: Any) -> None:
    with pytest.raises(DataError, match=r"lists of numbers, such as .* expected arrays"):
        read_whole(Items([item] * 3), "y")


class GrainLike:
    """What a data set of Grain is known by, where Grain is not installed."""

    __module__ = "grain.dataset"

    def __init__(self, items: list[Any], *parents: Any) -> None:
        self.items, self.parents = items, parents

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)


class BatchGrainLike(GrainLike):
    __module__ = "grain.dataset"


def test_items_of_a_grain_data_set_are_rows_unless_it_makes_batches() -> None:
    items = [(np.arange(6.0), np.arange(6.0))] * 8
    rows = GrainLike(items, GrainLike(items))
    assert read_whole(rows, "y").batch.x["x"].shape == (8, 6)
    batches = GrainLike(items, BatchGrainLike(items, rows))
    assert read_whole(batches, "y").batch.x["x"].shape == (48,)
    unclear = GrainLike([(np.zeros((4, 2)), np.zeros(4))])
    with pytest.raises(
        DataError, match=r"or a batch of 4 rows\? .* data\.batch\(64\); .* iter\(data\)"
    ):
        read_whole(unclear, "y")
    assert read_whole(iter(unclear), "y").batch.x["x"].shape == (4, 2)


def test_sequences_of_a_grain_data_set_are_rows() -> None:
    grain = pytest.importorskip("grain")
    data = grain.MapDataset.source([(np.arange(6), np.arange(6))] * 8).shuffle(seed=0)
    for whole in (data, data.to_iter_dataset(), data.batch(4)):
        assert read_whole(whole, "y").batch.x["x"].shape == (8, 6)
