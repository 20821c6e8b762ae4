"""The signed statement of a study: what was qualified, on which classes, and for how long.

Its subject is the family by its digest, never a model: a tool that matches digests of models must
not find a pass in it. Whoever reads it computes draw, range and outcome anew from what it holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from compliance.formats import strict_json, typed
from compliance.formats.errors import JsonError
from compliance.qualification import drawing, study
from compliance.qualification.family import Family
from compliance.qualification.study import ClassFacts, Outcome, StudiedClass
from compliance.signing.facts import LedgerPosition, Subject
from compliance.signing.statement import STATEMENT_TYPE

PREDICATE_TYPE = "urn:damp:attestation:qualification:v1"
FILE = "qualification.dsse.json"
"""How the envelope is called beside a statement that rests on it."""
SUBJECT = "family"
TOLERANCE = 1e-9
DEPTHS = 3
"""Of a class: the first, middle and last third of the layers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What was fixed with the family, before a class was drawn.

    Attributes:
        classes: To be studied.
        sequence: Edits of the model one after the other that are studied.
        least_rows: Held-out rows that a class needs to be drawn.
        least_passed: Share of the classes of which a cut must pass.
        spot_checks: Share of the later events that are audited against retrained models.
        promised: Rate of failed spot checks above which the qualification is suspended.
        valid_days: From the signature on.
        near_margin: Shares of what the original knows that blends hold.
        partly: Shares of the class's rows that partly retrained models were left.
    """

    classes: int
    sequence: int
    least_rows: int
    least_passed: float
    spot_checks: float
    promised: float
    valid_days: int
    near_margin: tuple[float, ...]
    partly: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierTry:
    """A study of the same family before this one."""

    study: str
    statement: str
    qualifies: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What the study took.

    Attributes:
        trainings: Whole ones.
        seconds: Of trainings, of cuts, of audits, by these names.
        training: Mean seconds of one; None where none was measured.
    """

    trainings: int
    seconds: Mapping[str, float]
    training: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Qualification:
    """The statement's content.

    Attributes:
        name: That people call it by.
        study: Its id.
        policy: Name of the policy by which the study judged.
        references: Retrained models of each class.
        family: What it is about.
        terms: Fixed with the family.
        sequence: Number of the ledger's entry that fixed both.
        head: That entry's hash, from which the classes were drawn.
        ledger: Where the ledger stood when this was written.
        earlier: Studies of the same family before.
        frame: What is known of every class that could be drawn, by its index as text.
        left_out: Classes that could not be drawn, with the reason of each.
        classes: Those that were studied.
        outcome: What they amount to.
        cost: What it took.
        finished_at: When.
        valid_until: The date.
        demo_key: Whether the key is one of the demonstration.
    """

    name: str
    study: str
    policy: str
    references: int
    family: Family
    terms: Terms
    sequence: int
    head: str
    ledger: LedgerPosition
    earlier: tuple[EarlierTry, ...]
    frame: Mapping[str, ClassFacts]
    left_out: Mapping[str, str]
    classes: tuple[StudiedClass, ...]
    outcome: Outcome
    cost: Cost
    finished_at: str
    valid_until: str
    demo_key: bool

    @property
    def title(self) -> str:
        """How messages name it."""
        return f"qualification {self.name}"

    @property
    def sentence(self) -> str:
        """What it says of its classes, in one sentence."""
        passed = self.outcome.passed
        return (
            f"of its {passed.trials} randomly drawn classes {passed.events} passed against "
            f"{self.references} retrained models each"
        )


def statement(content: Qualification) -> dict[str, Any]:
    """The in-toto statement, in canonical form."""
    whole: dict[str, Any] = strict_json.loads(
        strict_json.canonical(
            {
                "_type": STATEMENT_TYPE,
                "subject": [{"name": SUBJECT, "digest": {"sha256": content.family.digest()}}],
                "predicateType": PREDICATE_TYPE,
                "predicate": typed.plain(content),
            }
        )
    )
    return whole


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """The statement around it."""

    subject: tuple[Subject, ...]
    predicate_type: str
    predicate: Qualification


