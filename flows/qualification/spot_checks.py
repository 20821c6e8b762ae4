"""Spot checks: events closed under a qualification, audited against retrained models later.

Which events these are follows from the hash of the entry that closed each, which nobody knew when
it was carried out. The check is the full audit, by the policy of the study, with references trained
for this class alone. One that fails suspends the qualification and names the events in doubt.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from compliance.ledger import Ledger
from compliance.qualification import drawing, standing
from flows.operations import reaudit
from flows.qualification import qualify
from flows.records import qualifications
from flows.registry import reaudits
from flows.state import keyring, logs
from flows.state.errors import EventError
from flows.state.files import digest_file, write_atomically
from flows.state.paths import Home

if TYPE_CHECKING:
    from compliance.qualification.qualification import Qualification


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotCheck:
    """What came of one.

    Attributes:
        event: Id of the event.
        qualification: SHA-256 of its statement.
        verdict: Against retrained models.
        why: The reasons where it is not PASSED.
        in_doubt: Events since the last good check, where it has suspended the qualification.
    """

    event: str
    qualification: str
    verdict: str
    why: str
    in_doubt: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"in_doubt": list(self.in_doubt)}


def due(home: Home) -> list[tuple[str, str]]:
    """Events that are drawn and not checked yet, each with the digest of its qualification."""
    entries = Ledger(home.ledger).entries()
    trust = qualifications.trusted(home)
    waiting = []
    for digest, checked in qualifications.studies(home):
        if checked.content is None or standing.suspended(entries, digest):
            continue
        share = checked.content.terms.spot_checks
        closings = {run.event: run.hash for run in standing.runs(entries, digest)}
        done = {check.event for check in standing.checks(entries, digest, trust)}
        waiting += [(e, digest) for e in drawing.chosen(closings, share) if e not in done]
    return waiting


def carry_out(home: Home, event: str | None = None) -> list[SpotCheck]:
    """The checks that are due, or that of one event by the qualification that it ran under.

    Raises:
        EventError: That event ran under none, or was checked before.
    """
    if event is None:
        return [check(home, each, digest) for each, digest in due(home)]
    entries = Ledger(home.ledger).entries()
    for digest, _ in qualifications.studies(home):
        if event in {run.event for run in standing.runs(entries, digest)}:
            return [check(home, event, digest)]
    raise EventError(
        f"Event {event} was not closed as PASSED under a qualification: only such events are "
        "spot-checked. `damp qualify` lists the qualifications, `damp status` the events."
    )


def check(home: Home, event: str, digest: str) -> SpotCheck:
    """Audit one event against retrained models, log what came out, and suspend where it must be.

    Raises:
        EventError: The event was not carried out under that qualification, or was checked before;
            its data have changed since, or no key can sign.
    """
    from compliance import judge
    from flows.steps import audit, plan
    from flows.steps import references as training

    entries = Ledger(home.ledger).entries()
    checked = qualifications.load(home, digest, entries)
    if checked.content is None:
        raise EventError(" ".join(checked.problems))
    content = checked.content
    _refuse(home, event, digest)
    key = keyring.signing_key(home, "executor")
    policy = qualify.judged_by(home, content)
    seed = plan.seed_now(Ledger(home.ledger))
    attempt, case = reaudit.case_of(home, event, seed=seed)
    made_of = training.Training.of(case.data, case.model, plan.read(attempt.plan).recipe)
    references = training.train(home, made_of, references=policy.references)
    case = replace(case, references=references, alone=False, near_margin=policy.near_margin)
    findings, controls = audit.audit_again(home, case)
    level = policy.alpha / len(content.family.ladder)
    verdict = judge(findings, controls, policy.at_level(level))
    path = attempt.folder / "spot-checks" / f"{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}.json"
    kept = {
        "candidate": [finding.to_json() for finding in findings],
        "controls": {name: [f.to_json() for f in every] for name, every in controls.items()},
    }
    write_atomically(path, json.dumps(kept, indent=1).encode())
    body: dict[str, Any] = {
        "attempt": attempt.number,
        "verdict": verdict.result,
        "findings": digest_file(path),
        "qualification": digest,
        "seed": seed,
    }
    body["signed"] = reaudits.sign(
        home,
        event,
        key,
        model=digest_file(attempt.after),
        body=body,
        payload_type=standing.TYPE,
    )
    Ledger(home.ledger).append(standing.CHECKED, event, body)
    logs.event(event, attempt.number).info("spot check: %s", verdict.result)
    in_doubt = _suspended(home, content, digest, event)
    return SpotCheck(
        event=event,
        qualification=digest,
        verdict=verdict.result,
        why="; ".join(verdict.reasons),
        in_doubt=in_doubt,
    )


def _refuse(home: Home, event: str, digest: str) -> None:
    entries = Ledger(home.ledger).entries()
    if event not in {run.event for run in standing.runs(entries, digest)}:
        raise EventError(
            f"Event {event} was not closed as PASSED under qualification {digest[:16]}: only such "
            "events are spot-checked."
        )
    if event in {
        one.event for one in standing.checks(entries, digest, qualifications.trusted(home))
    }:
        raise EventError(
            f"Event {event} was spot-checked before. A second look would let the better one count."
        )


def _suspended(home: Home, content: Qualification, digest: str, event: str) -> tuple[str, ...]:
    """Suspend the qualification where the checks so far end it; the events in doubt."""
    ledger, trust = Ledger(home.ledger), qualifications.trusted(home)
    now = standing.bounds_of(ledger.entries(), digest, trust)
    why = standing.must_suspend(now, content.terms.promised)
    if why and standing.suspended(ledger.entries(), digest) is None:
        body = {"qualification": digest, "event": event, "reason": why}
        ledger.append_once(standing.SUSPENDED, "", f"{digest[:16]}-{event}", body)
    report = home.qualifications / content.study / "report.html"
    qualify.write_report(home, content, digest, report)
    if not why:
        return ()
    return tuple(standing.in_doubt(ledger.entries(), digest, trust))
