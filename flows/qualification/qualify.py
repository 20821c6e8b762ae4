"""`damp qualify`: a study of one family, from its entry in the ledger to its signed statement.

The family is entered first; the hash of that entry draws the classes. A study that is killed goes
on where it stopped; one that did not qualify is entered as that, and running another of the same
cuts on the same model takes a reason, which is entered too: each try counts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance.documents.policy import Policy
from compliance.documents.study import load_study
from compliance.ledger import Ledger
from compliance.presentation import numbers
from compliance.qualification import drawing, qualification, rules, standing
from compliance.qualification import study as outcomes
from compliance.qualification.qualification import Cost, Qualification
from compliance.qualification.study import StudiedClass
from compliance.signing import envelope
from compliance.signing.facts import LedgerPosition
from flows.qualification import studied_class, study_ledger, study_setup
from flows.qualification.studied_class import Subject
from flows.qualification.study_setup import Ready
from flows.records import qualifications
from flows.state import keyring, locks, progress
from flows.state.errors import BusyError, EventError, is_refusal
from flows.state.facts import Json, Model
from flows.state.files import write_atomically
from flows.state.paths import Home

if TYPE_CHECKING:
    from compliance.ledger.chain import Entry

LOCK = "qualify"


@dataclass(frozen=True, slots=True, kw_only=True)
class Studied:
    """What came of a study.

    Attributes:
        content: Its statement.
        digest: SHA-256 of the signed bytes.
        statement: The file.
        report: The page about it.
        policy: The policy of events under it; None where it did not qualify.
    """

    content: Qualification
    digest: str
    statement: Path
    report: Path
    policy: Path | None

    def to_json(self) -> Json:
        """The fields of `damp qualify --json`."""
        outcome = self.content.outcome
        return {
            "name": self.content.name,
            "qualifies": outcome.qualifies,
            "reasons": list(outcome.reasons),
            "classes": outcome.passed.trials,
            "passed": outcome.passed.events,
            "edits": outcome.edits,
            "trainings": self.content.cost.trainings,
            "qualification": self.digest,
            "statement": str(self.statement),
            "report": str(self.report),
            "policy": str(self.policy) if self.policy else None,
            "validUntil": self.content.valid_until,
        }


def qualify(home: Home, file: Path, *, again: str = "") -> Studied:
    """Carry a study out, or go on with it.

    Args:
        home: The state folder.
        file: The study.
        again: Why another study is made of cuts that did not qualify on this model.
    Raises:
        StudyError, PolicyError, RecipeError, EventError: It cannot be carried out as it stands;
            nothing was written.
        BusyError: Another study runs here.
    """
    keyring.signing_key(home, "executor")  # before hours of trainings
    study, origin = load_study(file), file.resolve().parent
    with locks.unless_held(home, LOCK) as alone:
        if not alone:
            raise BusyError(
                "Another study runs in this state folder. Two at once would share its trainings "
                "and its draw: wait for it, then run this one."
            )
        try:
            ready = study_setup.ready(home, study, origin)
            entry, statement = study_ledger.registered(ready, again)
            return of_ended(home, statement) if statement else _carried_out(ready, entry)
        finally:
            _tidy(home)


def _carried_out(ready: Ready, entry: Entry) -> Studied:
    """Every class that the entry's hash draws, then the statement."""
    subject = replace(ready.subject, id=entry.key)
    measure = {label: qualification.measure_of(facts) for label, facts in ready.frame.items()}
    drawn = drawing.classes(measure, ready.terms.classes, head=entry.hash)
    work = list(_work(drawn, ready.terms.sequence))
    classes: list[StudiedClass] = []
    failures: list[str] = []
    model: Model | None = ready.model
    began, fresh = time.monotonic(), 0
    for number, (label, edits) in enumerate(work, 1):
        left = _left(began, fresh, len(work) - number + 1)
        text = f"class {label}{f' after {edits} edits' if edits else ''}{left}"
        progress.current().advance(text, number - 1, len(work))
        before = ready.model if not edits else model
        if before is None:
            continue  # the sequence has ended at the edit that did not pass
        fresh += not studied_class.kept_file(subject, label, len(before.retired)).exists()
        try:
            cut = studied_class.study_class(subject, before, label, head=entry.hash)
        except Exception as error:
            if not is_refusal(error):
                raise
            failures.append(f"class {label}: {error}")
            model = None if edits else model
            continue
        classes.append(replace(cut.studied, edits=edits))
        if edits or label == drawn[0]:
            model = cut.model
    if failures:
        raise EventError(
            f"{len(failures)} of {len(work)} parts of the study could not be carried out, the "
            f"others are kept: {' '.join(failures)} Run the same command again; only these are "
            "done anew."
        )
    return _signed(ready, subject, entry, classes)


