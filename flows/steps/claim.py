"""The steps of a claim's audit that differ from an unlearning event's; the others are the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance.documents.policy import load_policy
from compliance.documents.preprocessing import content_of
from compliance.ledger import Ledger, states
from flows.intake import claims, requests
from flows.records import checkpoints, event_index, qualifications
from flows.registry import model_source
from flows.registry.model_source import Located
from flows.servers import isolated
from flows.state import others_code
from flows.state.errors import EventError
from flows.state.facts import (
    NO_SHADOWS,
    UNKNOWN_METHOD,
    AcceptedClaim,
    Closed,
    Data,
    Edit,
    Findings,
    Json,
    Model,
    Pinned,
    Plan,
    Record,
    References,
)
from flows.state.files import Artifact, aside, digest_file, write_atomically
from flows.state.paths import Attempt, Home
from flows.steps import conclude as concluding
from flows.steps import edit as editing
from flows.steps import predicate, prepare, register
from flows.steps import references as training

if TYPE_CHECKING:
    from torch import nn

SHOWN = 5
"""Files of the claimant's code in a sentence; the method lists them all."""
ORIGINAL, EDITED, REFERENCE = "original", "edited", "reference_"
"""The models of a claim by name: the first, the second, and what was handed in beside them."""


@prepare.accept.of_claim
def accept(attempt: Attempt) -> AcceptedClaim:
    """Log that the audit starts, before anything else happens.

    The claim is read and held against the ledger here; later steps take it from here.
    """
    home, event = attempt.home, attempt.event
    claim, origin = claims.claim_of(home, event), requests.origin_of(home, event)
    files = claims.files_of(home, event)
    claims.require_allowed(home, claim, origin, files)
    policy = load_policy(requests.policy_source(claim.policy, origin))
    state = states.current(Ledger(home.ledger).entries(), event)
    body = {"attempt": attempt.number, "method": UNKNOWN_METHOD}
    key = f"attempt-{attempt.number}"
    entry = Ledger(home.ledger).append_once("attempt_started", event, key, body)
    return AcceptedClaim(
        claim=claim,
        files=files,
        digest=claim.digest(files),
        origin=str(origin),
        regulation="other",
        received=state.received,
        due=state.due,
        verified_by=None,
        forget=claim.forget,
        recipe=claims.recipe_source(claim, origin),
        policy=policy,
        started=entry.time,
        previous=(),
    )


@prepare.version_data.of_claim
def version_data(attempt: Attempt, accepted: AcceptedClaim) -> Data:
    """The data that the models were trained and edited on, and the rows nobody was trained on."""
    claim, origin = accepted.claim, Path(accepted.origin)
    claims.require_allowed(attempt.home, claim, origin, accepted.files)
    original = model_source.locate(attempt.home, claim.original, origin)
    return prepare.versions_of(
        attempt.home,
        source=claim.data,
        unseen=claim.unseen,
        origin=origin,
        forget=accepted.forget,
        retired=original.retired(),
        preprocessing=original.preprocessing,
    )


@prepare.pin_model.of_claim
def pin_model(attempt: Attempt, accepted: AcceptedClaim, data: Data) -> Pinned:
    """Every model of the claim as bytes with a digest: what lies elsewhere may change, this not."""
    from flows.data import loaders

    home = attempt.home
    places = {ORIGINAL: attempt.before, EDITED: attempt.after}
    origin = Path(accepted.origin)
    claims.require_allowed(home, accepted.claim, origin, accepted.files)
    sources = claims.sources(home, accepted.claim, origin)
    files = {
        name: _pin(home, source, places.get(name), accepted.files[name])
        for name, source in sources.items()
    }
    pinned = {
        name: replace(source, path=home.root / files[name].path) for name, source in sources.items()
    }
    dataset = loaders.load(data.spec)
    networks = {name: source.load(dataset) for name, source in pinned.items()}
    original, edited = pinned[ORIGINAL], pinned[EDITED]
    changes = _changes(networks[ORIGINAL], networks[EDITED])
    write_atomically(attempt.edit, json.dumps(changes, indent=2).encode())
    claims.refuse_other_reading(original, edited, networks[EDITED], dataset)
    model = Model(
        file=files[ORIGINAL],
        architecture=original.architecture,
        input_shape=dataset.input_shape,
        parameters=sum(value.numel() for value in networks[ORIGINAL].parameters()),
        registry=prepare.registered_model(original.registry),
        retired=tuple(original.retired()),
    )
    edit = Edit(
        after=files[EDITED],
        record=Artifact.of(home.root, attempt.edit),
        retired=tuple(sorted({*accepted.claim.edited.retired, *edited.retired()})),
        seed=None,
        architecture=edited.architecture,
    )
    references = _handed_in(files, networks) if accepted.claim.references else None
    return Pinned(model=model, edit=edit, references=references)


