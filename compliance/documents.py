"""From a YAML document to a checked pydantic model; every mistake with line, column and key."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from compliance.errors import DocumentError
from compliance.yamlfile import Document, Keys

API_VERSION = "damp/v1"


class Strict(BaseModel):
    """Frozen, no unknown key, no silent conversion, no NaN."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True
    )


M = TypeVar("M", bound=Strict)


def check(kind: type[M], document: Document, refusal: type[DocumentError]) -> M:
    """The document as a `kind`.

    Raises:
        refusal: one line per mistake, in the order of the file.
    """
    if not isinstance(document.content, Mapping):
        raise refusal([document.problem((), "must be a list of `key: value` lines.")])
    try:
        return kind.model_validate(document.content)
    except ValidationError as error:
        found = [(_keys(e["loc"], document), _reason(kind, e)) for e in error.errors()]
    located = [(document.problem(keys, reason), keys) for keys, reason in dict(found).items()]
    raise refusal([line for line, keys in sorted(located, key=lambda x: _order(document, x[1]))])


def _keys(location: tuple[str | int, ...], document: Document) -> Keys:
    """The location in the file: pydantic's own, less what it adds for unions."""
    return tuple(part for part in location if not str(part).startswith("function-"))


def _order(document: Document, keys: Keys) -> tuple[int, int]:
    known = next(keys[:n] for n in range(len(keys), -1, -1) if keys[:n] in document.places)
    return document.places[known]


def _reason(kind: type[BaseModel], error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return _unknown(kind, error["loc"])
    if error["type"] == "missing":
        return "is missing: add it."
    message = str(error["msg"]).removeprefix("Value error, ")
    ending = "" if message.endswith((".", "?")) else "."
    given = error.get("input")
    shown = f" Given: {given!r}." if isinstance(given, str | int | float | bool) else ""
    return f"{message[0].lower()}{message[1:]}{ending}{shown}"


def _unknown(kind: type[BaseModel], location: tuple[str | int, ...]) -> str:
    known = _fields(kind, location[:-1])
    near = get_close_matches(str(location[-1]), known, n=1)
    hint = f" Did you mean `{near[0]}`?" if near else ""
    return f"is no known key.{hint} Known here: {', '.join(known)}."


def _fields(kind: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    """Keys that the model knows at a location."""
    for part in location:
        if isinstance(part, str) and part in kind.model_fields:
            kind = _model_in(kind.model_fields[part].annotation) or kind
    return [info.alias or name for name, info in kind.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
