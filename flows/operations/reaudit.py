"""Audit a finished event again: after ninety days, and when the suite of audits has changed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from compliance.ledger import Entry, Ledger, states
from compliance.qualification import standing
from compliance.signing import envelope
from flows.registry import reaudits
from flows.state import keyring, logs
from flows.state.errors import EventError
from flows.state.files import Artifact, canonical, digest_bytes, digest_file, write_atomically
from flows.state.paths import Attempt, Home

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from audits.finding import Finding
    from compliance.documents.policy import Policy
    from compliance.documents.request import Request
    from compliance.ledger.chain import Entry
    from compliance.verdict import Verdict
    from flows.state.facts import Data
    from flows.steps.audit import Case
    from flows.steps.plan import RegisteredPlan


def suite() -> str:
    """The audits as they are now: their names and damp's version."""
    from audits import AUDITS
    from damp.version import __version__

    return digest_bytes(canonical([__version__, sorted(AUDITS)]))[:16]


def due(home: Home, *, now: datetime | None = None) -> list[str]:
    """Events whose model in use must be audited again, the longest overdue first."""
    entries = Ledger(home.ledger).entries()
    today = now or datetime.now(UTC)
    dates = [
        (_due_at(home, event, entries), event.id)
        for event in states.events(entries).values()
        if event.state is states.State.CLOSED and event.verdict == "PASSED" and not event.claim
    ]
    return [event for date, event in sorted(dates) if date <= today]


def _due_at(home: Home, event: states.Event, entries: list[Entry]) -> datetime:
    """From the statement, then from the last re-audit; at once where the suite is another."""
    again = [e for e in entries if e.event == event.id and e.kind == "reaudited"]
    attempt = Attempt(home, event.id, event.attempt)
    if not again:
        due_at = envelope.decoded(attempt.statement)["predicate"]["retention"]["reauditDue"]
        return datetime.fromisoformat(due_at)
    last = again[-1]
    done = datetime.fromisoformat(last.time)
    if last.body["suite"] != suite():
        return done
    return done + timedelta(days=policy_of(attempt).reaudit_days)


def policy_of(attempt: Attempt) -> Policy:
    """The policy that the attempt's plan fixed."""
    from flows.steps import plan

    return plan.read(attempt.plan).policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaudit:
    """What came of it.

    Attributes:
        event: Id of the event.
        verdict: On its model, today.
        why: The reasons where it is not PASSED.
        findings: Path of the new findings, below the state folder.
    """

    event: str
    verdict: str
    why: str
    findings: str

    def to_json(self) -> dict[str, str]:
        return asdict(self)


def reaudit(home: Home, event: str) -> Reaudit:
    """Run every audit again on the model that the event has left, and log what came out.

    The pinned model before, the same data and the cached references are the baseline; the seed
    comes from the ledger, so that nobody can choose it.

    Raises:
        EventError: The data have changed since, a file is not the one that was signed, or no key
            can sign.
    """
    from flows.steps import audit
    from flows.steps.plan import seed_now

    key = keyring.signing_key(home, "executor")  # before minutes of audits
    seed = seed_now(Ledger(home.ledger))
    attempt, case = case_of(home, event, seed=seed)
    findings, controls = audit.audit_again(home, case)
    verdict = _judged(attempt, case, findings, controls)
    content = {
        "candidate": [finding.to_json() for finding in findings],
        "controls": {name: [f.to_json() for f in every] for name, every in controls.items()},
    }
    path = attempt.folder / "reaudits" / f"{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}.json"
    write_atomically(path, json.dumps(content, indent=1).encode())
    body: dict[str, Any] = {
        "attempt": attempt.number,
        "verdict": verdict.result,
        "findings": digest_file(path),
        "suite": suite(),
        "seed": seed,
    }
    body["signed"] = reaudits.sign(home, event, key, model=digest_file(attempt.after), body=body)
    Ledger(home.ledger).append("reaudited", event, body)
    logs.event(event, attempt.number).info("re-audited: %s", verdict.result)
    return Reaudit(
        event=event,
        verdict=verdict.result,
        why="; ".join(verdict.reasons),
        findings=home.relative(path),
    )


