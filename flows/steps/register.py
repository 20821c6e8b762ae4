"""Steps 9 and 10: register the model with its lineage, then close what is finished."""

from __future__ import annotations

from typing import Any

from flows.records import event_index
from flows.state.journal import entered
from flows.state.paths import Attempt, Home
from flows.steps.predicate import CHAMPION, registered_name

Facts = dict[str, Any]


def register(
    where: Facts, accepted: Facts, data: Facts, model: Facts, edit: Facts, record: Facts
) -> Facts:
    """A new version with its parent, data, verdict, report and statement; the alias moves last.

    A retraining attempt's model is registered like an edited one: its parent is the model that it
    replaces.
    """
    from compliance.ledger import Ledger
    from flows.registry import registration as registry

    home, attempt = Home.of(where), Attempt.of(where)
    moves = record["verdict"] == "PASSED" and not _awaited(attempt, accepted)
    with entered(attempt, "register"):
        parent = _parent(home, attempt, data, model)
        made = registry.register_successor(
            home,
            name=parent["name"],
            parent_version=parent["version"],
            event=attempt.event,
            attempt=attempt.number,
            weights=attempt.after,
            statement=attempt.statement,
            report=attempt.report,
            verdict=record["verdict"],
            data_before=data["before"]["version"],
            data_after=data["after"]["version"],
            data_name=data["name"],
            architecture=model["architecture"],
            classes=data["classes"],
            input_shape=tuple(model["input_shape"]),
            retired=edit["retired"],
            move_alias=moves,
            **_for_the_pages(attempt, parent),
        )
        if moves:
            body = {"attempt": attempt.number, "name": made.name, "version": str(made.version)}
            Ledger(home.ledger).append_once(
                "model_promoted",
                attempt.event,
                f"attempt-{attempt.number}",
                body | {"alias": CHAMPION, "model": edit["after"]["sha256"]},
            )
    return made.to_json()


def _awaited(attempt: Attempt, accepted: Facts) -> list[str]:
    """Roles whose signature the policy asks for and the statement does not have."""
    from compliance.signing import envelope, load_trust

    opened = envelope.open_envelope(attempt.statement.read_bytes())
    there = {
        s.role
        for s in envelope.verify_signatures(opened, load_trust(attempt.home.trust))
        if s.holds
    }
    return [role for role in accepted["policy"]["signoffs"] if role not in there]


def _for_the_pages(attempt: Attempt, parent: Facts) -> Facts:
    """What the registry's pages show of the statement, which lies there too."""
    from compliance.signing import envelope

    predicate = envelope.decoded(attempt.statement)["predicate"]
    figures = {
        row["name"].replace("@", "/"): float(row["value"])  # MLflow allows no @ in names
        for row in predicate["audits"]
        if row.get("value") is not None
    }
    verdict, inputs = predicate["verdict"], predicate["inputs"]
    before = f"#/models/{parent['name']}/versions/{parent['version']}"
    told = [
        f"**{verdict['result']}**: {verdict['claim']}",
        *verdict["reasons"],
        f"Made from [version {parent['version']}]({before}) by event `{attempt.event}`, attempt "
        f"{attempt.number}.",
        f"Data before `{inputs['dataBefore']['version']}`, after "
        f"`{inputs['dataAfter']['version']}`.",
        "Report and signed statement are among the artifacts of the run.",
    ]
    return {"metrics": figures, "description": "\n\n".join(told)}


def _parent(home: Home, attempt: Attempt, data: Facts, model: Facts) -> Facts:
    """The registered version of the model before; a file is registered first."""
    if model["registry"] is not None:
        return dict(model["registry"])
    from flows.registry import registration as registry

    base = registry.register_base(
        home,
        name=registered_name(data, model),
        weights=attempt.folder / "before.safetensors",
        architecture=model["architecture"],
        classes=data["classes"],
        input_shape=tuple(model["input_shape"]),
        data_version=data["before"]["version"],
        data_name=data["name"],
        retired=model["retired"],
    )
    return {"name": base.name, "version": str(base.version)}


def close(where: Facts, accepted: Facts, record: Facts, registration: Facts) -> Facts:
    """One ledger entry that ends the attempt: closed, to be retrained, or for a person to see."""
    from compliance.ledger import Ledger

    home, attempt = Home.of(where), Attempt.of(where)
    with entered(attempt, "close"):
        kind = _ending(attempt, accepted, record["verdict"])
        Ledger(home.ledger).append_once(
            kind,
            attempt.event,
            f"attempt-{attempt.number}",
            {"attempt": attempt.number, "verdict": record["verdict"]},
        )
    event_index.refresh(home)
    return {
        "attempt": attempt.number,
        "ending": kind,
        "verdict": record["verdict"],
        "reasons": record["reasons"],
        "statement": record["statement"],
        "report": record["report"],
        "registration": registration,
    }


def _ending(attempt: Attempt, accepted: Facts, verdict: str) -> str:
    """PASSED and signed off fulfils the request; FAILED is retrained while attempts are left."""
    policy = accepted["policy"]
    if verdict == "PASSED":
        return "attempt_closed" if _awaited(attempt, accepted) else "event_closed"
    again = policy["fallback"] == "retrain" and attempt.number < policy["max_attempts"]
    return "retrain_required" if verdict == "FAILED" and again else "attempt_closed"
