"""What the steps of an event hand to each other: frozen facts, written as JSON between tasks.

A fact refers to a file by an `Artifact` only, so that a resumed event can check every byte that a
finished step has left. JSON is read strictly: a key that is missing or unknown is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import to_json

from compliance.documents.claim import Claim
from compliance.documents.methods import METHODS
from compliance.documents.policy import Policy
from compliance.documents.preprocessing import Preprocessing
from compliance.documents.request import Request
from flows.state.errors import FactsError
from flows.state.files import Artifact

Json = dict[str, Any]


class Fact:
    """What one step leaves for the next."""

    __slots__ = ()
    __pydantic_config__: ClassVar[ConfigDict] = {"extra": "forbid", "strict": True}

    def to_json(self) -> Json:
        content: Json = encode(self)
        return content

    @classmethod
    def from_json(cls, content: Json) -> Self:
        """The fact that `to_json` wrote.

        Raises:
            FactsError: A key is missing, unknown or of another type; the message names it.
        """
        fact: Self = decode(cls, content)
        return fact


def encode(fact: Any) -> Any:
    """A fact, or None, as JSON."""
    kind: Any = type(fact)
    return _adapter(kind).dump_python(fact, mode="json")


def decode(kind: Any, content: Any) -> Any:
    """The fact of this kind, or of one of a union's kinds, that `encode` wrote.

    Raises:
        FactsError: A key is missing, unknown or of another type; the message names it.
    """
    try:
        return _adapter(kind).validate_json(to_json(content))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}"
            for each in error.errors(include_input=False, include_url=False)
        )
        name = getattr(kind, "__name__", str(kind))
        raise FactsError(
            f"These are no facts of the kind {name}: {problems}. The step that wrote them has to "
            "run again."
        ) from error


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def artifacts(fact: Any) -> Iterator[Artifact]:
    """Every file that a fact refers to, at whatever depth."""
    if isinstance(fact, Artifact):
        yield fact
    elif is_dataclass(fact):
        for each in fields(fact):
            yield from artifacts(getattr(fact, each.name))
    elif isinstance(fact, dict):
        yield from artifacts(tuple(fact.values()))
    elif isinstance(fact, tuple | list):
        for part in fact:
            yield from artifacts(part)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSpec(Fact):
    """Which data: a name of `LOADERS`, a family with a path, or `package.module:callable`.

    Attributes:
        name: As the request names it.
        root: Where files lie that are not to be downloaded.
        preprocessing: What is done to the images before the model sees them.
    """

    name: str
    root: str | None = None
    preprocessing: Preprocessing | None = None

    def to_json(self) -> Json:
        """As it was before there was preprocessing, where there is none: digests rest on it."""
        content: Json = encode(self)
        return {k: v for k, v in content.items() if k != "preprocessing" or v is not None}

    def in_words(self) -> str:
        """Where the data are read from."""
        return f"{self.name}{f' in {self.root}' if self.root else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataVersion(Fact):
    """A data set as it was at one moment.

    Attributes:
        name: Of the data set.
        version: `<md5>.dir`, DVC's digest of the folder; 36 characters.
        rows: Training rows.
        path: The folder.
        revision: Git commit of the repository that the images lie in, where it uses DVC.
        without: Classes whose training rows are not in it.
    """

    name: str
    version: str
    rows: int
    path: Path
    revision: str | None = None
    without: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetSet(Fact):
    """The rows to forget, committed to without showing them, as the statement holds it."""

    count: int
    commitment: str
    algorithm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RetainSet(Fact):
    """The rows that stay, as the statement holds them."""

    count: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Method(Fact):
    """How a request wants the classes forgotten.

    Attributes:
        preset: A preset of the surgery, "renewed", "retrain", or the name of another method.
        gain, sequential, skip: Of the surgery.
        settings: Of another method, those that were asked for.
        code: Of a team's own method, the digest of its source when the attempt began.
    """

    preset: str
    gain: float
    sequential: bool
    skip: tuple[str, ...]
    settings: dict[str, float] = field(default_factory=dict)
    code: str | None = None

    def to_json(self) -> Json:
        """As it was before there were other methods, where it is none: digests rest on it."""
        content: Json = encode(self)
        return {k: v for k, v in content.items() if k not in ("settings", "code") or v}

    @property
    def retrains(self) -> bool:
        return self.preset == "retrain"

    @property
    def renews(self) -> bool:
        return self.preset == "renewed"

    @property
    def is_other(self) -> bool:
        """Whether it is a method of others, or a team's own."""
        return self.preset not in METHODS


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedRung(Fact):
    """An attempt that was declared and is not made, with the reason."""

    preset: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung(Fact):
    """Which of the declared attempts one is.

    Attributes:
        place: Counted from 1.
        declared: Methods, in the order in which they are tried; the last one is tried at last.
        level: Error level of this attempt: all of them add up to at most the policy's.
        skipped: Attempts before this one that were not made.
    """

    place: int
    declared: tuple[str, ...]
    level: float
    skipped: tuple[SkippedRung, ...]


