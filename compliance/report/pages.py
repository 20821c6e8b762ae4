"""What pages about many attempts need of one attempt's page: `report.json` as typed facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compliance.formats import typed
from compliance.signing.facts import AuditRow, Subject
from compliance.signing.input_facts import DataVersion, Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What identifies the attempt."""

    event: str
    attempt: int
    ended_at: str
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The scope in words."""

    scope_words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodName:
    """The method and its parameters."""

    name: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelBefore:
    """The model that was to forget."""

    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What was done, and to what."""

    method: MethodName
    model_before: ModelBefore
    model_after: tuple[Subject, ...]
    data_before: DataVersion
    data_after: DataVersion
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Concluded:
    """The verdict, and how many rows and controls came out how."""

    result: str
    assurance: str
    reasons: tuple[str, ...]
    required: Mapping[str, int]
    controls: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class WordedRow(AuditRow):
    """A judged row with its outcome in words."""

    word: str
    tone: str
    icon: str
    allowed_words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One audit's rows."""

    rows: tuple[WordedRow, ...]
    not_run: tuple[WordedRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One attempt's page."""

    about: About
    asked: Asked
    done: Done
    verdict: Concluded
    evidence: tuple[Evidence, ...]

    @classmethod
    def of(cls, page: Mapping[str, Any]) -> Page:
        """The facts of what `report_json` made.

        Raises:
            JsonError: a part is missing: it was made by another version.
        """
        return typed.read(cls, page, "The report")