def _work(drawn: Sequence[int], sequence: int) -> Iterator[tuple[int, int]]:
    """Each class by itself, then the first ones again, one cut after the other.

    >>> list(_work((4, 7, 1), 2))
    [(4, 0), (7, 0), (1, 0), (7, 1)]
    """
    yield from ((label, 0) for label in drawn)
    yield from ((drawn[edits], edits) for edits in range(1, sequence))


def _left(began: float, done: int, more: int) -> str:
    """Time that is left at this pace; nothing before there is one."""
    if not done:
        return ""
    return f", {numbers.duration((time.monotonic() - began) / done * more)} left"


def _signed(
    ready: Ready, subject: Subject, entry: Entry, classes: Sequence[StudiedClass]
) -> Studied:
    """The outcome, signed and entered; then report, policy and the registry's copy."""
    home, key = subject.home, keyring.signing_key(subject.home, "executor")
    ledger = Ledger(home.ledger)
    now = datetime.now(UTC)
    trainings = sum(each.trainings for each in classes)
    seconds = studied_class.costs(classes)
    content = Qualification(
        name=subject.study.name,
        study=entry.key,
        policy=subject.policy.name,
        references=subject.policy.references,
        family=ready.family,
        terms=ready.terms,
        sequence=entry.seq,
        head=entry.hash,
        ledger=_position(ledger),
        earlier=study_ledger.earlier_tries(ledger.entries(), ready.family.model, entry.seq),
        frame={str(label): facts for label, facts in sorted(ready.frame.items())},
        left_out={str(label): why for label, why in sorted(ready.left_out.items())},
        classes=tuple(classes),
        outcome=outcomes.outcome(
            classes,
            wanted=ready.terms.classes,
            rungs=len(ready.family.ladder),
            least_passed=ready.terms.least_passed,
        ),
        cost=Cost(
            trainings=trainings,
            seconds=seconds,
            training=round(seconds[studied_class.TRAININGS] / trainings, 3) if trainings else None,
        ),
        finished_at=_utc(now),
        valid_until=_utc(now + timedelta(days=ready.terms.valid_days)),
        demo_key=key.demo,
    )
    signed = envelope.sign_payload(qualification.statement(content), key)
    digest = envelope.digest(signed)
    qualifications.keep(home, digest, signed)
    qualifies = content.outcome.qualifies
    result = study_ledger.QUALIFIED if qualifies else study_ledger.NOT_QUALIFIED
    body = study_ledger.end_body(ready, entry.key, digest, result)
    ledger.append_once(standing.SIGNED, "", entry.key, body)
    return of_ended(home, digest)


def _tidy(home: Home) -> None:
    """Delete the models of studies that have ended: they hold what these were about.

    Those of a study that was killed stay until it goes on, as its ledger entry has no end. The
    retrained models stay, as those of events do: they never saw the class.
    """
    entries = Ledger(home.ledger).entries()
    ended = {entry.key for entry in entries if entry.kind == standing.SIGNED}
    begun = {e.key: str(e.body.get("model")) for e in entries if e.kind == standing.REGISTERED}
    running = {study: model for study, model in begun.items() if study not in ended}
    for file in home.qualifications.rglob("*.safetensors"):
        folder = file.relative_to(home.qualifications).parts[0]
        if folder not in running and file.stem not in running.values():
            file.unlink()


