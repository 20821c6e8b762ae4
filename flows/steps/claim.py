"""The steps of a claim's audit that differ from an unlearning event's; the others are the same."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance.documents.policy import load_policy
from compliance.ledger import Ledger, states
from flows.data.dataset import DataSpec
from flows.intake import claims, requests
from flows.records import event_index
from flows.registry import model_source
from flows.registry.model_source import Located
from flows.state.errors import EventError
from flows.state.files import Artifact, aside, write_atomically
from flows.state.journal import entered
from flows.state.paths import Attempt, Home
from flows.steps import conclude as recording
from flows.steps import edit as cut
from flows.steps import predicate, prepare
from flows.steps import references as retraining

if TYPE_CHECKING:
    from torch import nn

    from compliance.verdict import Verdict

Facts = dict[str, Any]

UNKNOWN: Facts = {
    "preset": "unknown",
    "gain": None,
    "sequential": None,
    "skip": [],
    "retire": None,
}
"""How the edit was made is not asked, and nobody's word is taken for it."""


def accept(where: Facts) -> Facts:
    """Log that the audit starts, before anything else happens."""
    home, attempt = Home.of(where), Attempt.of(where)
    with entered(attempt, "accept"):
        claim = claims.claim_of(home, attempt.event)
        origin = requests.origin_of(home, attempt.event)
        policy = load_policy(requests.policy_source(claim.policy, origin))
        event = states.current(Ledger(home.ledger).entries(), attempt.event)
        body = {"attempt": attempt.number, "method": UNKNOWN}
        key = f"attempt-{attempt.number}"
        entry = Ledger(home.ledger).append_once("attempt_started", attempt.event, key, body)
    return {
        "request": claim.content(),
        "request_digest": claim.digest(claims.files_of(home, attempt.event)),
        "regulation": "other",
        "received": event.received,
        "due": event.due,
        "verified_by": None,
        "forget": list(claim.forget),
        "recipe": claims.recipe_source(claim, origin),
        "policy": policy.model_dump(mode="json"),
        "policy_digest": policy.digest(),
        "method": UNKNOWN,
        "started": entry["time"],
        "previous": [],
    }


def version_data(where: Facts, accepted: Facts) -> Facts:
    """The data that the models were trained and edited on, and the rows nobody was trained on."""
    home, attempt = Home.of(where), Attempt.of(where)
    with entered(attempt, "version_data"):
        claim = claims.claim_of(home, attempt.event)
        origin = requests.origin_of(home, attempt.event)
        return prepare.versioned(
            home,
            spec=requests.spec_of(claim.data, origin),
            name=claim.data.name.partition(":")[0],
            forget=accepted["forget"],
            gone=model_source.locate(home, claim.original, origin).retired(),
            unseen=requests.unseen_spec(claim.unseen, origin),
        )


def pin_models(where: Facts, accepted: Facts, data: Facts) -> Facts:
    """Every model of the claim as bytes with a digest: what lies elsewhere may change, this not.

    Returns:
        `model`: the one before; `edit`: the one after; `references`: those that were handed in,
        None where none were.
    """
    from flows.data import loaders

    home, attempt = Home.of(where), Attempt.of(where)
    with entered(attempt, "pin_model"):
        claim = claims.claim_of(home, attempt.event)
        origin = requests.origin_of(home, attempt.event)
        found = claims.sources(home, claim, origin)
        known = claims.files_of(home, attempt.event)
        places = {"original": attempt.folder / "before.safetensors", "edited": attempt.after}
        files = {
            name: _pinned(home, source, places.get(name), known[name])
            for name, source in found.items()
        }
        pinned = {
            name: replace(source, path=home.root / files[name]["path"])
            for name, source in found.items()
        }
        dataset = loaders.load(DataSpec(**data["spec"]))
        networks = {name: source.load(dataset) for name, source in pinned.items()}
        original, edited = pinned["original"], pinned["edited"]
        retired = sorted({*claim.edited.retired, *edited.retired()})
        changes = _changes(networks["original"], networks["edited"])
        write_atomically(attempt.edit, json.dumps(changes, indent=2).encode())
    handed_in = [name for name in files if name.startswith("reference_")]
    return {
        "model": {
            "file": files["original"],
            "architecture": original.architecture,
            "input_shape": list(dataset.input_shape),
            "parameters": sum(value.numel() for value in networks["original"].parameters()),
            "registry": original.registry,
            "retired": original.retired(),
        },
        "edit": {
            "after": files["edited"],
            "record": Artifact.of(home.root, attempt.edit).to_json(),
            "retired": retired,
            "seed": None,
            "architecture": edited.architecture,
        },
        "references": {
            "models": [files[name] for name in handed_in],
            "candidate": None,
            "seeds": [],
            "problems": _kin(networks, handed_in),
        }
        if claim.references
        else None,
    }


