"""A promotion as the ledger keeps it, with the digest over all files of the promoted version."""

from __future__ import annotations

import tempfile
from pathlib import Path

from compliance.ledger import Ledger
from flows.registry.interface import ModelVersion, Registry
from flows.registry.old_weights import digest_of_tensors
from flows.registry.packing import WEIGHTS, manifest
from flows.registry.resolve import CHAMPION, version_of
from flows.state.paths import Home

KIND = "model_promoted"


def enter(home: Home, registry: Registry, version: ModelVersion) -> None:
    """Enter the promotion of a version once; one that an earlier damp entered stays as it is."""
    tags, ledger = version.tags(), Ledger(home.ledger)
    event, key = str(tags.event), f"attempt-{tags.attempt}"
    facts = {
        "attempt": tags.attempt,
        "name": version.name,
        "version": str(version.number),
        "alias": CHAMPION,
        "model": tags.weights_sha256,
    }
    earlier = ledger.find(KIND, event, key)
    if earlier is not None and {name: earlier.body.get(name) for name in facts} == facts:
        return
    with tempfile.TemporaryDirectory() as folder:
        model = registry.logged_model(version.logged_model_id())
        files = registry.files(model.location, Path(folder) / "version")
        before = _tensors_before(registry, version, Path(folder) / "before")
        bound = {"files": manifest(files), "tensorsBefore": before}
    ledger.append_once(KIND, event, key, facts | bound)


def _tensors_before(registry: Registry, version: ModelVersion, folder: Path) -> str | None:
    """The digest over the tensors of the model before; None where it was purged."""
    number = version.tags().parent_version
    if number is None:
        return None
    parent = version_of(registry, version.name, number)
    model = registry.logged_model(parent.logged_model_id())
    weights = registry.model_file(model, WEIGHTS, folder)
    return None if weights is None else digest_of_tensors(weights)