def _position(ledger: Ledger) -> LedgerPosition:
    where = ledger.position()
    return LedgerPosition(
        origin=where["origin"], sequence=where["sequence"], previous=where["previous"]
    )


def _utc(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def why_not(home: Home, content: Qualification) -> Iterator[str]:
    """Of each class on which no cut passed, the first reason of each cut."""
    folder = home.qualifications / content.study
    for each in content.classes:
        file = folder / f"class-{each.label}-after-{each.edits}.json"
        if each.rung is not None or not file.exists():
            continue
        reasons = json.loads(file.read_bytes()).get("reasons", {})
        for preset, every in reasons.items():
            yield f"class {each.label}, {preset}: {every[0]}"


def of_ended(home: Home, digest: str) -> Studied:
    """What a study that has ended amounts to; its pages are written where they are not there.

    Raises:
        EventError: Its statement does not hold any more.
    """
    checked = qualifications.load(home, digest)
    content = checked.content
    if content is None:
        raise EventError(f"Qualification {digest[:16]}: {' '.join(checked.problems)}")
    folder = home.qualifications / content.study
    report = folder / "report.html"
    statement = folder / qualification.FILE
    source = qualifications.path(home, digest)
    write_atomically(statement, source.read_bytes())
    write_report(home, content, digest, report)
    policy = None
    if content.outcome.qualifies:
        policy = folder / "policy.yaml"
        write_atomically(policy, _policy_file(home, content, digest))
    _to_registry(home, content, statement, report)
    return Studied(
        content=content, digest=digest, statement=statement, report=report, policy=policy
    )


def write_report(home: Home, content: Qualification, digest: str, report: Path) -> None:
    """The page about a qualification as it stands by the ledger now."""
    from compliance.report import qualified as page

    entries = Ledger(home.ledger).entries()
    trust = qualifications.trusted(home)
    write_atomically(report, page.render(content, digest, entries, trust).encode())


def judged_by(home: Home, content: Qualification) -> Policy:
    """The policy by which a study judged, from the ledger's entry that fixed it.

    Raises:
        EventError: The entry holds another.
    """
    entry = Ledger(home.ledger).entries()[content.sequence]
    policy = Policy.model_validate(entry.body["policy"])
    if policy.digest() != content.family.policy:
        raise EventError(f"Ledger entry {entry.seq} does not hold the policy of {content.title}.")
    return policy


def _policy_file(home: Home, content: Qualification, digest: str) -> bytes:
    """The policy of events under it. JSON is YAML."""
    attempts = tuple(rung.preset for rung in content.family.ladder)
    policy = rules.policy_of(content.name, judged_by(home, content), attempts, digest)
    return json.dumps(policy.model_dump(mode="json"), indent=2).encode() + b"\n"


def _to_registry(home: Home, content: Qualification, *files: Path) -> None:
    """Let the run of the qualified model keep statement and report beside its own artifacts."""
    from flows.registry import open_registry

    with open_registry(home) as registry:
        for version in registry.versions_of_weights(content.family.model):
            for file in files:
                named = file.with_name(f"qualification-{content.study[:8]}-{file.name}")
                write_atomically(named, file.read_bytes())
                registry.add_run_file(version.run_id, named)


def details(content: Qualification) -> Iterator[tuple[str, Any]]:
    """What a person is told of a study's end, name and value."""
    outcome = content.outcome
    passed, wrong, decided = outcome.passed, outcome.false_pass, outcome.decided
    yield "classes", f"{passed.events} of {passed.trials} passed, at least {passed.at_least:.0%}"
    yield (
        "without retrained models",
        f"{wrong.events} of {wrong.trials} classes wrong (at most {wrong.at_most:.0%}), "
        f"{decided.events} of {decided.trials} decided",
    )
    yield "holds for", f"{outcome.edits} edits, until {content.valid_until[:10]}"
    yield "cost", f"{content.cost.trainings} trainings"