def _pin(home: Home, source: Located, place: Path | None, digest: str) -> Artifact:
    """A copy of a model's bytes; refused where they are not those that were handed in.

    Raises:
        EventError: The file has changed since the claim was received.
    """
    target = place or _reference(home, digest)
    if not target.exists():
        with aside(target) as (temporary, _):
            shutil.copyfile(source.path, temporary)
    file = Artifact.of(home.root, target)
    if file.sha256 != digest:
        target.unlink()
        raise EventError(
            f"{source.path} has changed since the claim was received: its bytes are no longer "
            f"those of {digest[:16]}... Restore it, or hand the claim in again."
        )
    return file


def _reference(home: Home, digest: str) -> Path:
    """Where a model that was handed in is kept."""
    return home.references / f"{digest}.safetensors"


def _changes(original: nn.Module, edited: nn.Module) -> Json:
    """What differs between the two, tensor by tensor; how it came about is not known."""
    from damp.operators import find

    before, after = original.state_dict(), edited.state_dict()
    common = [n for n in before if n in after and before[n].shape == after[n].shape]
    sizes = {
        name: float((after[name].double() - before[name].double()).norm())
        / max(float(before[name].double().norm()), 1e-30)
        for name in common
        if before[name].is_floating_point()
    }
    changed = {name: round(size, 6) for name, size in sizes.items() if size > 0}
    last = find(original)[0][-1:]
    head = tuple(f"{operator.name}." for operator in last)
    other = sorted((before.keys() | after.keys()) - set(common))  # missing, or of another shape
    return {
        "headOnly": bool(changed) and not other and all(n.startswith(head) for n in changed),
        "changed": changed,
        "otherTensors": other,
    }


def _handed_in(files: Mapping[str, Artifact], networks: Mapping[str, nn.Module]) -> References:
    names = [name for name in files if name.startswith(REFERENCE)]
    return References(
        models=tuple(files[name] for name in names),
        candidate=None,
        seeds=(),
        shadows=NO_SHADOWS,
        problems=_dependent(networks, names),
    )


def _dependent(networks: Mapping[str, nn.Module], references: Sequence[str]) -> dict[str, str]:
    """References that share a trained tensor with another model: not trained independently."""
    from audits.references import shares_weights

    problems = {}
    for place, name in enumerate(references):
        for other in (ORIGINAL, EDITED, *references[:place]):
            shared = shares_weights(networks[name], networks[other])
            if shared:
                more = f" and {len(shared) - 3} more" if shared[3:] else ""
                problems[name] = (
                    f"It shares {', '.join(shared[:3])}{more} with {other.replace('_', ' ')}, bit "
                    "for bit: it was not trained from scratch."
                )
                break
    return problems


@training.train_references.of_claim
def train_references(
    attempt: Attempt,
    accepted: AcceptedClaim,
    data: Data,
    model: Model,
    handed_in: References | None,
) -> References:
    """The retrained models: those handed in, else trained by the recipe, else none."""
    if handed_in is not None:
        return handed_in
    if accepted.recipe is None:
        return References(models=(), candidate=None, seeds=(), shadows=NO_SHADOWS, problems={})
    made_of = training.Training.of(data, model, accepted.recipe)
    return training.train(
        attempt.home,
        made_of,
        references=accepted.policy.references,
        shadow_models=training.shadow_count(accepted.policy, made_of),
    )


