"""Records of JSON, read through schemas: every key and every type is checked before it is used.

A schema is a `msgspec.Struct` or a frozen dataclass; what it does not name may be there as well.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import msgspec

from descend.errors import FileFormatError, InputError

T = TypeVar("T")
VERSION = "version"
"""The key that says which version of its schema a record has; without it, it has version 1."""

Migration = Callable[[dict[str, Any]], dict[str, Any]]
"""Makes a record of one version one of the next."""


def decode_json(content: bytes | str, name: object) -> Any:
    """What JSON holds; all numbers in it are finite.

    Args:
        content: JSON.
        name: of the file, for the message.

    Raises:
        FileFormatError: it is no JSON, too deep, or has numbers beyond every bound.
    """
    try:
        return msgspec.json.decode(content)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{name} is damaged: {error}.") from None


def read_json(path: Path) -> Any:
    """What a file of JSON holds.

    Raises:
        FileFormatError: the file is not JSON.
        InputError: there is no such file.
    """
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"There is no file {path}.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {os.strerror(error.errno or 0)}.") from error
    return decode_json(content, path)


def read_as(schema: type[T], value: object) -> T:
    """A value as an instance of a schema.

    Raises:
        ValueError: a key is absent or a type is wrong; the message names the place, as `$.a.b`.
    """
    try:
        return msgspec.convert(value, schema)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def read_fields(kind: type[Any], record: Mapping[str, Any], known: set[str]) -> dict[str, Any]:
    """The fields of a dataclass, each as its annotation says; those that are known as they are.

    Raises:
        ValueError: a field without a default is absent, or a type is wrong.
    """
    hints = get_type_hints(kind)
    fields = dataclasses.fields(kind)
    for field in fields:
        default = (field.default, field.default_factory) != (dataclasses.MISSING,) * 2
        if field.name not in record and not default:
            raise ValueError(f"{field.name!r} is absent")
    names = [field.name for field in fields if field.name in record]
    return {
        name: record[name] if name in known else read_as(hints[name], record[name])
        for name in names
    }


def read_record(
    path: Path, *schemas: type[Any], migrations: Sequence[Migration] = ()
) -> dict[str, Any]:
    """A record from its file, of the newest version, after every schema has found it right.

    Args:
        path: of the file.
        schemas: what it must fit, one after the other.
        migrations: the first makes a record of version 1 one of version 2, and so on.

    Raises:
        FileFormatError: the record is damaged, or was written by a newer version.
        InputError: there is no such file.
    """
    return check_record(read_json(path), path, *schemas, migrations=migrations)


def check_record(
    value: Any, name: object, *schemas: type[Any], migrations: Sequence[Migration] = ()
) -> dict[str, Any]:
    """A record after every schema has found it right; see `read_record`."""
    if not isinstance(value, Mapping):
        raise FileFormatError(f"{name} is damaged: expected an object, found {_kind(value)}.")
    record = dict(value)
    version = record.get(VERSION, 1)
    newest = len(migrations) + 1
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise FileFormatError(f"{name} is damaged: version {version!r}.")
    if version > newest:
        raise FileFormatError(
            f"{name} was written by a newer descend (version {version} of the record, this one "
            f"reads up to {newest}). Update: pip install . in a newer checkout"
        )
    try:
        for migrate in migrations[version - 1 :]:
            record = migrate(record)
        for schema in schemas:
            read_as(schema, record)
    except (KeyError, TypeError, ValueError) as error:
        raise FileFormatError(f"{name} is damaged: {error}.") from None
    return record


def _kind(value: object) -> str:
    return {list: "a list", str: "text", type(None): "null"}.get(type(value), "a number")
