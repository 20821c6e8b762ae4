"""A study: which model, data and ladder of cuts are to be qualified, and on how many classes.

    apiVersion: damp/v1
    kind: QualificationStudy
    name: digits-2026
    model: {registry: "digits@champion"}
    data: {name: digits}
    recipe: digits
    policy: demo-v1                 # level L3: how its classes are judged
    attempts: [natural, renewed]    # the ladder of events to come
    classes: 5
    sequence: 2

Which classes are drawn cannot be said: the ledger's hash draws them, after all of this was entered.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from compliance.documents.methods import METHODS, RETRAIN
from compliance.documents.request import NAME, DataSource, ModelSource, Text
from compliance.formats import strict_json, yaml_reader
from compliance.formats.errors import StudyError
from compliance.formats.validation import Versioned, check

Share = Annotated[float, Field(gt=0, lt=1)]


class RegisteredSource(ModelSource):
    """A registered model: what is qualified must be found again."""

    @field_validator("file")
    @classmethod
    def _registered(cls, file: str | None) -> str | None:
        if file is not None:
            raise ValueError("only a registered model is qualified: `damp train`, or `damp adopt`")
        return file


class Study(Versioned):
    """A study as it was asked for; docs/qualification.md explains each key."""

    kind: Literal["QualificationStudy"]
    name: Annotated[str, Field(pattern=f"^{NAME}$")]
    model: RegisteredSource
    data: DataSource
    recipe: Text
    policy: Text
    attempts: Annotated[tuple[Literal[METHODS], ...], Field(strict=False, min_length=1)]  # type: ignore[valid-type]
    classes: Annotated[int, Field(ge=3, le=1000)]
    sequence: Annotated[int, Field(ge=1, le=100)] = 1
    least_rows: Annotated[int, Field(ge=1)] = 50
    least_passed: Share = 0.5
    spot_checks: Annotated[float, Field(gt=0, le=1)] = 0.1
    promised: Share = 0.2
    valid_days: Annotated[int, Field(ge=1, le=1095)] = 180
    near_margin: Annotated[tuple[Share, ...], Field(strict=False)] = (0.6,)
    partly: Annotated[tuple[Share, ...], Field(strict=False)] = (0.5,)

    @field_validator("attempts")
    @classmethod
    def _cuts(cls, attempts: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(attempts)) < len(attempts):
            raise ValueError("a cut is declared twice: the same attempt has the same outcome")
        if RETRAIN in attempts:
            raise ValueError(
                "a retrained model needs no qualification: leave `retrain` out, and give it to a "
                "policy with retrained models"
            )
        return attempts

    @field_validator("sequence")
    @classmethod
    def _within(cls, sequence: int, info: object) -> int:
        data = getattr(info, "data", {})
        if sequence > data.get("classes", sequence):
            raise ValueError("no more edits one after the other than there are classes")
        return sequence

    def digest(self) -> str:
        """SHA-256 of the content in canonical form."""
        return strict_json.digest(self.model_dump(mode="json"))


def load_study(path: str | Path) -> Study:
    """The study in a YAML file.

    Raises:
        StudyError: one line per mistake, with line, column and key.
    """
    return check(Study, yaml_reader.read(Path(path), StudyError), StudyError)