@concluding.conclude.of_claim
def conclude(
    attempt: Attempt,
    accepted: AcceptedClaim,
    data: Data,
    model: Model,
    plan: Plan,
    edit: Edit,
    findings: Findings,
) -> Record:
    """Judge, report and sign, as an unlearning event is; the claim's own limits are named."""
    propagation = _propagation(attempt, accepted, data, model)
    limits = _limits(attempt, accepted) + _architecture_limit(model, edit)
    policy = accepted.policy.model_copy(update={"limits": limits})
    verdict = concluding.judged(attempt, policy, propagation)
    write_atomically(attempt.reproduce, _reproduction(attempt, accepted))
    statement = predicate.statement_of(
        attempt,
        accepted,
        data,
        model,
        plan,
        edit,
        verdict,
        method=_method(attempt, accepted, edit),
        propagation=propagation,
        byproducts=concluding.byproducts(attempt.findings),
    )
    return concluding.sign(attempt, statement, verdict, accepted.policy.signoffs)


def _limits(attempt: Attempt, accepted: AcceptedClaim) -> tuple[str, ...]:
    """The policy's limits, and what this claim could not bring."""
    from flows.models import trainings

    limits = ["How the edited model was made is not known: only what it shows was measured."]
    limits += _code_limits(attempt, accepted)
    if accepted.recipe is not None and accepted.claim.references is None:
        limits += trainings.limits(accepted.recipe)
    if accepted.recipe is None and accepted.claim.references is None:
        limits.append(
            "The claim brings neither retrained models nor a recipe to train them: it cannot reach "
            "L3, whatever its figures are."
        )
    if accepted.claim.references is not None:
        limits.append(
            "The retrained models were handed in. That they were trained without the class is the "
            "word of whoever did; that they are no copies of the others was checked."
        )
    limits += _theirs(attempt, accepted)
    return (*accepted.policy.limits, *limits)


def _theirs(attempt: Attempt, accepted: AcceptedClaim) -> list[str]:
    """What a qualification that the claimant handed in weighs: whose key, whose data.

    Raises:
        EventError: It does not hold, or is not the file that was received.
    """
    claim, origin = accepted.claim, Path(accepted.origin)
    if claim.qualification is None:
        return []
    file = origin / claim.qualification.file
    if digest_file(file) != accepted.files[claims.QUALIFICATION]:
        raise EventError(f"{file} is not the qualification that was received: restore it.")
    checked = claims.theirs_of(claim, origin)
    content = checked.content
    if content is None:
        return []
    same = content.family.model == accepted.files[ORIGINAL]
    return [qualifications.weight(attempt.home, content, checked, same=same)]


def _architecture_limit(model: Model, edit: Edit) -> tuple[str, ...]:
    """That the two models run in different architectures, where they do."""
    if edit.architecture in (None, model.architecture):
        return ()
    return (
        f"The edited model runs in the architecture {edit.architecture}, the original in "
        f"{model.architecture}.",
    )


def _code_limits(attempt: Attempt, accepted: AcceptedClaim) -> list[str]:
    """That code of the claimant's ran, which, what it read, and what it could have reached."""
    code = others_code.in_files(accepted.files)
    if not code:
        return []
    modules = ", ".join(f"{name} (sha256 {digest})" for name, digest in code.items())
    reach = (
        "without network and without sight of a signing key"
        if isolated.has_walls()
        else "without addresses or a path to a signing key, but on the same network and as the "
        "same user"
    )
    read = others_code.read_named(attempt.home, attempt.event)
    files = ", ".join(f"{name} (sha256 {digest})" for name, digest in list(read.items())[:SHOWN])
    more = (
        f" and {len(read) - SHOWN} more, in the method's `claimantFiles`"
        if len(read) > SHOWN
        else ""
    )
    return [
        f"Code of the claimant's ran: {modules}. Files that it read as code: {files}{more}. It ran "
        f"in processes of its own, {reach}. The "
        "networks are that code: that they hold the files' tensors was checked, and that nothing "
        "else in it shapes the answers is known only to whoever has read it."
    ]