def _judged(
    attempt: Attempt,
    case: Case,
    findings: Sequence[Finding],
    controls: Mapping[str, Sequence[Finding]],
) -> Verdict:
    """By the plan's policy; under a qualification by its thresholds, if it still stands.

    By its date and its edits it must have held when the event ended; a suspension, or other code,
    counts whenever it came.
    """
    from compliance import judge
    from compliance.qualification import judging
    from flows.steps import plan, qualified

    planned = plan.read(attempt.plan)
    if not case.alone:
        return judge(findings, controls, planned.judged_by)
    ended = envelope.decoded(attempt.statement)["predicate"]["event"]["finishedAt"]
    basis, _, _ = qualified.standing_of(
        attempt.home,
        qualified.Asked.of(planned),
        case.data,
        case.model,
        at=datetime.fromisoformat(ended),
    )
    end = standing.suspended(Ledger(attempt.home.ledger).entries(), basis.digest)
    if end is not None:
        why = f"Its qualification was suspended at {end.time}."
        basis = replace(basis, problems=(*basis.problems, why))
    return judging.judge(findings, controls, planned.judged_by, basis)


def case_of(home: Home, event: str, *, seed: int | None = None) -> tuple[Attempt, Case]:
    """The signed attempt of an event, and what there is to audit of it.

    Args:
        seed: Of the audits; that of the attempt's plan where none is given.

    Raises:
        EventError: Nothing was signed, a file is not the one that was, or the data have changed.
    """
    current = states.current(Ledger(home.ledger).entries(), event)
    attempt = Attempt(home, event, current.attempt)
    if not attempt.statement.exists():
        raise EventError(f"Event {event} is {current.state.value}: nothing was signed yet. Run it.")
    return attempt, _case(attempt, envelope.decoded(attempt.statement), seed)


def _case(attempt: Attempt, statement: Mapping[str, Any], seed: int | None) -> Case:
    """From what the steps have left: plan, pinned model, request, statement."""
    from compliance.documents.request import load_request
    from flows.data import loaders
    from flows.models import weights
    from flows.state.facts import Edit, Model, RegisteredModel
    from flows.steps import plan as planning
    from flows.steps import references as training
    from flows.steps.audit import Case

    home, request = attempt.home, load_request(attempt.reproduce)
    plan = planning.read(attempt.plan)
    before = Artifact.of(home.root, attempt.before)
    after = Artifact.of(home.root, attempt.after)
    signed = statement["subject"][0]["digest"]["sha256"]
    if (before.sha256, after.sha256) != (plan.model_before, signed):
        raise EventError(
            f"The models in {attempt.folder} are not the ones that were signed. Restore them."
        )
    retired = weights.retired_outputs(weights.read_metadata(attempt.before))
    inputs = statement["predicate"]["inputs"]
    data = _data(attempt, request, plan, retired, inputs)
    named = inputs["modelBefore"]
    model = Model(
        file=before,
        architecture=str(request.model.architecture),
        input_shape=loaders.load(data.spec).input_shape,
        parameters=named["parameters"],
        registry=RegisteredModel.from_json(named["registry"]) if named["registry"] else None,
        retired=tuple(retired),
    )
    made_of = training.Training.of(data, model, plan.recipe)
    return Case(
        data=data,
        model=model,
        references=training.train(
            home,
            made_of,
            references=plan.policy.references,
            shadow_models=training.shadow_count(plan.policy, made_of),
            edited=training.shadow_edit(plan.policy, plan.method) if plan.method else None,
        ),
        edit=Edit(
            after=after,
            record=Artifact.of(home.root, attempt.edit),
            retired=tuple(sorted([*retired, *plan.forget])),
            seed=None,
            architecture=None,
        ),
        seed=plan.seed if seed is None else seed,
        near_margin=plan.policy.near_margin,
        alone=plan.policy.yardstick is not None,
    )


def _data(
    attempt: Attempt,
    request: Request,
    plan: RegisteredPlan,
    retired: Sequence[int],
    inputs: Mapping[str, Any],
) -> Data:
    """The event's data, if they are still those that the plan fixed."""
    from flows.data import loaders, versions
    from flows.intake import requests
    from flows.state.facts import Data, ForgetSet, RetainSet
    from flows.steps.prepare import unseen_spec

    spec = requests.data_spec(attempt.home, request, attempt.folder)
    dataset = loaders.load(spec)
    before, after = versions.before_and_after(dataset, plan.forget, attempt.home, retired=retired)
    if (before.version, after.version) != (plan.data_before, plan.data_after):
        raise EventError(
            f"The data of event {attempt.event} have changed since: they are now "
            f"{before.version}, the event was about {plan.data_before}. Bring them back."
        )
    return Data(
        spec=spec,
        name=inputs["dataBefore"]["name"],
        classes=dataset.classes,
        forget=plan.forget,
        before=before,
        after=after,
        forget_set=ForgetSet.from_json(inputs["forgetSet"]),
        retain_set=RetainSet.from_json(inputs["retainSet"]),
        unseen=unseen_spec(request.unseen, attempt.folder, spec.preprocessing),
    )
