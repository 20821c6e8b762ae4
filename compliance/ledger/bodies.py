"""What entries hold that something is decided by, one class for each kind of body.

A body may hold more, which is shown and decides nothing: `Entry.read(StatementSigned)` takes what
is named here and leaves the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from compliance.signing.facts import Artefact


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerOpened:
    """`ledger_opened`: the ledger's name."""

    origin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestReceived:
    """`request_received`: the clock, the ground, and what the policy asks for."""

    received: str = ""
    due: str = ""
    regulation: str = ""
    identity: str = ""
    signoffs: tuple[str, ...] = ("executor",)
    claim: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """Which of the declared attempts one is, as its plan fixes it."""

    place: int
    declared: tuple[str, ...]
    level: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedAttempt:
    """What a plan says of the attempts; nothing where its policy declares none."""

    attempts: Declared | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRegistered:
    """`plan_registered`: the audit plan, by its digest, and the attempts that it declares."""

    digest: str = ""
    plan: PlannedAttempt = field(default_factory=PlannedAttempt)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementSigned:
    """`statement_signed`: the verdict, and the digest of the signed bytes."""

    verdict: str = ""
    statement: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtefactsPurged:
    """`artefacts_purged`: what was deleted."""

    artefacts: tuple[Artefact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Any kind: what an entry can change of its event beside the state."""

    attempt: int = 0
    reason: str | None = None
    role: str = ""
    due: str | None = None
    verdict: str = ""
    statement: str = ""
