"""Inputs and targets as trees of arrays: by name in a row store, in the user's form elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax

from descend.errors import DataError

TARGET = "y__"
"""Prefix for further targets in a row store, where they lie among the inputs."""


class Form(NamedTuple):
    """The structure of a user's arrays.

    Attributes:
        names: of the arrays, in the order of the leaves.
        structure: the tree.
        columns: the names of the columns of each array that was a frame; None for others.
    """

    names: tuple[str, ...]
    structure: Any
    columns: tuple[tuple[str, ...] | None, ...]

    @property
    def single(self) -> bool:
        """Whether it is a single array."""
        return bool(jax.tree_util.treedef_is_leaf(self.structure))

    def assembled(self, arrays: Mapping[str, Any]) -> Any:
        """The arrays in the user's form."""
        return jax.tree.unflatten(self.structure, [arrays[name] for name in self.names])


def are_alike(one: Form, other: Form) -> bool:
    """Whether two trees have the same arrays in the same places."""
    return (one.names, one.structure) == (other.names, other.structure)


def check_columns(found: Form, expected: Form, what: str) -> None:
    """Raise DataError where a frame has other columns than in training, or in another order.

    A model knows columns by their place alone.

    Args:
        found: the form of some rows.
        expected: that of the first rows of training. An array without names fits any frame.
        what: these rows, for the message.
    """
    for name, columns, usual in zip(found.names, found.columns, expected.columns, strict=True):
        if columns is None or usual is None or columns == usual:
            continue
        if sorted(columns) == sorted(usual):
            said = f"in the order {_shown(usual)}; found {_shown(columns)}"
        else:
            missing = [one for one in usual if one not in columns]
            more = [one for one in columns if one not in usual]
            said = f"{_shown(usual)}" + "; missing " * bool(missing) + _shown(missing)
            said += "; not in training: " * bool(more) + _shown(more)
        raise DataError(
            f"Expected the columns of {name} in {what} as in the first training rows, {said}. "
            f"Give {name}[[{', '.join(map(repr, usual[:3]))}{', ...' * (len(usual) > 3)}]]."
        )


def _shown(columns: Sequence[str]) -> str:
    return ", ".join(columns[:10]) + ", ..." * (len(columns) > 10)


def _columns_of(array: Any) -> tuple[str, ...] | None:
    """The names of the columns of a frame; None where it has none but their numbers."""
    if type(array).__module__.split(".")[0] not in ("pandas", "polars", "pyarrow"):
        return None
    names = getattr(array, "column_names", getattr(array, "columns", None))
    if names is None or list(names) == list(range(len(names))):
        return None
    return tuple(map(str, names))


def take_apart(tree: Any, name: str) -> tuple[Form, dict[str, Any]]:
    """Split a tree into its form and its arrays by name.

    Args:
        tree: an array, or mappings, lists and tuples of arrays.
        name: of a single array, and the prefix of arrays without a name.

    Raises:
        DataError: no array, or an impossible name.
    """
    tree = _plain(tree)
    if _is_array(tree):
        return Form((name,), jax.tree.structure(0), (_columns_of(tree),)), {name: tree}
    found, structure = jax.tree_util.tree_flatten_with_path(tree, is_leaf=_is_array)
    if not found:
        raise DataError(f"Expected at least one array in {name}, found an empty {_kind(tree)}.")
    arrays: dict[str, Any] = {}
    for path, leaf in found:
        own = "__".join(_step(step, name) for step in path)
        # A row store has a file for each input, besides those of y and weight.
        taken = arrays if name == "y" else ("y", "weight", *arrays)
        if not own.isidentifier() or own in taken or own.startswith(TARGET):
            other = "" if name == "y" else ", other than y and weight"
            raise DataError(
                f"The arrays in {name} need names that are Python identifiers{other}; found "
                f"{own!r}."
            )
        arrays[own] = leaf
    return Form(tuple(arrays), structure, tuple(map(_columns_of, arrays.values()))), arrays


def _plain(tree: Any) -> Any:
    """Convert mappings to dicts, and lists and tuples that hold arrays to trees."""
    if isinstance(tree, Mapping):
        return {name: _plain(part) for name, part in tree.items()}
    if isinstance(tree, list | tuple) and any(_is_tree(part) for part in tree):
        return type(tree)(_plain(part) for part in tree) if type(tree) in (list, tuple) else tree
    return tree


def _is_tree(part: Any) -> bool:
    """Whether an element of a list is an array or a tree of arrays, and not a number or a row."""
    if isinstance(part, Mapping):
        return True
    if isinstance(part, list | tuple):
        return any(_is_tree(one) for one in part)
    return len(getattr(part, "shape", ())) > 0


def _is_array(part: Any) -> bool:
    """Whether an element is one array, such as a list of numbers."""
    if isinstance(part, Mapping):
        return False
    return not (isinstance(part, list | tuple) and any(_is_tree(one) for one in part))


def _step(step: Any, name: str) -> str:
    key = getattr(step, "key", getattr(step, "idx", getattr(step, "name", step)))
    if isinstance(key, str):
        return key
    return f"{name}_{key}"


def _kind(tree: Any) -> str:
    return "mapping" if isinstance(tree, Mapping) else type(tree).__name__
