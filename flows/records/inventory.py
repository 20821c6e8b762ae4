"""Everything that derives from the old weights or holds the forgotten rows, as far as damp knows.

What lies in the state folder is found by its bytes: a file counts as the old weights because its
tensors are theirs, whatever it is called. To these comes what the flow has recorded: what it read,
what it registered, and what it is going to register. What lies elsewhere has to be declared
(`damp declare`); until somebody does, the inventory says that it is not known.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compliance.ledger import Ledger
from compliance.ledger.since_signed import ELSEWHERE, NOWHERE
from flows.data import dvc_metadata
from flows.records import same_weights
from flows.records.artefacts import UNKNOWN, Artefact, RegisteredCopy
from flows.records.caches import (
    decoded_images,
    models_of_studies,
    shadow_models,
    unfinished_trainings,
)
from flows.registry import WEIGHTS, read_registry, registry_exists
from flows.state.files import digest_file
from flows.state.paths import Home

SERVED = "mlartifacts"
"""Where the registry keeps its files in this state folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What an inventory goes by.

    Attributes:
        event: Id of the event.
        before: SHA-256 of the old weights.
        failed: SHA-256 of models after of attempts that did not pass; they derive from the old.
        data: Name of the data set.
        source: Where its rows are read from, in words.
        data_before: Version with the forgotten rows.
        data_after: Version without them.
        forget: The classes.
        file: The file that the request named, None where it named a registered model.
        name: Under which the model is registered, or is going to be.
    """

    event: str
    before: str
    failed: tuple[str, ...]
    data: str
    source: str
    data_before: str
    data_after: str
    forget: tuple[int, ...] = ()
    file: Path | None = None
    name: str | None = None


def inventory(home: Home, scope: Scope) -> list[Artefact]:
    """Every artefact on record, what is damp's own first."""
    registered = list(_registered(home, scope))
    return [
        *registered,
        *_to_be_registered(home, scope, registered),
        *_copies(home, scope, registered),
        *_named_file(home, scope),
        *_observations(home, scope),
        *_statistics(home, scope),
        *shadow_models(home, scope.data_before),
        *_other_references(home, scope),
        *unfinished_trainings(home),
        *models_of_studies(home),
        *decoded_images(home),
        *_data(home, scope),
        *declared(home, scope.event),
    ]


def of_claim(home: Home, scope: Scope) -> list[Artefact]:
    """What the audit of a claim has read and left of the original, besides its pinned copy."""
    registered = list(_registered(home, scope))
    return [
        *registered,
        *_copies(home, scope, registered),
        *_named_file(home, scope),
        *_observations(home, scope),
        *_statistics(home, scope),
        *shadow_models(home, scope.data_before),
        *unfinished_trainings(home),
        *models_of_studies(home),
        *decoded_images(home),
    ]


def _registered(home: Home, scope: Scope) -> Iterator[Artefact]:
    """Versions in the registry that hold the old weights, or an edit of them that did not pass."""
    if not registry_exists(home):
        return
    with read_registry(home) as registry:
        for digest in (scope.before, *scope.failed):
            for version in registry.versions_of_weights(digest):
                model = registry.logged_model(version.logged_model_id())
                weights = registry.model_file(model, WEIGHTS, home.fetched / model.model_id)
                if weights is not None:
                    yield Artefact(
                        artefact=f"{_which(scope, digest)}, in the registry",
                        location=f"{version.name} version {version.number}",
                        note="Kept for audits and for going back. `damp purge` deletes the weights "
                        "and leaves the version's record.",
                        # a server's files are the server's to delete
                        files=(weights,) if model.is_local else (),
                        registered=RegisteredCopy(name=version.name, version=version.number),
                    )