def of(content: Any) -> Qualification:
    """The facts of a decoded statement.

    Raises:
        JsonError: It is none of this kind, a part is missing, or unknown.
    """
    if not isinstance(content, dict) or content.get("predicateType") != PREDICATE_TYPE:
        raise JsonError(f"This is no qualification: its predicate type is not {PREDICATE_TYPE}.")
    frame = typed.read(_Frame, content, "The qualification")
    again = statement(frame.predicate)
    if strict_json.canonical(again) != strict_json.canonical(content):
        raise JsonError(
            "The qualification holds keys that this version does not know, or is about another "
            "family than it says."
        )
    return frame.predicate


def contradictions(content: Qualification) -> list[str]:
    """Where it says what does not follow from what it holds; empty where all of it does."""
    return list(_malformed(content)) or list(_contradictions(content))


def _malformed(content: Qualification) -> Iterator[str]:
    """What cannot even be computed with."""
    every = [*content.frame.values(), *(each.facts for each in content.classes)]
    if any(len(facts.separability) != DEPTHS for facts in every):
        yield f"A class has no separability at {DEPTHS} depths."
    if any(not label.isdecimal() for label in content.frame):
        yield "A class of its frame is no index."
    if any(str(each.label) not in content.frame for each in content.classes):
        yield "A class that was studied could not have been drawn."
    rungs = range(1, len(content.family.ladder) + 1)
    if any(each.rung is not None and each.rung not in rungs for each in content.classes):
        yield "A class passed by a cut that is not in the ladder."


def _contradictions(content: Qualification) -> Iterator[str]:
    terms, singles = content.terms, [each for each in content.classes if each.edits == 0]
    measure = {int(label): _middle(facts) for label, facts in content.frame.items()}
    try:
        drawn = drawing.classes(measure, terms.classes, head=content.head)
    except ValueError as error:
        yield f"Its draw cannot have been made: {error}"
        return
    if tuple(each.label for each in singles) != drawn:
        yield "Its classes are not those that the ledger's hash draws."
    if any(content.frame[str(each.label)] != each.facts for each in singles):
        yield "What it says of a class is not what its frame says."
    if any(facts.test < terms.least_rows for facts in content.frame.values()):
        yield "A class with too few rows could be drawn."
    again = study.outcome(
        content.classes,
        wanted=terms.classes,
        rungs=len(content.family.ladder),
        least_passed=terms.least_passed,
    )
    if not _same(typed.plain(again), typed.plain(content.outcome)):
        yield "Its outcome does not follow from its classes."


def _middle(facts: ClassFacts) -> float:
    """By which classes are parted into strata: the separability at middle depth."""
    return facts.separability[len(facts.separability) // 2]


def _same(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same, numbers to within a rounding error."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    numbers = (int, float)
    if isinstance(one, numbers) and isinstance(other, numbers) and not isinstance(one, bool):
        return abs(one - other) <= TOLERANCE
    return bool(one == other)


measure_of = _middle
"""The measure of a class by which it is drawn."""


def outside(content: Qualification, facts: ClassFacts) -> Iterator[str]:
    """Where a class lies outside what was studied, in words.

    The studied range is that of all classes from which the draw was made, one of each stratum: a
    class within it was as likely to be drawn as those that were.
    """
    every = list(content.frame.values())
    places = ("first", "middle", "last")
    for place, own in enumerate(facts.separability):
        values = [each.separability[place] for each in every]
        low, high = min(values), max(values)
        if not low - TOLERANCE <= own <= high + TOLERANCE:
            yield (
                f"its separability in the {places[place]} layers is {own:.3g}, studied was "
                f"{low:.3g} to {high:.3g}"
            )
    for what, name in (("training", "train"), ("held-out", "test")):
        least = min(getattr(each, name) for each in every)
        if getattr(facts, name) < least:
            yield f"it has {getattr(facts, name)} {what} rows, studied were {least} and more"
