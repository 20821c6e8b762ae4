"""Steps 1 to 3: accept the request, version the data, pin the model."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from compliance.documents import deadlines
from compliance.formats.timestamps import parse_utc
from compliance.ledger import Ledger, states
from compliance.verdict import FAILED
from flows.data.dataset import DataSpec
from flows.intake import requests
from flows.registry import model_source
from flows.state.errors import EventError
from flows.state.files import Artifact, aside
from flows.state.journal import entered
from flows.state.paths import Attempt, Home

if TYPE_CHECKING:
    from compliance.documents.policy import Policy
    from compliance.documents.request import Request
    from compliance.ledger import Entry

Facts = dict[str, Any]


def accept(where: Facts) -> Facts:
    """Fix what the attempt will do, and log that it starts, before anything else happens."""
    home, attempt = Home.of(where), Attempt.of(where)
    with entered(attempt, "accept"):
        request = requests.request_of(home, attempt.event)
        policy = requests.policy_of(home, attempt.event)
        event = states.current(Ledger(home.ledger).entries(), attempt.event)
        entry = _started(home, attempt, request, policy, event)
        method = entry["body"]["method"]
    return {
        "request": request.content(),
        "request_digest": request.digest(),
        "regulation": request.regulation,
        "received": event.received,
        "due": event.due,
        "verified_by": event.verified_by or None,
        "forget": list(request.forget),
        "recipe": requests.recipe_source(request.recipe, requests.origin_of(home, attempt.event)),
        "policy": policy.model_dump(mode="json"),
        "policy_digest": policy.digest(),
        "method": method,
        "started": entry["time"],
        "previous": _previous(home, attempt),
    }


def _started(
    home: Home, attempt: Attempt, request: Request, policy: Policy, event: states.Event
) -> Entry:
    """The entry that the attempt starts with; made once, so that its method stays what it was."""
    ledger, key = Ledger(home.ledger), f"attempt-{attempt.number}"
    known = ledger.find("attempt_started", attempt.event, key)
    if known is not None:
        return known
    why = _why_retrain(ledger, policy, event)
    body = {"attempt": attempt.number, "method": _method(request, retrain=bool(why))}
    return ledger.append_once(
        "attempt_started",
        attempt.event,
        key,
        body | ({"reason": why} if why else {}),
        checked=True,
    )


def _why_retrain(ledger: Ledger, policy: Policy, event: states.Event) -> str:
    """Why this attempt trains anew whatever the request asked for; empty where it does not."""
    if event.state is states.State.RETRAIN_REQUIRED:
        return "the attempt before has failed"
    if policy.fallback != "retrain":
        return ""
    failed = [e for e in ledger.of(event.id, "statement_signed") if e["body"]["verdict"] == FAILED]
    due = parse_utc(event.due)
    if not deadlines.must_retrain(due, datetime.now(UTC), len(failed)):
        return ""
    left = max(deadlines.days_left(due, datetime.now(UTC)), 0)
    return f"{len(failed)} failed attempts, {left} days left: no time or trust for another edit"


def _method(request: Request, *, retrain: bool) -> Facts:
    """The preset that was asked for, or retraining."""
    asked = request.method
    return {
        "preset": "retrain" if retrain else asked.preset,
        "gain": asked.gain,
        "sequential": asked.sequential,
        "skip": list(asked.skip),
    }


def _previous(home: Home, attempt: Attempt) -> list[Facts]:
    """Every earlier attempt with its verdict: a failure cannot be left out of the record."""
    signed = Ledger(home.ledger).of(attempt.event, "statement_signed")
    return [
        {
            "attempt": entry["body"]["attempt"],
            "statementDigest": entry["body"]["statement"],
            "verdict": entry["body"]["verdict"],
        }
        for entry in signed
        if entry["body"]["attempt"] < attempt.number
    ]


def version_data(where: Facts, accepted: Facts) -> Facts:
    """The data version that the model was trained on, and its successor without the class."""
    home, attempt = Home.of(where), Attempt.of(where)
    with entered(attempt, "version_data"):
        request = requests.request_of(home, attempt.event)
        origin = requests.origin_of(home, attempt.event)
        return versioned(
            home,
            spec=requests.data_spec(request, origin),
            name=request.data.name.partition(":")[0],
            forget=accepted["forget"],
            gone=model_source.locate(home, request.model, origin).retired(),
            unseen=requests.unseen_spec(request.unseen, origin),
        )


def versioned(
    home: Home,
    *,
    spec: DataSpec,
    name: str,
    forget: list[int],
    gone: list[int],
    unseen: Facts | None,
) -> Facts:
    """Versions before and after, forget and retain sets of some data.

    Args:
        home: The state folder.
        spec: Which data.
        name: What the statement calls them.
        forget: Classes to forget.
        gone: Classes that earlier events took out.
        unseen: Where rows of classes that nobody was trained on lie.
    """
    from flows.data import commitment, dvc_workspace, loaders, versions

    whole = loaders.load(spec)
    before, after = versions.before_and_after(whole, forget, home, retired=gone)
    dvc_workspace.push(home, after.path)
    dataset = whole.without(gone)
    return {
        "spec": {"name": spec.name, "root": spec.root},
        "name": name,
        "classes": dataset.classes,
        "forget": forget,
        "before": before.to_json(),
        "after": after.to_json(),
        "forget_set": commitment.forget_set(dataset, forget, home),
        "retain_set": commitment.retain_set(dataset, forget),
        "unseen": unseen,
    }


def pin_model(where: Facts, accepted: Facts, data: Facts) -> Facts:
    """The model before as bytes with a digest: an alias may move, these bytes may not."""
    from flows.data import loaders
    from flows.models import weights

    home, attempt = Home.of(where), Attempt.of(where)
    with entered(attempt, "pin_model"):
        request = requests.request_of(home, attempt.event)
        source = _source(home, request, attempt)
        pinned = attempt.folder / "before.safetensors"
        with aside(pinned) as (temporary, _):
            shutil.copyfile(source.path, temporary)
        shape = loaders.load(DataSpec(**data["spec"])).input_shape
        network, metadata = weights.load_weights(
            pinned,
            architecture=source.architecture,
            classes=data["classes"],
            input_shape=shape,
        )
        file = Artifact.of(home.root, pinned)
        if source.sha256 not in (None, file.sha256):
            raise EventError(
                f"The bytes of {source.registry} changed while they were copied. Run it again."
            )
    return {
        "file": file.to_json(),
        "architecture": source.architecture,
        "input_shape": list(shape),
        "parameters": sum(value.numel() for value in network.parameters()),
        "registry": source.registry,
        "retired": weights.retired_outputs(metadata, classes=data["classes"]),
    }


def _source(home: Home, request: Request, attempt: Attempt) -> model_source.Located:
    """Where the model before lies; a registered one must not be older than the champion."""
    found = model_source.locate(home, request.model, requests.origin_of(home, attempt.event))
    if found.registry is None:
        return found
    from flows.registry import registration

    name, version = found.registry["name"], found.registry["version"]
    champion = registration.champion(home, name)
    if champion not in (None, int(version)):
        raise EventError(
            f"The request is about {name} version {version}, but the champion is "
            f"version {champion}: a model made from the older one could not take its place. "
            f"Request it of '{name}@champion'."
        )
    return found