def _to_be_registered(
    home: Home, scope: Scope, registered: Sequence[Artefact]
) -> Iterator[Artefact]:
    """The model of a file becomes a version when its event ends, after its statement is signed."""
    already = any(each.registered and each.registered.name == scope.name for each in registered)
    if scope.file is None or scope.name is None or already or _was_registered(home, scope):
        return
    yield Artefact(
        artefact="model before, in the registry",
        location=f"{scope.name} version {_next_version(home, scope.name)}",
        note="Registered when the event ends, for audits and for going back. `damp purge` deletes "
        "the weights and leaves the version's record.",
    )


def _was_registered(home: Home, scope: Scope) -> bool:
    """Whether it has been, and its weights were deleted since."""
    if not registry_exists(home):
        return False
    with read_registry(home) as registry:
        return any(each.name == scope.name for each in registry.versions_of_weights(scope.before))


def _next_version(home: Home, name: str) -> int:
    if not registry_exists(home):
        return 1
    with read_registry(home) as registry:
        versions = registry.versions(name) if registry.model(name) else []
    return max((version.number for version in versions), default=0) + 1


def _copies(home: Home, scope: Scope, registered: Sequence[Artefact]) -> Iterator[Artefact]:
    """Files of weights under the state folder, recognized by their bytes."""
    listed = {path.resolve() for artefact in registered for path in artefact.files}
    wanted = {scope.before, *scope.failed}
    for path, digest in same_weights.holding(same_weights.below(home.root), wanted):
        if path.resolve() not in listed:
            served = home.relative(path).partition("/")[0] == SERVED
            yield Artefact(
                artefact=f"{_which(scope, digest)}, a file",
                location=home.relative(path),
                note="Kept by the registry, which is to delete it."
                if served
                else "Kept for audits. `damp purge` deletes it.",
                files=() if served else (path,),
            )


def _named_file(home: Home, scope: Scope) -> Iterator[Artefact]:
    """What was read outside the state folder; inside, its bytes are recognized."""
    file = scope.file
    if file is None or file.resolve().is_relative_to(home.root.resolve()):
        return
    if file.is_file() and digest_file(file) == scope.before:
        yield Artefact(
            artefact="model before, the file that was named",
            location=str(file),
            note="damp only reads it: whoever keeps it has to delete it.",
        )


def _other_references(home: Home, scope: Scope) -> Iterator[Artefact]:
    """Models retrained for requests on other classes, with the rows of these."""
    gone = dvc_metadata.forgotten(home, scope.data_before, scope.data_after)
    holding = [
        note.with_suffix(".safetensors")
        for note in sorted(home.references.glob("*.json"))
        if _is_trained_on(home, scope, json.loads(note.read_bytes()), gone)
    ]
    if files := [path for path in holding if path.is_file()]:
        yield Artefact(
            artefact="models retrained for other requests",
            location=f"{home.relative(home.references)}, {len(files)} files: "
            f"{', '.join(path.stem[:8] for path in files)}",
            note="Trained with the rows of the class, for audits of other classes. Delete them "
            "when none of those is due any more; they are made again when they are needed.",
        )


def _is_trained_on(home: Home, scope: Scope, note: Mapping[str, Any], gone: set[str]) -> bool:
    if not scope.forget or set(scope.forget) <= set(note["exclude"]):
        return False
    version = note["data"]
    rows = set(dvc_metadata.listing(home, version).values())
    return bool(version == scope.data_before or rows & gone)


def _observations(home: Home, scope: Scope) -> Iterator[Artefact]:
    """Activations and answers of models that the audits took, on images of the class too."""
    wanted = {scope.before, *scope.failed}
    mine: list[Path] = []
    others: list[Path] = []
    for path in sorted(home.observations.glob("*.safetensors")):
        # a control made of a model alone is told by that model's digest and a name
        observed = _observed_model(path).partition(":")[0]
        (mine if observed in wanted else others).append(path)
    for files, what in ((mine, "the old model"), (others, "other models")):
        if files:
            yield Artefact(
                artefact=f"cached activations of {what}",
                location=f"{home.relative(home.observations)}, {len(files)} files",
                note="Made of images, the class's among them; a cache that is made again when it "
                "is needed. `damp purge` deletes it.",
                files=tuple(files),
            )


