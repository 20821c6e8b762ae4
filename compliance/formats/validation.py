"""From a YAML document to a checked pydantic model; every mistake with line, column and key."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from compliance.formats.errors import DocumentError
from compliance.formats.yaml_reader import Document

API_VERSION = "damp/v1"


class Strict(BaseModel):
    """Frozen, no unknown key, no silent conversion, no NaN."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True
    )


class Versioned(Strict):
    """A document that says which version of the format it is written in."""

    apiVersion: Literal["damp/v1"]  # noqa: N815 - the key in the file

    @field_validator("apiVersion", mode="before")
    @classmethod
    def _known_version(cls, given: Any) -> Any:
        if given != API_VERSION:
            raise ValueError(f"this version of damp reads {API_VERSION}: write that, or update")
        return given


M = TypeVar("M", bound=Strict)


def check(kind: type[M], document: Document, refusal: type[DocumentError]) -> M:
    """The document as a `kind`.

    Raises:
        refusal: one line per mistake, in the order of the file.
    """
    wrong = dict(document.problems)
    model = None
    if not isinstance(document.content, Mapping):
        wrong.setdefault((), "must be a list of `key: value` lines.")
    else:
        try:
            model = kind.model_validate(document.content)
        except ValidationError as error:
            for mistake in error.errors():
                wrong.setdefault(_keys(mistake["loc"]), _reason(kind, mistake))
    if model is None or wrong:
        order = sorted(wrong, key=document.place)
        raise refusal([document.problem(keys, wrong[keys]) for keys in order])
    return model


def _keys(location: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Where a mistake is in the file: pydantic names the branch of a union too, `<branch>` here."""
    return tuple(part for part in location if not str(part).startswith("<"))


def _reason(kind: type[BaseModel], error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return _unknown(kind, error["loc"])
    if error["type"] == "missing":
        return "is missing: add it."
    if error["type"] == "model_type":
        return "must hold keys of its own, like `{key: value}`."
    if error["type"] == "value_error":  # our own words; they never repeat what was given
        return f"{str(error['msg']).removeprefix('Value error, ')}."
    message = str(error["msg"]).removeprefix("Input ")
    given = error.get("input")
    shown = f" Given: {given!r}." if isinstance(given, str | int | float | bool) else ""
    return f"{message}.{shown}"


def _unknown(kind: type[BaseModel], location: tuple[str | int, ...]) -> str:
    keys = _fields(kind, location[:-1])
    near = get_close_matches(str(location[-1]), keys, n=1)
    hint = f" Did you mean `{near[0]}`?" if near else ""
    return f"is no known key.{hint} Known here: {', '.join(keys)}."


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
