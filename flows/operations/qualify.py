"""`damp qualify`: a study of one family, from its entry in the ledger to its signed statement.

The family is entered first; the hash of that entry draws the classes. A study that is killed goes
on where it stopped; one that did not qualify is entered as that, and running another of the same
cuts on the same model takes a reason, which is entered too: each try counts.
"""

from __future__ import annotations

import json
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance.documents.policy import Policy, load_policy
from compliance.documents.study import Study, load_study
from compliance.ledger import Ledger
from compliance.presentation import numbers
from compliance.qualification import drawing, qualification, rules, standing
from compliance.qualification import study as outcomes
from compliance.qualification.family import Family
from compliance.qualification.qualification import Cost, EarlierTry, Qualification, Terms
from compliance.qualification.study import ClassFacts, StudiedClass
from compliance.signing import envelope
from compliance.signing.facts import LedgerPosition
from flows.intake import requests
from flows.operations import studied_class
from flows.operations.studied_class import Subject
from flows.records import qualifications
from flows.registry import model_source
from flows.state import keyring, locks, progress
from flows.state.errors import BusyError, EventError, is_refusal
from flows.state.facts import Data, Json, Model
from flows.state.files import Artifact, aside, write_atomically
from flows.state.paths import Home
from flows.steps import prepare, qualified

if TYPE_CHECKING:
    from compliance.ledger.chain import Entry
    from flows.data.dataset import Dataset

LOCK = "qualify"
ABANDONED, QUALIFIED, NOT_QUALIFIED = "abandoned", "qualified", "not qualified"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """A study that can begin: all that it needs was there, and nothing was written."""

    subject: Subject
    model: Model
    family: Family
    terms: Terms
    frame: Mapping[int, ClassFacts]
    left_out: Mapping[int, str]


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
            ready = _ready(home, study, origin)
            entry, ended_before = _registered(ready, again)
            return ended_before or _carried_out(ready, entry)
        finally:
            _tidy(home)


def _ready(home: Home, study: Study, origin: Path) -> _Ready:
    """The study with its model pinned and its classes counted; refused where it makes no sense."""
    from flows.data import loaders
    from flows.models import recipes, trainings

    policy = load_policy(requests.policy_source(study.policy, origin))
    if policy.assurance != "L3":
        raise EventError(
            f"The study is judged by policy '{policy.name}' of level {policy.assurance}: a "
            "procedure is qualified against retrained models. Name one of level L3."
        )
    recipe = requests.recipe_source(study.recipe, origin)
    recipes.get(recipe)
    source = model_source.locate(home, study.model, origin)
    spec = requests.spec_of(study.data, origin, source.preprocessing)
    dataset = loaders.load(spec).without(source.retired())
    network = source.load(dataset)
    trainings.check(
        recipe,
        architecture=source.architecture,
        classes=dataset.classes,
        input_shape=dataset.input_shape,
    )
    model = Model(
        file=_pinned(home, source),
        architecture=source.architecture,
        input_shape=dataset.input_shape,
        parameters=sum(value.numel() for value in network.parameters()),
        registry=prepare.registered_model(source.registry),
        retired=tuple(source.retired()),
    )
    subject = Subject(
        home=home,
        id="",
        study=study,
        origin=origin,
        recipe=recipe,
        policy=policy,
        preprocessing=source.preprocessing,
    )
    data, facts = _facts(subject, model, dataset)
    frame, left_out = _frame(facts, study, policy)
    if study.classes > len(frame):
        few = "; ".join(f"class {label} {why}" for label, why in left_out.items())
        raise EventError(
            f"{study.classes} classes are to be studied, and {len(frame)} can be drawn"
            f"{f' ({few})' if few else ''}: ask for fewer, or bring more images."
        )
    family = qualified.family_of(
        data=data,
        model=model,
        recipe=recipe,
        ladder=[qualified.rung_of(studied_class.method_of(preset)) for preset in study.attempts],
        rules=rules.policy_of(study.name, policy, study.attempts).rules_digest(),
        policy=policy.digest(),
    )
    return _Ready(
        subject=subject,
        model=model,
        family=family,
        terms=_terms(study),
        frame=frame,
        left_out=left_out,
    )


def _pinned(home: Home, source: model_source.Located) -> Artifact:
    """The model's bytes under their digest: an alias may move while the study runs."""
    sha256 = source.sha256 or ""
    path = home.qualifications / "models" / f"{sha256}.safetensors"
    if not path.exists():
        with aside(path) as (temporary, _):
            shutil.copyfile(source.path, temporary)
    pinned = Artifact.of(home.root, path)
    if pinned.sha256 != sha256:
        path.unlink()
        raise EventError("The model's bytes changed while they were copied. Run it again.")
    return pinned


def _facts(
    subject: Subject, model: Model, dataset: Dataset
) -> tuple[Data, Mapping[int, ClassFacts]]:
    """The data version of the model, and what is known of every class that it still has."""
    labels = sorted(dataset.train_labels.unique().tolist())
    data = prepare.versions_of(
        subject.home,
        source=subject.study.data,
        unseen=None,
        origin=subject.origin,
        forget=labels[:1],  # a version with a successor is made of one
        retired=model.retired,
        preprocessing=subject.preprocessing,
    )
    return data, qualified.class_facts(subject.home, dataset, data, model, labels)


