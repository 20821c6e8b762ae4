"""Steps 1 to 3: accept the request, version the data, pin the model."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from compliance.documents import deadlines, ladder
from compliance.documents.methods import RETRAIN
from compliance.documents.policy import load_policy
from compliance.formats.timestamps import parse_utc
from compliance.ledger import Ledger, states
from compliance.verdict import FAILED
from flows.data.dataset import DataSpec
from flows.intake import model_checks, requests
from flows.models import other_methods
from flows.registry import model_source
from flows.state.errors import EventError
from flows.state.facts import (
    AcceptedRequest,
    Data,
    ForgetSet,
    Json,
    Method,
    Model,
    PreviousAttempt,
    RegisteredModel,
    RetainSet,
    Rung,
    SkippedRung,
)
from flows.state.files import Artifact, aside
from flows.state.paths import Attempt, Home
from flows.steps.step import step

if TYPE_CHECKING:
    from compliance.documents.policy import Policy
    from compliance.documents.preprocessing import Preprocessing
    from compliance.documents.request import DataSource, Request
    from compliance.ledger.chain import Entry


@step("Accept the request")
def accept(attempt: Attempt) -> AcceptedRequest:
    """Fix what the attempt will do, and log that it starts, before anything else happens.

    The request is read and held against the ledger here; later steps take it from here.
    """
    home = attempt.home
    request, origin = (
        requests.request_of(home, attempt.event),
        requests.origin_of(home, attempt.event),
    )
    policy = load_policy(requests.policy_source(request.policy, origin))
    event = states.current(Ledger(home.ledger).entries(), attempt.event)
    entry = _start(attempt, request, policy, event)
    return AcceptedRequest(
        request=request,
        digest=request.digest(),
        origin=str(origin),
        regulation=request.regulation,
        received=event.received,
        due=event.due,
        verified_by=event.verified_by or None,
        forget=request.forget,
        recipe=requests.recipe_source(request.recipe, origin),
        policy=policy,
        method=Method.from_json(entry.body["method"]),
        rung=Rung.from_json(entry.body["rung"]) if "rung" in entry.body else None,
        started=entry.time,
        previous=_previous(attempt),
    )


def _start(attempt: Attempt, request: Request, policy: Policy, event: states.Event) -> Entry:
    """The entry that the attempt starts with; made once, so that its method stays what it was."""
    ledger, key = Ledger(attempt.home.ledger), f"attempt-{attempt.number}"
    entry = ledger.find("attempt_started", attempt.event, key)
    if entry is not None:
        return entry
    rung = next_rung(attempt, request, policy)
    if rung is not None:
        preset, why = rung.declared[rung.place - 1], ""
    elif asked := opened_by_hand(ledger, event):
        preset, why = asked, "asked for by damp retry"
    else:
        why = _why_retrain(ledger, policy, event)
        preset = RETRAIN if why else request.method.chosen
    body: Json = {"attempt": attempt.number, "method": _method(request, preset).to_json()}
    body |= ({"reason": why} if why else {}) | ({"rung": rung.to_json()} if rung else {})
    return ledger.append_once("attempt_started", attempt.event, key, body, checked=True)


def next_rung(attempt: Attempt, request: Request, policy: Policy) -> Rung | None:
    """The attempt that comes after those that were made; None where the policy declares none.

    Raises:
        EventError: All that were declared have been made, or this model forbids them.
    """
    ledger = Ledger(attempt.home.ledger)
    started = ledger.of(attempt.event, "attempt_started")
    earlier = [entry for entry in started if "rung" in entry.body]
    if started and not earlier:  # begun when policies declared none: it ends as it began
        return None
    # declared before the first was made: a policy that was changed since adds and takes none
    attempts = (
        tuple(earlier[0].body["rung"]["declared"])
        if earlier
        else ladder.declared(policy, request.method)
    )
    if not attempts:
        return None
    event = states.current(ledger.entries(), attempt.event)
    place = earlier[-1].body["rung"]["place"] if earlier else 0
    if asked := opened_by_hand(ledger, event):
        return _rung_of(policy, attempts, place, asked)
    chosen = ladder.following(
        attempts,
        place,
        impossible=model_checks.kept(attempt.home, attempt.event).impossible,
        can_reach=can_reach(ledger, attempt.event),
        hurry=_hurry(ledger, event),
    )
    if chosen is None:
        raise EventError(
            f"No attempt of {attempt.event} is left of those that policy '{policy.name}' declares: "
            f"{', '.join(attempts)}. Close it, or file a request by another method."
        )
    return Rung(
        place=chosen.place,
        declared=attempts,
        level=ladder.levels(policy, attempts)[chosen.place - 1],
        skipped=tuple(SkippedRung(preset=p, reason=reason) for p, reason in chosen.skipped),
    )


def opened_by_hand(ledger: Ledger, event: states.Event) -> str:
    """The method for which a person has opened the attempt that is due; "" where nobody has."""
    if not event.begins_again:
        return ""
    opened = [
        entry
        for kind in ("next_attempt", "retrain_required")
        for entry in ledger.of(event.id, kind)
    ]
    return str(max(opened, key=lambda entry: entry.seq).body.get("asked", ""))


def _rung_of(policy: Policy, attempts: Sequence[str], place: int, asked: str) -> Rung:
    """The declared attempt that a person has asked for."""
    number = attempts.index(asked) + 1
    passed_over = "passed over: another attempt was asked for by damp retry"
    return Rung(
        place=number,
        declared=tuple(attempts),
        level=ladder.levels(policy, attempts)[number - 1],
        skipped=tuple(
            SkippedRung(preset=each, reason=passed_over) for each in attempts[place : number - 1]
        ),
    )


def can_reach(ledger: Ledger, event: str) -> bool:
    """Whether the last plan expects that a later attempt can pass; so before there is a plan."""
    plans = ledger.of(event, "plan_registered")
    return ladder.reachable(plans[-1].body["plan"] if plans else {})


def _why_retrain(ledger: Ledger, policy: Policy, event: states.Event) -> str:
    """Why this attempt trains anew whatever the request asked for; empty where it does not."""
    if event.state is states.State.RETRAIN_REQUIRED:
        return "the attempt before has failed"
    return _hurry(ledger, event) if policy.fallback == "retrain" else ""


def _hurry(ledger: Ledger, event: states.Event) -> str:
    """Why there is no time or trust for another edit; empty where there is."""
    failed = [e for e in ledger.of(event.id, "statement_signed") if e.body["verdict"] == FAILED]
    due = parse_utc(event.due)
    if not deadlines.must_retrain(due, datetime.now(UTC), len(failed)):
        return ""
    left = max(deadlines.days_left(due, datetime.now(UTC)), 0)
    return f"{len(failed)} failed attempts, {left} days left: no time or trust for another edit"


def _method(request: Request, preset: str) -> Method:
    """The method that is due, with the settings that were asked for."""
    asked = request.method
    if preset == asked.name:
        return Method(
            preset=preset,
            gain=1.0,
            sequential=False,
            skip=(),
            settings=dict(sorted(asked.settings.items())),
            code=other_methods.digest(preset),
        )
    return Method(
        preset=preset,
        gain=asked.gain,
        sequential=asked.sequential,
        skip=asked.skip,
    )


def _previous(attempt: Attempt) -> tuple[PreviousAttempt, ...]:
    """Every earlier attempt with its verdict: a failure cannot be left out of the record."""
    signed = Ledger(attempt.home.ledger).of(attempt.event, "statement_signed")
    every = [
        PreviousAttempt(
            attempt=body["attempt"], statement=body["statement"], verdict=body["verdict"]
        )
        for body in (entry.body for entry in signed)
    ]
    return tuple(each for each in every if each.attempt < attempt.number)


@step("Version the data")
def version_data(attempt: Attempt, accepted: AcceptedRequest) -> Data:
    """The data version that the model was trained on, and its successor without the class."""
    request, origin = accepted.request, Path(accepted.origin)
    model = model_source.locate(attempt.home, request.model, origin)
    return versions_of(
        attempt.home,
        source=request.data,
        unseen=request.unseen,
        origin=origin,
        forget=accepted.forget,
        retired=model.retired(),
        preprocessing=model.preprocessing,
    )


def versions_of(
    home: Home,
    *,
    source: DataSource,
    unseen: DataSource | None,
    origin: Path,
    forget: Sequence[int],
    retired: Sequence[int],
    preprocessing: Preprocessing | None = None,
) -> Data:
    """Versions before and after, forget and retain sets of some data.

    Args:
        home: The state folder.
        source: Which data.
        unseen: Where rows of classes that nobody was trained on lie.
        origin: The folder from which their paths go.
        forget: Classes to forget.
        retired: Classes that earlier events took out.
        preprocessing: What the model sees of their images.
    """
    from flows.data import commitment, dvc_workspace, loaders, versions

    spec = requests.spec_of(source, origin, preprocessing)
    whole = loaders.load(spec)
    before, after = versions.before_and_after(whole, forget, home, retired=retired)
    dvc_workspace.push(home, after.path)
    dataset = whole.without(retired)
    return Data(
        spec=spec,
        name=source.name.partition(":")[0],
        classes=dataset.classes,
        forget=tuple(forget),
        before=before,
        after=after,
        forget_set=ForgetSet.from_json(commitment.forget_set(dataset, forget, home)),
        retain_set=RetainSet.from_json(commitment.retain_set(dataset, forget)),
        unseen=unseen_spec(unseen, origin, preprocessing),
    )


def unseen_spec(
    source: DataSource | None, origin: Path, preprocessing: Preprocessing | None
) -> DataSpec | None:
    """Where rows of classes that nobody was trained on lie; None where none are named."""
    return requests.spec_of(source, origin, preprocessing) if source else None


@step("Pin the model")
def pin_model(attempt: Attempt, accepted: AcceptedRequest, data: Data) -> Model:
    """The model before as bytes with a digest: an alias may move, these bytes may not."""
    from flows.data import loaders
    from flows.models import weights

    source = _source(attempt.home, accepted)
    pinned = attempt.before
    with aside(pinned) as (temporary, _):
        shutil.copyfile(source.path, temporary)
    shape = loaders.load(data.spec).input_shape
    network, metadata = weights.load_weights(
        pinned,
        architecture=source.architecture,
        classes=data.classes,
        input_shape=shape,
    )
    file = Artifact.of(attempt.home.root, pinned)
    if source.sha256 not in (None, file.sha256):
        raise EventError(
            f"The bytes of {source.registry} changed while they were copied. Run it again."
        )
    return Model(
        file=file,
        architecture=source.architecture,
        input_shape=shape,
        parameters=sum(value.numel() for value in network.parameters()),
        registry=registered_model(source.registry),
        retired=tuple(weights.retired_outputs(metadata, classes=data.classes)),
    )


def registered_model(registry: Json | None) -> RegisteredModel | None:
    """The version that a located model is, None for a file."""
    return RegisteredModel.from_json(registry) if registry else None


def _source(home: Home, accepted: AcceptedRequest) -> model_source.Located:
    """Where the model before lies; a registered one must not be older than the champion."""
    source = model_source.locate(home, accepted.request.model, Path(accepted.origin))
    model_source.refuse_superseded(home, source)
    return source
