"""The request: which classes of which model are to be forgotten, on what ground, by which policy.

    apiVersion: damp/v1
    kind: ErasureRequest
    subject_request_id: 5f0c7c2e-4a53-4d0b-9f3e-1f4f5f0a9c11    # UUIDv4
    regulation: gdpr
    submitted_time: 2026-09-20T08:00:00Z
    scope: {type: class, selector: {index: 3}}
    model: {registry: "digits@champion"}
    data: {name: digits}
    recipe: digits
    policy: default-v5
    method: {preset: natural}

A class is named by its index: the name of a class can be the name of a person.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    UUID4,
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    field_serializer,
    field_validator,
    model_validator,
)

from compliance.documents.methods import METHODS, RENEWED, RETRAIN
from compliance.documents.policy import Regulation
from compliance.documents.preprocessing import NamedOrWritten
from compliance.formats import callback_urls, strict_json, yaml_reader
from compliance.formats.errors import RequestError
from compliance.formats.validation import Strict, Versioned, check
from damp.catalogue import DEFAULT_PRESET

DATA = (
    r"(digits|mnist|mnist5k|cifar10|cifar100|tiny-imagenet|(imagefolder|webdataset|hf):.+"
    r"|[\w.]+:[A-Za-z_]\w*)"
)
NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}"
REGISTRY = r"[^@/\s:]+(@[A-Za-z0-9_-]+|/[0-9]+)"


def _index(given: Any) -> Any:
    if isinstance(given, str):
        raise ValueError(
            "a class is named by its index, a whole number from 0, never by its name, which may "
            "be personal data: look the index up in your data set"
        )
    return given


def _zoned(given: Any) -> Any:
    """Text with a zone only: a bare number or a local time could be anything."""
    if isinstance(given, datetime):
        return given
    if not isinstance(given, str):
        raise ValueError("write a time with its zone, like 2026-09-20T08:00:00Z")
    try:
        time = datetime.fromisoformat(given)
    except ValueError as error:
        raise ValueError("no time: write it like 2026-09-20T08:00:00Z") from error
    if time.tzinfo is None:
        raise ValueError("a time without zone: add Z for UTC, or an offset like +02:00")
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("a time outside the years 1 to 9999 of UTC: correct the year") from error


def _source(given: str) -> str:
    if not re.fullmatch(DATA, given):
        raise ValueError(
            "no known data set: digits, mnist, mnist5k, cifar10, cifar100, tiny-imagenet, "
            "imagefolder:PATH, webdataset:PATH, hf:PATH, or a callable of your own as "
            "package.module:name"
        )
    return given


def _registered(given: str) -> str:
    if not re.fullmatch(REGISTRY, given):
        raise ValueError("name a registered model by alias, digits@champion, or version, digits/2")
    return given


def _registrable(given: str) -> str:
    if not re.fullmatch(NAME, given):
        raise ValueError(
            "a name of letters, digits, '_', '-' and '.', at most 100, as in digits-v2"
        )
    return given


def _method_name(given: str) -> str:
    if given in METHODS:
        raise ValueError(f"`{given}` is named by `preset`: write `preset: {given}`")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", given):
        raise ValueError("a method is named by letters, digits, '_', '-' and '.', at most 64")
    return given


Index = Annotated[int, BeforeValidator(_index), Field(ge=0)]
Text = Annotated[str, Field(min_length=1, max_length=300)]


class Selector(Strict):
    """The classes: `{index: 3}` or `{indices: [3, 5]}`."""

    index: Index | None = None
    indices: Annotated[tuple[Index, ...], Field(strict=False, min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Selector:
        if (self.index is None) == (self.indices is None):
            raise ValueError("give either `index: 3` or `indices: [3, 5]`")
        return self

    @field_validator("indices")
    @classmethod
    def _each_once(cls, indices: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if indices is not None and len(set(indices)) < len(indices):
            raise ValueError("a class is listed twice: list each once")
        return indices

    @property
    def classes(self) -> tuple[int, ...]:
        """The classes, sorted, however they were written."""
        single = () if self.index is None else (self.index,)
        return tuple(sorted(self.indices or single))


class Scope(Strict):
    """What is to be forgotten; whole classes so far."""

    type: Literal["class"]
    selector: Selector


class ModelSource(Strict):
    """The model: `{registry: "name@alias"}`, or `{file: ..., architecture: ...}`."""

    registry: Annotated[str, AfterValidator(_registered)] | None = None
    file: Text | None = None
    architecture: Text | None = None
    preprocessing: NamedOrWritten | None = None

    @field_validator("file")
    @classmethod
    def _safe_format(cls, file: str | None) -> str | None:
        if file is not None and not file.endswith(".safetensors"):
            raise ValueError("only .safetensors files are read: a pickle can run code")
        return file

    @model_validator(mode="after")
    def _one_of_both(self) -> ModelSource:
        if (self.registry is None) == (self.file is None):
            raise ValueError('give either `registry: "name@alias"`, or `file` and `architecture`')
        if (self.file is None) != (self.architecture is None):
            raise ValueError("`file` and `architecture` belong together: weights do not say how")
        if self.preprocessing is not None and self.file is None:
            raise ValueError("a registered model has its preprocessing: leave it out")
        return self

    def without_absent(self, content: dict[str, Any]) -> dict[str, Any]:
        """Its content without the keys that came later, where they are absent: digests stay."""
        return {k: v for k, v in content.items() if k != "preprocessing" or v is not None}


class RequestedModel(ModelSource):
    """The model of a request; a file may bring the name that it is registered under."""

    name: Annotated[str, AfterValidator(_registrable)] | None = None

    @model_validator(mode="after")
    def _only_a_file_is_named(self) -> RequestedModel:
        if self.name is not None and self.file is None:
            raise ValueError("a registered model has its name: leave `name` out")
        return self


class DataSource(Strict):
    """The data set that the model was trained on, and where its files lie if they need a place."""

    name: Annotated[str, AfterValidator(_source)]
    root: Text | None = None


FORMER_DEFAULTS = ("mended",)
"""Presets that were taken where none was named, before `DEFAULT_PRESET` was."""


Setting = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Method(Strict):
    """How to forget: a preset of the surgery, training anew, or by name another method.

    `name` is one of `damp.methods.catalogue`, or one that an installed package brings along:
    whether there is one is asked where the request is to be carried out.
    """

    preset: Literal[METHODS] = DEFAULT_PRESET  # type: ignore[valid-type]
    gain: Annotated[float, Field(gt=0)] = 1.0
    sequential: bool = False
    skip: Annotated[tuple[Text, ...], Field(strict=False)] = ()
    name: Annotated[str, AfterValidator(_method_name)] | None = None
    settings: dict[str, Setting] = Field(default_factory=dict)

    @property
    def chosen(self) -> str:
        """What it is called, whichever way it was named."""
        return self.name or self.preset

    @model_validator(mode="after")
    def _one_way(self) -> Method:
        plain = {"preset": DEFAULT_PRESET, "gain": 1.0, "sequential": False, "skip": ()}
        surgery = [key for key, value in plain.items() if getattr(self, key) != value]
        if self.name is not None and surgery:
            raise ValueError(f"`name` is another method: leave out {', '.join(surgery)}")
        if self.name is None and self.settings:
            raise ValueError("`settings` are of a method by `name`: name one")
        return self

    def content(self) -> dict[str, Any]:
        """Its keys; those that came later only where they are used: digests stay."""
        if self.name is not None:
            return {"name": self.name, "settings": dict(sorted(self.settings.items()))}
        return self.model_dump(mode="json", exclude={"name", "settings"})

    @model_validator(mode="after")
    def _surgery_settings_for_surgery(self) -> Method:
        changed = self.gain != 1.0 or self.sequential or self.skip
        if self.preset in (RENEWED, RETRAIN) and changed:
            raise ValueError(f"`{self.preset}` cuts nothing: leave out gain, sequential and skip")
        return self


class Request(Versioned):
    """A request as it was filed; docs/record.md explains each key."""

    kind: Literal["ErasureRequest"]
    subject_request_id: Annotated[UUID4, Field(strict=False)]
    regulation: Regulation
    submitted_time: Annotated[AwareDatetime, BeforeValidator(_zoned)]
    scope: Scope
    model: RequestedModel
    data: DataSource
    recipe: Text
    policy: Text
    method: Method = Field(default_factory=Method)
    unseen: DataSource | None = None
    callback: Annotated[str, AfterValidator(callback_urls.checked)] | None = None

    @field_validator("subject_request_id", mode="before")
    @classmethod
    def _uuid(cls, given: Any) -> Any:
        if not isinstance(given, str) and type(given).__name__ != "UUID":
            raise ValueError("write a UUID of version 4 in quotes; `uuidgen -r` makes one")
        return given

    @field_serializer("submitted_time")
    def _utc(self, time: datetime) -> str:
        return time.isoformat().replace("+00:00", "Z")

    @property
    def id(self) -> str:
        """The request's id, which names its event."""
        return str(self.subject_request_id)

    @property
    def forget(self) -> tuple[int, ...]:
        """Classes to forget, sorted."""
        return self.scope.selector.classes

    def content(self) -> dict[str, Any]:
        """The request in one form, whatever order, zone or defaults it was written with."""
        request = self.model_dump(mode="json")
        request["scope"]["selector"] = {"indices": list(self.forget)}
        for optional in ("callback", "unseen"):
            if request[optional] is None:
                del request[optional]
        request["method"] = self.method.content()
        request["model"] = self.model.without_absent(request["model"])
        if self.model.name is None:
            del request["model"]["name"]
        return request

    def digest(self) -> str:
        """SHA-256 of `content`: the same request, the same digest."""
        return strict_json.digest(self.content())

    def as_received(self, digest: str | None) -> Request:
        """The request that has a digest: with the preset that was the default on that day.

        A request that names no preset means what was the default when it was received. Where no
        default gives that digest, the request as it is.
        """
        named = {"preset", "name"} & self.method.model_fields_set
        if digest is None or named:
            return self
        methods = (self.method.model_copy(update={"preset": name}) for name in FORMER_DEFAULTS)
        former = (self.model_copy(update={"method": method}) for method in methods)
        return next((request for request in former if request.digest() == digest), self)


def load_request(path: str | Path) -> Request:
    """The request in a YAML file.

    Raises:
        RequestError: one line per mistake, with line, column and key.
    """
    return check(Request, yaml_reader.read(Path(path), RequestError), RequestError)


def parse_request(text: str, name: str = "request") -> Request:
    """The request in a YAML text; raises what `load_request` raises."""
    return check(Request, yaml_reader.parse(text, name, RequestError), RequestError)