def _pinned(home: Home, source: Located, place: Path | None, known: str) -> Facts:
    """A copy of a model's bytes; refused where they are not those that were handed in.

    Raises:
        EventError: The file has changed since the claim was received.
    """
    target = place or home.references / f"{known}.safetensors"
    if not target.exists():
        with aside(target) as (temporary, _):
            shutil.copyfile(source.path, temporary)
    file = Artifact.of(home.root, target)
    if file.sha256 != known:
        target.unlink()
        raise EventError(
            f"{source.path} has changed since the claim was received: its bytes are no longer "
            f"those of {known[:16]}... Restore it, or hand the claim in again."
        )
    return file.to_json()


def _changes(original: nn.Module, edited: nn.Module) -> Facts:
    """What differs between the two, tensor by tensor; nothing is known of how it came about."""
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


def _kin(networks: dict[str, nn.Module], handed_in: list[str]) -> dict[str, str]:
    """References that share a trained tensor with another model: no trainings of their own."""
    from audits.references import shares_weights

    problems = {}
    for place, name in enumerate(handed_in):
        for other in ("original", "edited", *handed_in[:place]):
            shared = shares_weights(networks[name], networks[other])
            if shared:
                more = f" and {len(shared) - 3} more" if shared[3:] else ""
                problems[name] = (
                    f"It shares {', '.join(shared[:3])}{more} with {other.replace('_', ' ')}, bit "
                    "for bit: it was not trained from scratch."
                )
                break
    return problems


def references(
    where: Facts, accepted: Facts, data: Facts, model: Facts, given: Facts | None
) -> Facts:
    """The retrained models: those handed in, else trained by the recipe, else none."""
    home, attempt = Home.of(where), Attempt.of(where)
    with entered(attempt, "references"):
        if given is not None:
            return given
        if accepted["recipe"] is None:
            return {"models": [], "candidate": None, "seeds": []}
        return retraining.trained_for(home, accepted, data, model)


def record(
    where: Facts, accepted: Facts, data: Facts, model: Facts, plan: Facts, edit: Facts, found: Facts
) -> Facts:
    """Judge, report and sign, as an unlearning event is; the claim's own limits are told."""
    home, attempt = Home.of(where), Attempt.of(where)

    def concluded() -> tuple[Verdict, Facts]:
        held = _held(home, attempt, data["before"]["version"])
        limits = {"limits": _limits(accepted)}
        verdict = recording.judged(attempt, accepted["policy"] | limits, held)
        write_atomically(attempt.reproduce, _reproduction(home, attempt))
        method = _method(attempt, edit)
        parts = predicate.parts(
            home, attempt, accepted, data, model, plan, edit, verdict, held, method=method
        )
        return verdict, parts | {"registration": None}

    return recording.signed_once(home, attempt, accepted["policy"]["signoffs"], concluded)