UNKNOWN_METHOD: Json = {
    "preset": "unknown",
    "gain": None,
    "sequential": None,
    "skip": [],
    "retire": None,
}
"""Of a claim: how the edit was made is not asked, and nobody's word is taken for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousAttempt(Fact):
    """An earlier attempt of the event, with the verdict on it."""

    attempt: int
    statement: str
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms(Fact):
    """On which terms an attempt runs, fixed before anything else happens.

    Attributes:
        digest: Of the request or claim, as the ledger received it.
        origin: The folder that it was submitted from.
        regulation: And so on, to `verified_by`: as the ledger has it.
        forget: Classes, sorted.
        policy: By which the attempt is judged.
        started: When, as the ledger has it.
        previous: Every earlier attempt: a failure cannot be left out of the record.
    """

    digest: str
    origin: str
    regulation: str
    received: str
    due: str
    verified_by: str | None
    forget: tuple[int, ...]
    policy: Policy
    started: str
    previous: tuple[PreviousAttempt, ...]

    @property
    def judged_by(self) -> Policy:
        """The policy at the error level of this attempt."""
        return self.policy


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedRequest(_Terms):
    """An attempt to carry out a request.

    Attributes:
        request: Verified against the ledger.
        recipe: A recipe's name, or the absolute path of its file.
        method: That which was asked for, or that is due.
        rung: Which of the attempts that were declared; None where the policy declares none.
    """

    request: Request
    recipe: str
    method: Method
    rung: Rung | None = None

    @property
    def judged_by(self) -> Policy:
        """The policy at the error level of this attempt."""
        return at_level(self.policy, self.rung)

    def method_json(self) -> Json:
        """As ledger, plan and statement hold it."""
        return self.method.to_json()


def at_level(policy: Policy, rung: Rung | None) -> Policy:
    """A policy at the error level of one of the attempts that it declares."""
    return policy if rung is None else policy.at_level(rung.level)


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedClaim(_Terms):
    """The audit of a claim.

    Attributes:
        claim: Verified against the ledger.
        files: SHA-256 of each of its models when it was received.
        recipe: As a request's; None where the claim names none.
    """

    claim: Claim
    files: dict[str, str]
    recipe: str | None

    def method_json(self) -> Json:
        """As ledger, plan and statement hold it."""
        return dict(UNKNOWN_METHOD)


Accepted = AcceptedRequest | AcceptedClaim
"""What step 1 leaves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Data(Fact):
    """The data version that the model was trained on, and its successor without the classes.

    Attributes:
        spec: Where the rows are read from.
        name: What the statement calls them.
        classes: Outputs of a classifier for them.
        forget: Classes, sorted.
        before: Without the classes that earlier events took out.
        after: Without the classes to forget as well.
        forget_set: The rows between the two.
        retain_set: The rows of `after`.
        unseen: Where rows of classes that nobody was trained on lie.
    """

    spec: DataSpec
    name: str
    classes: int
    forget: tuple[int, ...]
    before: DataVersion
    after: DataVersion
    forget_set: ForgetSet
    retain_set: RetainSet
    unseen: DataSpec | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredModel(Fact):
    """A version in the registry, as the statement names it."""

    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Model(Fact):
    """The model before, as bytes with a digest.

    Attributes:
        file: The pinned copy.
        architecture: How the network is built.
        input_shape: Of one image, (channels, height, width).
        parameters: How many numbers it holds.
        registry: The version that it is, None where it came as a file.
        retired: Classes that have left its label space.
    """

    file: Artifact
    architecture: str
    input_shape: tuple[int, ...]
    parameters: int
    registry: RegisteredModel | None
    retired: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadows(Fact):
    """Models trained on random halves of all rows.

    Attributes:
        models: One for each of `seeds`.
        seeds: Of the halves and trainings.
        edited: The method by which the audits edit copies of them first, where they do.
    """

    models: tuple[Artifact, ...]
    seeds: tuple[int, ...]
    edited: Method | None


