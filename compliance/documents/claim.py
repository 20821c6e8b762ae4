"""A claim: somebody says that a model has forgotten a class, and hands in both models.

    apiVersion: damp/v1
    kind: ForgettingClaim
    scope: {type: class, selector: {index: 3}}
    original: {file: before.safetensors, architecture: "damp:cnn"}
    edited: {file: after.safetensors, architecture: "damp:cnn", retired: [3]}
    data: {name: digits}
    recipe: digits                      # how the original was trained; without it, capped
    policy: default-v5
    references: [r0.safetensors, r1.safetensors, r2.safetensors]     # instead of training them
    unseen: {name: "letters:load"}      # rows of classes that nobody was trained on
    qualification: {file: theirs.dsse.json, trust: theirs-trust.json}   # of their procedure

Nothing is asked about the method. What the claim says of its own models is not believed: files are
read and copied once, and audited by their bytes.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from compliance.documents.policy import LEAST_REFERENCES
from compliance.documents.request import DataSource, Index, ModelSource, Scope, Text
from compliance.formats import strict_json, yaml_reader
from compliance.formats.errors import ClaimError
from compliance.formats.validation import Strict, Versioned, check


class EditedSource(ModelSource):
    """The model that is said to have forgotten, and the outputs that it masks as deployed."""

    retired: Annotated[tuple[Index, ...], Field(strict=False)] = ()


class HandedQualification(Strict):
    """A qualification of the claimant's, and the keys that they say have signed it."""

    file: Text
    trust: Text


class Claim(Versioned):
    """A claim as it was handed in; docs/record.md explains each key."""

    kind: Literal["ForgettingClaim"]
    scope: Scope
    original: ModelSource
    edited: EditedSource
    data: DataSource
    policy: Text
    recipe: Text | None = None
    references: Annotated[tuple[Text, ...], Field(strict=False)] | None = None
    unseen: DataSource | None = None
    qualification: HandedQualification | None = None

    @field_validator("references")
    @classmethod
    def _enough(cls, given: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if given is None:
            return given
        if any(not file.endswith(".safetensors") for file in given):
            raise ValueError("only .safetensors files are read: a pickle can run code")
        if len(set(given)) < max(len(given), LEAST_REFERENCES):
            raise ValueError(
                f"give at least {LEAST_REFERENCES} different files, or leave the key out"
            )
        return given

    @model_validator(mode="after")
    def _two_models(self) -> Claim:
        one, other = self.original, self.edited
        if (one.registry, one.file) == (other.registry, other.file):
            raise ValueError("`original` and `edited` are one and the same: name both models")
        if None not in (one.file, other.file) and one.preprocessing != other.preprocessing:
            raise ValueError(
                "`original` and `edited` name two preprocessings: they are compared on the same "
                "images, so both must see them alike"
            )
        return self

    @property
    def forget(self) -> tuple[int, ...]:
        """Classes that are said to be forgotten, sorted."""
        return self.scope.selector.classes

    def content(self) -> dict[str, Any]:
        """The claim in one form, whatever order or defaults it was written with."""
        claim = self.model_dump(mode="json")
        claim["scope"]["selector"] = {"indices": list(self.forget)}
        for name, source in (("original", self.original), ("edited", self.edited)):
            claim[name] = source.without_absent(claim[name])
        if self.qualification is None:
            del claim["qualification"]  # digests of claims without one stay as they were
        return claim

    def digest(self, files: Mapping[str, str]) -> str:
        """SHA-256 of the content and of what its models hold.

        Args:
            files: Name of each model -> SHA-256 of its bytes.
        """
        return strict_json.digest({"claim": self.content(), "files": dict(files)})

    def event_id(self, files: Mapping[str, str]) -> str:
        """The id of its event: the same claim about the same bytes is the same event.

        >>> str(uuid.UUID(bytes=sha256(b"any").digest()[:16], version=4))[14]
        '4'
        """
        digest = sha256(self.digest(files).encode()).digest()
        return str(uuid.UUID(bytes=digest[:16], version=4))


def load_claim(path: str | Path) -> Claim:
    """The claim in a YAML file.

    Raises:
        ClaimError: one line per mistake, with line, column and key.
    """
    return check(Claim, yaml_reader.read(Path(path), ClaimError), ClaimError)


def parse_claim(text: str, name: str = "claim") -> Claim:
    """The claim in a YAML text; raises what `load_claim` raises."""
    return check(Claim, yaml_reader.parse(text, name, ClaimError), ClaimError)
