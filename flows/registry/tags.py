"""The tags of a model version: every `damp.*` key in one place, read strictly.

Tags are text that anybody with access to the registry can write. `VersionTags` says what they
claim, in its types; whether it is true, the gate finds out from bytes, statement and ledger.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compliance.documents.preprocessing import Preprocessing
from compliance.formats import strict_json
from compliance.formats.errors import JsonError
from flows.registry.packing import Spec

PREFIX = "damp."
KIND, EVENT = "damp.kind", "damp.event_id"
NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")


class TagError(ValueError):
    """A tag that damp did not write: its key and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionTags:
    """What the tags of a version claim; None where there is no such tag.

    Attributes:
        kind: "base" where no event made it, "successor" where one did.
        event: The event that made it.
        attempt: Of that event, counted from 1.
        parent_version: The version that it was made from.
        verdict: On that attempt.
        data_before: `<md5>.dir` of the data with the forgotten rows.
        data_version: `<md5>.dir` of the data that it stands for.
        weights_sha256: Of the safetensors file.
        statement_sha256: Of the signed statement's file.
        architecture: As `flows.models.weights.build` takes it.
        classes: Outputs, the retired ones included.
        input_shape: (channels, height, width).
        retired: Classes whose outputs are masked.
        preprocessing: What the model sees of an image; None where it sees it as it is.
        purged: Whether `damp purge` has deleted its weights.
    """

    kind: str | None = None
    event: str | None = None
    attempt: int | None = None
    parent_version: int | None = None
    verdict: str | None = None
    data_before: str | None = None
    data_version: str | None = None
    weights_sha256: str | None = None
    statement_sha256: str | None = None
    architecture: str | None = None
    classes: int | None = None
    input_shape: tuple[int, ...] | None = None
    retired: tuple[int, ...] | None = None
    preprocessing: Preprocessing | None = None
    purged: bool | None = None

    @classmethod
    def parse(cls, raw: Mapping[str, str]) -> VersionTags:
        """The tags as a registry holds them; keys that are not damp's are left out.

        Raises:
            TagError: A value is not of its key's form.
        """
        return cls(
            **{name: tag.parse(raw[tag.key]) for name, tag in TAGS.items() if tag.key in raw}
        )

    def to_tags(self) -> dict[str, str]:
        """The text that a registry keeps."""
        values = {name: getattr(self, name) for name in TAGS}
        return {
            TAGS[name].key: TAGS[name].write(value)
            for name, value in values.items()
            if value is not None
        }

    def spec(self) -> Spec:
        """What must be known beside the weights.

        Raises:
            TagError: A tag of it is missing.
        """
        if (
            self.architecture is None
            or self.classes is None
            or self.input_shape is None
            or self.retired is None
        ):
            missing = [
                TAGS[name].key
                for name in ("architecture", "classes", "input_shape", "retired")
                if getattr(self, name) is None
            ]
            raise TagError(f"{', '.join(missing)} missing")
        return Spec(
            architecture=self.architecture,
            classes=self.classes,
            input_shape=self.input_shape,
            retired=self.retired,
            preprocessing=self.preprocessing,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """One key, how its text is read and how it is written."""

    key: str
    read: Callable[[str], Any] = str
    write: Callable[[Any], str] = str

    def parse(self, text: str) -> Any:
        """The value.

        Raises:
            TagError: The text is not of this key's form.
        """
        try:
            return self.read(text)
        except (ValueError, TypeError, JsonError) as problem:
            raise TagError(f"{self.key} is {text[:60]!r}: {problem}") from problem


def _number(text: str) -> int:
    if not NUMBER.fullmatch(text):
        raise ValueError("not a whole number")
    return int(text)


def _numbers(text: str) -> tuple[int, ...]:
    values = strict_json.loads(text)
    if not isinstance(values, list) or any(type(each) is not int for each in values):
        raise ValueError("not a list of whole numbers")
    return tuple(values)


def _preprocessing(text: str) -> Preprocessing:
    strict_json.loads(text)  # no key twice
    return Preprocessing.model_validate_json(text)


def _sorted(values: Sequence[int]) -> str:
    return json.dumps(sorted(set(values)))


def _true(text: str) -> bool:
    if text != "true":
        raise ValueError("not 'true'")
    return True


TAGS: Mapping[str, Tag] = {
    "kind": Tag(key=KIND),
    "event": Tag(key=EVENT),
    "attempt": Tag(key="damp.attempt", read=_number),
    "parent_version": Tag(key="damp.parent_version", read=_number),
    "verdict": Tag(key="damp.verdict"),
    "data_before": Tag(key="damp.data_before"),
    "data_version": Tag(key="damp.data_version"),
    "weights_sha256": Tag(key="damp.weights_sha256"),
    "statement_sha256": Tag(key="damp.statement_sha256"),
    "architecture": Tag(key="damp.architecture"),
    "classes": Tag(key="damp.classes", read=_number),
    "input_shape": Tag(
        key="damp.input_shape", read=_numbers, write=lambda shape: json.dumps(list(shape))
    ),
    "retired": Tag(key="damp.retired", read=_numbers, write=_sorted),
    "preprocessing": Tag(
        key="damp.preprocessing",
        read=_preprocessing,
        write=lambda applied: strict_json.canonical(applied.content()).decode(),
    ),
    "purged": Tag(key="damp.purged", read=_true, write=lambda purged: str(purged).lower()),
}
"""Field of `VersionTags` to key and form."""