NO_SHADOWS = Shadows(models=(), seeds=(), edited=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class References(Fact):
    """Models trained from scratch without the classes.

    Attributes:
        models: The candidate is compared with these.
        candidate: One model more, where the attempt retrains.
        seeds: Of `models`, then of `candidate`; empty where they were handed in.
        shadows: For the attacks on membership.
        problems: Why one that was handed in is not independent, by its name.
    """

    models: tuple[Artifact, ...]
    candidate: Artifact | None
    seeds: tuple[int, ...]
    shadows: Shadows
    problems: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(Fact):
    """What the audits will be, registered before they run.

    Attributes:
        digest: Of the plan in the ledger.
        sequence: Of its entry.
        registered_at: When.
        seed: Of the audits, taken from the ledger.
        seed_source: How.
        expected_power: What these samples and margins can show.
        baseline: Findings on the original and on each reference judged by the others.
        file: The plan itself.
    """

    digest: str
    sequence: int
    registered_at: str
    seed: int
    seed_source: str
    expected_power: Json
    baseline: Artifact
    file: Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit(Fact):
    """The model after, with the record of what changed.

    Attributes:
        after: Its weights.
        record: What was done to them.
        retired: Classes that have left its label space.
        seed: Of the training, where the attempt retrained.
        architecture: Of a claim's edited model; None where it is that of the model before.
    """

    after: Artifact
    record: Artifact
    retired: tuple[int, ...]
    seed: int | None
    architecture: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned(Fact):
    """Every model of a claim.

    Attributes:
        model: The one before.
        edit: The one after.
        references: Those that were handed in, None where none were.
    """

    model: Model
    edit: Edit
    references: References | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings(Fact):
    """What the audits measured on candidate and controls."""

    file: Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Fact):
    """The verdict, and where statement and report lie."""

    verdict: str
    reasons: tuple[str, ...]
    statement: Artifact
    report: Artifact
    report_json: Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration(Fact):
    """The version that the model after became.

    Attributes:
        name: Of the registered model.
        version: Counted from 1.
        model_id: Of the registry's model that holds the files.
        run_id: Of the registry's run that holds lineage and artifacts.
    """

    name: str
    version: int
    model_id: str
    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed(Fact):
    """How an attempt ended, for the person who asked.

    Attributes:
        attempt: Its number.
        ending: The ledger's entry: "event_closed", "attempt_closed", "retrain_required"
            or "next_attempt".
        verdict: On it.
        reasons: Why, where it is not PASSED.
        statement: And `report`: where they lie.
        registration: None where nothing was registered, as of a claim.
    """

    attempt: int
    ending: str
    verdict: str
    reasons: tuple[str, ...]
    statement: Artifact
    report: Artifact
    registration: Registration | None