def _statistics(home: Home, scope: Scope) -> Iterator[Artefact]:
    """Mean activations of every class of the old model."""
    wanted = {scope.before, *scope.failed}
    kept = sorted(home.statistics.glob("*.safetensors"))
    if files := tuple(path for path in kept if _observed_model(path) in wanted):
        yield Artefact(
            artefact="statistics of the old model",
            location=f"{home.relative(home.statistics)}, {len(files)} files",
            note="Mean activations of every class, the forgotten ones among them; kept so that the "
            "next request on that model needs no pass over the data. `damp purge` deletes them.",
            files=files,
        )


def _observed_model(path: Path) -> str:
    """SHA-256 of the weights whose activations a file holds; "" where it says none."""
    from flows.state import files as store

    return str(store.load_metadata(path).get("digest", ""))


def _data(home: Home, scope: Scope) -> Iterator[Artefact]:
    """The forgotten rows: in data versions, among the held-out images, and where they came from."""
    holders = dvc_metadata.holders(home, scope.data_before, scope.data_after)
    for folder, is_before in holders:
        yield Artefact(
            artefact="training rows of the class",
            location=f"data version {folder.name}",
            note="`damp purge` deletes this version and its rows from DVC's cache here; remotes "
            "that it was pushed to need `dvc gc --cloud`."
            if is_before
            else "Another version that holds these rows; it goes with its own event.",
            files=(folder,) if is_before else (),
        )
    gone = dvc_metadata.forgotten(home, scope.data_before, scope.data_after)
    for cache, count in dvc_metadata.elsewhere(home, gone):
        yield Artefact(
            artefact="training rows of the class, in a cache outside",
            location=str(cache),
            note=f"{count} of its files, by their digests. The cache is configured for DVC of this "
            "user or machine, others may share it, and damp deletes nothing there: whoever keeps "
            "it has to.",
        )
    yield Artefact(
        artefact="held-out images of the class",
        location=f"data version {scope.data_after[:8]}",
        note="Never trained on. The audits, and audits again later, need them; delete them when "
        "none is due any more.",
    )
    yield Artefact(
        artefact="the data set itself",
        location=scope.source,
        note="damp only reads it: whoever keeps it has to remove the rows there.",
    )


def declared(home: Home, event: str) -> list[Artefact]:
    """What people have declared about copies elsewhere, the last word on each.

    Until somebody has said that these are all, a line says that more are not known of.
    """
    artefacts: dict[tuple[str, str], Artefact] = {}
    if home.ledger.exists():
        for entry in Ledger(home.ledger).of(event, "artefact_declared"):
            artefact = _declared(entry.body)
            artefacts[artefact.artefact, artefact.location] = artefact
    if (ELSEWHERE, NOWHERE) not in artefacts:
        artefacts[ELSEWHERE, "unknown"] = Artefact(
            artefact=ELSEWHERE,
            location="unknown",
            status=UNKNOWN,
            note="Exports, backups and replicas outside this state folder are not known to damp: "
            "`damp declare` records them, and that these are all.",
        )
    return list(artefacts.values())


def _declared(body: Mapping[str, str]) -> Artefact:
    return Artefact(
        artefact=body["artefact"],
        location=body["location"],
        status=body["status"],
        note=body.get("note", ""),
    )


def _which(scope: Scope, digest: str) -> str:
    return "model before" if digest == scope.before else "model of an attempt that did not pass"


def to_json(artefacts: Iterable[Artefact]) -> list[dict[str, str]]:
    """The statement's `propagation`."""
    return [artefact.to_json() for artefact in artefacts]


def files(artefacts: Sequence[Artefact]) -> list[Path]:
    """Every file that a purge of these would delete."""
    return [path for artefact in artefacts for path in artefact.files]
