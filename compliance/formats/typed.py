"""From checked JSON to frozen facts: what a schema has let through becomes attributes.

A field `due_at` holds the key `dueAt`; another key is named in the field's metadata, as
`field(metadata={"key": "found"})`. A field with a default may be missing. What no field names is
left out: the schema, not the reader, decides what may be there. Facts hold nothing of the JSON that
they were read from, so that whoever changes that does not change them.
"""

from __future__ import annotations

import copy
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from compliance.formats.errors import JsonError

T = TypeVar("T")


def read(kind: type[T], value: Any, where: str = "the record") -> T:
    """A JSON value as a frozen dataclass, with all that it holds.

    Raises:
        JsonError: a key is missing, or a value has no such form.
    """
    return cast("T", _read(kind, value, where))


def plain(value: Any) -> Any:
    """Facts as JSON values again, under their keys; what was missing is null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {_key(part): plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, tuple | list) else value


def _read(kind: Any, value: Any, where: str) -> Any:
    if kind is Any:
        return copy.deepcopy(value)
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        inner = next(part for part in parts if part is not type(None))
        return None if value is None and type(None) in parts else _read(inner, value, where)
    if origin is tuple:
        _must(isinstance(value, list | tuple), where, "a list")
        return tuple(_read(parts[0], part, f"{where}/{i}") for i, part in enumerate(value))
    if origin is Mapping:
        _must(isinstance(value, Mapping), where, "an object")
        return {name: _read(parts[1], part, f"{where}/{name}") for name, part in value.items()}
    if is_dataclass(kind):
        _must(isinstance(value, Mapping), where, "an object")
        return kind(**dict(_attributes(kind, value, where)))  # type: ignore[operator]
    _must(isinstance(value, float | int if kind is float else kind), where, kind.__name__)
    return value


def _attributes(kind: Any, value: Mapping[str, Any], where: str) -> Any:
    for name, key, hint, optional in _plan(kind):
        if key in value:
            yield name, _read(hint, value[key], f"{where}/{key}")
        elif not optional:
            raise JsonError(f"{where} lacks `{key}`: it is no record of this form.")


@cache
def _plan(kind: Any) -> tuple[tuple[str, str, Any, bool], ...]:
    """Of each field: its name, its key, its type, and whether it may be missing."""
    hints = get_type_hints(kind)
    return tuple(
        (
            part.name,
            _key(part),
            hints[part.name],
            part.default is not MISSING or part.default_factory is not MISSING,
        )
        for part in fields(kind)
    )


def _key(part: Field[Any]) -> str:
    first, *rest = part.name.split("_")
    return str(part.metadata.get("key", first + "".join(word.capitalize() for word in rest)))


def _must(right: bool, where: str, form: str) -> None:
    if not right:
        raise JsonError(f"{where} is no {form.removeprefix('an ').removeprefix('a ')}.")
