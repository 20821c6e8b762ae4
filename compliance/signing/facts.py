"""A statement as typed facts: read once, after its form was checked; docs/record.md explains each.

Statements of before presets listed their repairs hold `rewritten` and `mended` instead:
`Method.repaired` says the same of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from compliance.formats import typed
from compliance.signing.input_facts import Digest, Inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A model that the statement is about."""

    name: str
    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierAttempt:
    """An attempt of the same event before this one."""

    attempt: int
    statement_digest: str
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerPosition:
    """Where the ledger stood: its name, its number of entries, the hash of the last."""

    origin: str
    sequence: int
    previous: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What the audits cost."""

    cpu_seconds: Mapping[str, float]
    forward_passes: float
    models_observed: int
    models_kept: int
    candidate_forward_passes: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptCost:
    """What an attempt's model took to make, beside a full retraining."""

    attempt: int
    operations: int | None
    retraining_operations: int
    share: float | None
    seconds: float | None
    retraining_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedAttempt:
    """An attempt that was declared and not made."""

    preset: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """Which of the declared attempts one is, and at which error level it is judged."""

    place: int
    declared: tuple[str, ...]
    level: float
    skipped: tuple[SkippedAttempt, ...]
    costs: tuple[AttemptCost, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFacts:
    """Which attempt of which event, when, and where the ledger stood."""

    id: str
    attempt: int
    previous_attempts: tuple[EarlierAttempt, ...]
    ledger: LedgerPosition
    started_at: str
    finished_at: str
    monotonic_seconds: float
    cost: Cost | None = None
    attempts: Attempts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One training of operators that started afresh."""

    start: str
    operators: tuple[str, ...]
    epochs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewedTop:
    """A part of the model that was trained on the rows to keep alone."""

    trainings: tuple[Training, ...]
    rows: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The classes to forget."""

    indices: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFacts:
    """What was asked."""

    regulation: str
    due_at: str
    scope: Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One layer that was cut."""

    name: str
    kind: str
    strength: tuple[float, ...]
    separability: tuple[float, ...]
    relative_change: float = field(metadata={"key": "relative_change"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """What followed the cuts, in which layer: "head_refit" or "low_rank_update"."""

    kind: str
    layer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodCode:
    """Whose code a team's own method is."""

    distribution: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherMethod:
    """A method of others, or a team's own."""

    name: str
    settings: Mapping[str, Any]
    rows: int
    forward: int
    backward: int
    changed: tuple[str, ...]
    code: MethodCode | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """How separable the classes were, should be and are at one depth, on training images."""

    layers: tuple[str, ...]
    goal: tuple[float, ...]
    after: tuple[float, ...]
    noise: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How the model was changed."""

    name: str
    parameters: Mapping[str, Any]
    operators: tuple[Operator, ...]
    head_only: bool
    repairs: tuple[Repair, ...] = ()
    rewritten: str | None = None
    mended: str | None = None
    renewed: RenewedTop | None = None
    other: OtherMethod | None = None
    goals: tuple[Goal, ...] = ()

    @property
    def repaired(self) -> tuple[Repair, ...]:
        """The repairs, in the order in which they were made."""
        older = (("low_rank_update", self.rewritten), ("head_refit", self.mended))
        return self.repairs or tuple(Repair(kind=k, layer=name) for k, name in older if name)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyName:
    """Which policy."""

    name: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """What would let a row decide, each by itself; None where that alone does not."""

    references: int | None = None
    images: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedRow:
    """What the plan expected of one required measurement."""

    measurement: str
    accept_retrained: float | None = None
    decides: bool = True
    reason: str = ""
    needed: Needed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedPower:
    """What the plan expected before a candidate was looked at."""

    told: str = ""
    accept_all: float | None = None
    can_reach: bool = True
    rows: tuple[ExpectedRow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredAs:
    """Under which name the model after is registered."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The audit plan, and the ledger entry that holds it."""

    digest: str
    ledger_sequence: int
    registered_at: str
    seed: int
    policy: PolicyName
    expected_power: ExpectedPower | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """How far a figure may lie below and above its baseline, or what it may reach at most."""

    below: float | None = None
    above: float | None = None
    at_most: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """Chances that a retrained model is accepted, and that the original is detected."""

    accept_retrained: float | None = None
    detect_original: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One judged measurement, or the gap where one is missing: then only audit and reason stand."""

    audit: str
    name: str | None = None
    label: str | None = None
    status: str = "RUN"
    value: float | None = None
    interval: tuple[float, ...] | None = None
    null: tuple[float, ...] | None = None
    null_mean: float | None = None
    null_sd: float | None = None
    original: float | None = None
    difference: float | None = None
    difference_interval: tuple[float, ...] | None = None
    against: str | None = None
    margin: Margin | None = None
    rule: str | None = None
    required: bool = False
    outcome: str | None = None
    power: Power = Power()
    sizes: Mapping[str, int] | None = None
    reason: str | None = None

    @property
    def ran(self) -> bool:
        """Whether it holds a measurement."""
        return self.status == "RUN"

    @property
    def title(self) -> str:
        """The measurement's name; the audit's where there is none."""
        return self.name or self.audit

    @property
    def limits(self) -> Margin:
        """The margin; one without limits where the row has none."""
        return self.margin or Margin()


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlRow:
    """A model whose right answer is known, and what the audits made of it."""

    name: str
    expected: str
    result: str = field(metadata={"key": "found"})
    as_expected: bool
    rows: tuple[AuditRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictFacts:
    """What was concluded, why, and within which limits."""

    result: str
    assurance: str
    claim: str
    reasons: tuple[str, ...]
    limits: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Until when the record is kept, and when a PASSED model is audited again."""

    keep_until: str | None
    reaudit_due: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """A copy or descendant of the old model."""

    artefact: str
    location: str = ""
    status: str = ""
    note: str = ""

    @property
    def place(self) -> tuple[str, str]:
        """What it is and where it lies: together they name it."""
        return self.artefact, self.location


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """One way to cut, with its settings."""

    preset: str
    gain: float
    sequential: bool
    skip: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyFacts:
    """What an event was made of, as a qualification names it; every part by its digest."""

    model: str
    architecture: str
    recipe: str
    data: str
    preprocessing: str
    ladder: tuple[Preset, ...]
    rules: str
    policy: str
    suite: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StudiedRange:
    """What is compared with the classes that were studied."""

    separability: tuple[float, ...]
    train: int
    test: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Within which shares a model passes, and above which it fails."""

    least: float
    most: float
    fails: float


@dataclass(frozen=True, slots=True, kw_only=True)
class QualifiedBy:
    """The qualification that a verdict rests on where no model was retrained.

    Attributes:
        statement: SHA-256 of its signed bytes.
        name: What people call it.
        classes: That it has studied, `passed` of which passed against retrained models.
        passed: See there.
        family: Of the event.
        edits: That the model had seen under it before; None where it does not come from its.
        range: Of the event's class.
        kept: What is still readable of the class; None where that could not be read.
        thresholds: The study's.
        valid_until: The date.
        problems: What it does not cover.
    """

    statement: str
    name: str
    classes: int
    passed: int
    family: FamilyFacts
    edits: int | None
    range: StudiedRange
    kept: float | None
    thresholds: Shares | None
    valid_until: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicate:
    """The statement's content."""

    event: EventFacts
    request: RequestFacts
    inputs: Inputs
    method: Method
    audit_plan: Plan
    audits: tuple[AuditRow, ...]
    controls: tuple[ControlRow, ...]
    verdict: VerdictFacts
    propagation: tuple[Artefact, ...]
    demo_key: bool
    retention: Retention
    registration: RegisteredAs | None = None
    qualification: QualifiedBy | None = None

    @property
    def required(self) -> tuple[AuditRow, ...]:
        """The rows that the verdict rests on."""
        return tuple(row for row in self.audits if row.required)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """An in-toto statement of one attempt; the first subject is the model after."""

    subject: tuple[Subject, ...]
    predicate: Predicate

    @property
    def model_after(self) -> str:
        """SHA-256 of the model after."""
        return self.subject[0].digest.sha256

    @classmethod
    def of(cls, statement: Mapping[str, Any]) -> Statement:
        """The facts of a decoded statement that its schema allows.

        Raises:
            JsonError: a part is missing.
        """
        return typed.read(cls, statement, "The statement")


def row(judged: Mapping[str, Any]) -> AuditRow:
    """One row of a statement's `audits`, or of a report's `evidence`."""
    return typed.read(AuditRow, judged, "The row")