def _limits(accepted: Facts) -> list[str]:
    """The policy's limits, and what this claim could not bring."""
    told = ["How the edited model was made is not known: only what it shows was measured."]
    if accepted["recipe"] is None and accepted["request"]["references"] is None:
        told.append(
            "The claim brings neither retrained models nor a recipe to train them: it cannot reach "
            "L3, whatever its figures are."
        )
    if accepted["request"]["references"] is not None:
        told.append(
            "The retrained models were handed in. That they were trained without the class is the "
            "word of whoever did; that they are no copies of the others was checked."
        )
    return [*accepted["policy"]["limits"], *told]


def _method(attempt: Attempt, edit: Facts) -> Facts:
    done = json.loads(attempt.edit.read_text())
    changed = done["changed"]
    return {
        "name": "claimed",
        "version": "unknown",
        "parameters": {k: v for k, v in UNKNOWN.items() if k != "skip"}
        | {
            "seed": None,
            "retired": edit["retired"],
            "changedTensors": list(changed),
            "relativeChange": list(changed.values()),
            "otherTensors": done["otherTensors"],
        },
        **cut.uncut(),
        "headOnly": done["headOnly"],
    }


def _held(home: Home, attempt: Attempt, version: str) -> list[Facts]:
    """What is kept of the old weights here; what the claimant keeps is not known."""
    from flows.records import inventory

    kept = "Kept so that the audit can be repeated. Delete it when it is no longer needed."
    elsewhere = "What the claimant and others keep is not known to damp."
    before = home.relative(attempt.folder / "before.safetensors")
    return [
        {
            "artefact": "model before, pinned copy",
            "location": before,
            "status": "RETAINED",
            "note": kept,
        },
        *inventory.to_json(inventory.shadow_models(home, version)),
        {
            "artefact": "copies elsewhere",
            "location": "unknown",
            "status": "UNKNOWN",
            "note": elsewhere,
        },
    ]


def _reproduction(home: Home, attempt: Attempt) -> bytes:
    """The same claim about the pinned bytes, for another state folder. JSON is YAML."""
    claim = claims.claim_of(home, attempt.event)
    origin = requests.origin_of(home, attempt.event)
    found = claims.sources(home, claim, origin)
    known = claims.files_of(home, attempt.event)
    spec, unseen = requests.spec_of(claim.data, origin), requests.unseen_spec(claim.unseen, origin)
    content = claim.content() | {
        "original": _file("before.safetensors", found["original"]),
        "edited": _file("after.safetensors", found["edited"])
        | {"retired": list(claim.edited.retired)},
        "data": {"name": spec.name} | ({"root": spec.root} if spec.root else {}),
        "policy": str(requests.policy_source(claim.policy, origin)),
        "recipe": claims.recipe_source(claim, origin),
        "unseen": {k: v for k, v in unseen.items() if v} if unseen else None,
    }
    if claim.references:
        content["references"] = [
            f"../../../references/{known[name]}.safetensors"
            for name in found
            if name.startswith("reference_")
        ]
    told = {key: value for key, value in content.items() if value is not None}
    return json.dumps(told, indent=2).encode() + b"\n"


def _file(name: str, source: Located) -> Facts:
    return {"file": name, "architecture": source.architecture}


def close(where: Facts, record: Facts) -> Facts:
    """End the audit; a PASSED that others have to sign stays open for their signatures."""
    home, attempt = Home.of(where), Attempt.of(where)
    ledger, key = Ledger(home.ledger), f"attempt-{attempt.number}"
    body = {"attempt": attempt.number, "verdict": record["verdict"]}
    with entered(attempt, "close"):
        ledger.append_once("attempt_closed", attempt.event, key, body)
        if not states.current(ledger.entries(), attempt.event).awaited:
            ledger.append_once("event_closed", attempt.event, key, body)
    event_index.refresh(home)
    return {
        "attempt": attempt.number,
        "ending": "event_closed",
        "verdict": record["verdict"],
        "reasons": record["reasons"],
        "statement": record["statement"],
        "report": record["report"],
        "registration": None,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