def _frame(
    facts: Mapping[int, ClassFacts], study: Study, policy: Policy
) -> tuple[dict[int, ClassFacts], dict[int, str]]:
    """Classes that can be drawn, and why the others cannot."""
    least = {
        "test": max(study.least_rows, policy.minimum_samples.get("forget_test", 0)),
        "train": policy.minimum_samples.get("forget_train", 0),
    }
    words = {"test": "held-out", "train": "training"}
    few = {
        label: f"has {getattr(own, part)} {words[part]} rows of {count}"
        for label, own in facts.items()
        for part, count in least.items()
        if getattr(own, part) < count
    }
    return {label: own for label, own in facts.items() if label not in few}, few


def _terms(study: Study) -> Terms:
    return Terms(
        classes=study.classes,
        sequence=study.sequence,
        least_rows=study.least_rows,
        least_passed=study.least_passed,
        spot_checks=study.spot_checks,
        promised=study.promised,
        valid_days=study.valid_days,
        near_margin=study.near_margin,
        partly=study.partly,
    )


# The ledger


def _registered(ready: _Ready, again: str) -> tuple[Entry, Studied | None]:
    """The entry that fixes the family: of a study that was begun, else a new one.

    Raises:
        EventError: The same cuts did not qualify on this model before, or another study of it was
            begun, and no reason was given.
    """
    home, name = ready.subject.home, ready.subject.study.name
    ledger = Ledger(home.ledger)
    entries = ledger.entries()
    earlier = [e for e in entries if e.kind == standing.REGISTERED and _same_cuts(e, ready)]
    ended = {e.key: e for e in entries if e.kind == standing.SIGNED}
    _refuse_edited(ready, [e for e in entries if e.kind == standing.REGISTERED], ended, again)
    wanted = _identity(ready)
    for entry in reversed(earlier):
        end = ended.get(entry.key)
        same = {key: entry.body.get(key) for key in wanted} == wanted
        if end is None and same:
            return entry, None
        if end is None and not again:
            raise EventError(
                f"A study of these cuts on this model was begun with other terms, or other code "
                f"(ledger entry {entry.seq}): put these back to finish it, or give it up with "
                "--again and a reason. Each try stays in the ledger."
            )
        if end is None:
            body = _end_body(ready, entry.key, "", ABANDONED) | {"reason": again}
            ledger.append_once(standing.SIGNED, "", entry.key, body)
        elif end.body.get("result") == QUALIFIED and same:
            return entry, of_ended(home, str(end.body["statement"]))
        elif end.body.get("result") != QUALIFIED and not again:
            raise EventError(
                f"These cuts did not qualify on this model before (ledger entry {end.seq}, "
                f"{end.body.get('result')}): change them, or the images, or say with --again why "
                "they are tried once more. Each try stays in the ledger, and every later "
                "qualification of the model lists it."
            )
        break
    body = wanted | {
        "study": (key := str(uuid.uuid4())),
        "name": name,
        "try": len(earlier) + 1,
        "policy": ready.subject.policy.model_dump(mode="json"),
        **({"reason": again} if again else {}),
    }
    return ledger.append_once(standing.REGISTERED, "", key, body), None


def _refuse_edited(
    ready: _Ready, begun: Sequence[Entry], ended: Mapping[str, Entry], again: str
) -> None:
    """Refuse a study that was begun on a model which its alias points to no longer.

    Raises:
        EventError: With what to do.
    """
    for entry in begun:
        same_name = entry.body.get("name") == ready.subject.study.name
        model = str(entry.body.get("model"))
        if same_name and entry.key not in ended and model != ready.family.model and not again:
            raise EventError(
                f"The model was edited since study '{ready.subject.study.name}' was begun on "
                f"{model[:16]} (ledger entry {entry.seq}). To finish it, name that version, as in "
                '`model: {registry: "name/1"}`; for a study of the model as it is now, take '
                "another name."
            )


def _identity(ready: _Ready) -> Json:
    """What a study that was begun must have in common with one that goes on with it."""
    from compliance.formats import typed

    return {
        "familyDigest": ready.family.digest(),
        "family": ready.family.to_json(),
        "terms": typed.plain(ready.terms),
        "model": ready.family.model,
    }


def _same_cuts(entry: Entry, ready: _Ready) -> bool:
    """Whether an entry is of a study of the same cuts on the same model, by whatever code."""
    family = entry.body.get("family")
    own = ready.family.to_json()
    names = ("model", "data", "ladder", "policy")
    return isinstance(family, dict) and all(family.get(name) == own[name] for name in names)


def _end_body(ready: _Ready, study: str, statement: str, result: str) -> Json:
    return {
        "study": study,
        "familyDigest": ready.family.digest(),
        "model": ready.family.model,
        "statement": statement,
        "result": result,
    }


def earlier_tries(entries: Sequence[Entry], model: str, before: int) -> tuple[EarlierTry, ...]:
    """Every study of a model that ended before an entry."""
    return tuple(
        EarlierTry(
            study=str(entry.body.get("study")),
            statement=str(entry.body.get("statement")),
            qualifies=entry.body.get("result") == QUALIFIED,
        )
        for entry in entries[:before]
        if entry.kind == standing.SIGNED and entry.body.get("model") == model
    )


# The work


def _carried_out(ready: _Ready, entry: Entry) -> Studied:
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
    ready: _Ready, subject: Subject, entry: Entry, classes: Sequence[StudiedClass]
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
        earlier=earlier_tries(ledger.entries(), ready.family.model, entry.seq),
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
    result = QUALIFIED if content.outcome.qualifies else NOT_QUALIFIED
    body = _end_body(ready, entry.key, digest, result)
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