def _method(attempt: Attempt, accepted: AcceptedClaim, edit: Edit) -> Json:
    code = others_code.in_files(accepted.files)
    record = json.loads(attempt.edit.read_text())
    changed = record["changed"]
    return {
        "name": "claimed",
        "version": "unknown",
        "parameters": {key: value for key, value in UNKNOWN_METHOD.items() if key != "skip"}
        | {
            "seed": None,
            "retired": list(edit.retired),
            "changedTensors": list(changed),
            "relativeChange": list(changed.values()),
            "otherTensors": record["otherTensors"],
            "editedArchitecture": str(edit.architecture),
            "claimantCode": _listed(code),
            "claimantFiles": _listed(others_code.read_named(attempt.home, attempt.event))
            if code
            else [],
        },
        **editing.no_edit(),
        "headOnly": record["headOnly"],
    }


def _listed(digests: Mapping[str, str]) -> list[str]:
    return [f"{name} sha256:{digest}" for name, digest in digests.items()]


def _propagation(attempt: Attempt, accepted: AcceptedClaim, data: Data, model: Model) -> list[Json]:
    """What is kept of the old weights here; what the claimant keeps is not known."""
    from flows.records import inventory

    original = accepted.claim.original
    scope = inventory.Scope(
        event=attempt.event,
        before=model.file.sha256,
        failed=(),
        data=data.name,
        source=data.spec.in_words(),
        data_before=data.before.version,
        data_after=data.after.version,
        forget=accepted.forget,
        file=(Path(accepted.origin) / original.file).resolve() if original.file else None,
    )
    pinned = attempt.home.relative(attempt.before)
    others = [x for x in inventory.of_claim(attempt.home, scope) if x.location != pinned]
    kept = "Kept so that the audit can be repeated. Delete it when it is no longer needed."
    elsewhere = "What the claimant and others keep is not known to damp."
    return [
        {
            "artefact": "model before, pinned copy",
            "location": pinned,
            "status": "RETAINED",
            "note": kept,
        },
        *inventory.to_json(others),
        {
            "artefact": "copies elsewhere",
            "location": "unknown",
            "status": "UNKNOWN",
            "note": elsewhere,
        },
    ]


def _reproduction(attempt: Attempt, accepted: AcceptedClaim) -> bytes:
    """The same claim about the pinned bytes, for another state folder. JSON is YAML."""
    claim, origin = accepted.claim, Path(accepted.origin)
    sources = claims.sources(attempt.home, claim, origin)
    spec = requests.spec_of(claim.data, origin)
    unseen = prepare.unseen_spec(claim.unseen, origin, None)
    content = claim.content() | {
        "original": _file(attempt.before, sources[ORIGINAL]),
        "edited": _file(attempt.after, sources[EDITED], retired=list(claim.edited.retired)),
        "data": _without_none(spec.to_json()),
        "policy": str(requests.policy_source(claim.policy, origin)),
        "recipe": accepted.recipe,
        "unseen": _without_none(unseen.to_json()) if unseen else None,
    }
    if claim.references:
        content["references"] = [
            f"../../../references/{_reference(attempt.home, accepted.files[name]).name}"
            for name in sources
            if name.startswith(REFERENCE)
        ]
    if claim.qualification:
        theirs = claim.qualification
        content["qualification"] = {
            "file": str((origin / theirs.file).resolve()),
            "trust": str((origin / theirs.trust).resolve()),
        }
    return json.dumps(_without_none(content), indent=2).encode() + b"\n"


def _file(pinned: Path, source: Located, **more: Any) -> Json:
    applied = content_of(source.preprocessing)
    content = {"file": pinned.name, "architecture": source.architecture, "preprocessing": applied}
    return _without_none(content | more)


def _without_none(content: Json) -> Json:
    return {key: value for key, value in content.items() if value is not None}


@register.close.of_claim
def close(attempt: Attempt, record: Record) -> Closed:
    """End the audit; a PASSED that others have to sign stays open for their signatures."""
    ledger, key = Ledger(attempt.home.ledger), f"attempt-{attempt.number}"
    body = {"attempt": attempt.number, "verdict": record.verdict}
    ledger.append_once("attempt_closed", attempt.event, key, body)
    if not states.current(ledger.entries(), attempt.event).awaited:
        ledger.append_once("event_closed", attempt.event, key, body)
    checkpoints.at_close(attempt.home)
    event_index.refresh(attempt.home)
    return register.closed(attempt, "event_closed", record, None)
