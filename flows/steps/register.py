"""Steps 9 and 10: register the model with its lineage, then close what is finished."""

from __future__ import annotations

from flows.records import checkpoints, event_index
from flows.state.facts import (
    AcceptedRequest,
    Closed,
    Data,
    Edit,
    Json,
    Model,
    Record,
    RegisteredModel,
    Registration,
)
from flows.state.paths import Attempt
from flows.steps.step import step

CLOSED = "attempt_closed"
"""The entry of an attempt that was dealt with and is followed by none."""


@step("Register the model")
def register(
    attempt: Attempt,
    accepted: AcceptedRequest,
    data: Data,
    model: Model,
    edit: Edit,
    record: Record,
) -> Registration:
    """A new version with its parent, data, verdict, report and statement; the alias moves last.

    A retraining attempt's model is registered like an edited one: its parent is the model that it
    replaces.
    """
    from flows.registry import open_registry, promotions, version_of
    from flows.registry import registration as registry

    moves = record.verdict == "PASSED" and not _awaited(attempt, accepted)
    parent = _parent(attempt, data, model)
    metrics, description = _for_the_pages(attempt, parent)
    version = registry.register_successor(
        attempt.home,
        name=parent.name,
        parent_version=parent.version,
        event=attempt.event,
        attempt=attempt.number,
        weights=attempt.after,
        statement=attempt.statement,
        report=attempt.report,
        verdict=record.verdict,
        data_before=data.before.version,
        data_after=data.after.version,
        data_name=data.name,
        architecture=model.architecture,
        classes=data.classes,
        input_shape=model.input_shape,
        retired=edit.retired,
        preprocessing=data.spec.preprocessing,
        move_alias=moves,
        metrics=metrics,
        description=description,
        more=[attempt.qualification] if accepted.policy.yardstick else [],
    )
    registration = Registration(
        name=version.name,
        version=version.version,
        model_id=version.model_id,
        run_id=version.run_id,
    )
    if moves:
        with open_registry(attempt.home) as opened:
            promoted = version_of(opened, registration.name, registration.version)
            promotions.enter(attempt.home, opened, promoted)
    return registration


def _awaited(attempt: Attempt, accepted: AcceptedRequest) -> list[str]:
    """Roles whose signature the policy asks for and the statement does not have."""
    from compliance.signing import envelope, load_trust

    opened = envelope.open_envelope(attempt.statement.read_bytes())
    signatures = envelope.verify_signatures(opened, load_trust(attempt.home.trust))
    signed = {signature.role for signature in signatures if signature.holds}
    return [role for role in accepted.policy.signoffs if role not in signed]


def _for_the_pages(attempt: Attempt, parent: RegisteredModel) -> tuple[dict[str, float], str]:
    """What the registry's pages show of the statement, which lies there too: figures and text."""
    from compliance.signing import envelope

    predicate: Json = envelope.decoded(attempt.statement)["predicate"]
    figures = {
        row["name"].replace("@", "/"): float(row["value"])  # MLflow allows no @ in names
        for row in predicate["audits"]
        if row.get("value") is not None
    }
    verdict, inputs = predicate["verdict"], predicate["inputs"]
    before = f"#/models/{parent.name}/versions/{parent.version}"
    paragraphs = [
        f"**{verdict['result']}**: {verdict['claim']}",
        *verdict["reasons"],
        f"Made from [version {parent.version}]({before}) by event `{attempt.event}`, attempt "
        f"{attempt.number}.",
        f"Data before `{inputs['dataBefore']['version']}`, after "
        f"`{inputs['dataAfter']['version']}`.",
        "`report.html` and `statement.dsse.json` are among the artifacts of the run that this "
        "version leads to (*Source run*, *Artifacts*); on the machine that made them they lie in "
        f"`{attempt.home.relative(attempt.folder)}` of the state folder.",
        f"Lineage: version {parent.version} of {parent.name}, {inputs['dataBefore']['rows']} rows "
        f"→ this version, {inputs['dataAfter']['rows']} rows. `damp lineage {parent.name}` draws "
        "all versions, `damp audit-registry` checks each.",
    ]
    return figures, "\n\n".join(paragraphs)


def _parent(attempt: Attempt, data: Data, model: Model) -> RegisteredModel:
    """The registered version of the model before; a file is registered first."""
    if model.registry is not None:
        return model.registry
    from flows.registry import registration as registry

    base = registry.register_base(
        attempt.home,
        name=_signed_name(attempt),
        weights=attempt.before,
        architecture=model.architecture,
        classes=data.classes,
        input_shape=model.input_shape,
        data_version=data.before.version,
        data_name=data.name,
        retired=model.retired,
        preprocessing=data.spec.preprocessing,
    )
    return RegisteredModel(name=base.name, version=str(base.version))


def _signed_name(attempt: Attempt) -> str:
    """The name that the statement says it is registered under."""
    from compliance.signing import envelope

    predicate: Json = envelope.decoded(attempt.statement)["predicate"]
    return str(predicate["registration"]["name"])


@step("Close the event")
def close(
    attempt: Attempt, accepted: AcceptedRequest, record: Record, registration: Registration
) -> Closed:
    """One ledger entry that ends the attempt: closed, to be retrained, or for a person to see."""
    from compliance.ledger import Ledger

    ending = _ending(attempt, accepted, record.verdict)
    Ledger(attempt.home.ledger).append_once(
        ending,
        attempt.event,
        f"attempt-{attempt.number}",
        {"attempt": attempt.number, "verdict": record.verdict},
    )
    checkpoints.at_close(attempt.home)
    event_index.refresh(attempt.home)
    return closed(attempt, ending, record, registration)


def closed(
    attempt: Attempt, ending: str, record: Record, registration: Registration | None
) -> Closed:
    """What the person who asked is shown."""
    return Closed(
        attempt=attempt.number,
        ending=ending,
        verdict=record.verdict,
        reasons=record.reasons,
        statement=record.statement,
        report=record.report,
        registration=registration,
    )


def _ending(attempt: Attempt, accepted: AcceptedRequest, verdict: str) -> str:
    """PASSED and signed off fulfils the request; else the next attempt, where one is left."""
    policy = accepted.policy
    if verdict == "PASSED":
        return "attempt_closed" if _awaited(attempt, accepted) else "event_closed"
    if policy.attempts:
        return _next(attempt, accepted, verdict)
    again = policy.fallback == "retrain" and attempt.number < policy.max_attempts
    return "retrain_required" if verdict in policy.fallback_on and again else "attempt_closed"


def _next(attempt: Attempt, accepted: AcceptedRequest, verdict: str) -> str:
    """Whether another of the declared attempts is due, and whether it trains the whole anew."""
    from compliance.documents import ladder
    from compliance.documents.methods import RETRAIN
    from compliance.ledger import Ledger
    from flows.intake import model_checks
    from flows.steps.prepare import can_reach

    rung = accepted.rung
    if rung is None:  # begun when policies declared none: retrained once, after FAILED
        begun = verdict == "FAILED" and attempt.number == 1
        return "retrain_required" if begun and accepted.policy.attempts[-1] == RETRAIN else CLOSED
    reach = can_reach(Ledger(attempt.home.ledger), attempt.event)
    if not ladder.goes_on(accepted.policy, verdict, can_reach=reach):
        return CLOSED
    impossible = model_checks.kept(attempt.home, attempt.event).impossible
    chosen = ladder.following(rung.declared, rung.place, impossible=impossible, can_reach=reach)
    if chosen is None:
        return CLOSED
    last = rung.declared[chosen.place - 1] == RETRAIN
    return "retrain_required" if last else "next_attempt"
