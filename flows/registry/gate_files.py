"""Of a registered version: weights, specification and serving code, as they lie there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from compliance.formats import strict_json
from compliance.formats.errors import JsonError
from flows.registry import packing, versions
from flows.registry.gate_ledger import Known
from flows.state.errors import RegistryError
from flows.state.files import canonical, digest_file

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion


def weights(
    client: MlflowClient,
    known: Known,
    version: ModelVersion,
    folder: Path,
    problems: list[str],
) -> Path | None:
    """The version's weights; what is wrong with the files goes into `problems`."""
    try:
        model = client.get_logged_model(versions.model_id(version))
        kept = versions.weights_of(client, model, folder)
    except RegistryError as error:
        problems.append(str(error))
        return None
    if kept is None:
        if version.tags.get("damp.weights_sha256") not in known.purged:  # `damp purge` says so
            problems.append("Its weights are gone. Restore them from a copy.")
        return None
    if digest_file(kept) != version.tags.get("damp.weights_sha256"):
        problems.append("Its weights are not the ones that were registered. Restore them.")
    if model.source_run_id != version.run_id:
        problems.append("Its files belong to another run than its lineage.")
    problems += _file_problems(client, model, version, folder)
    return kept


def _file_problems(
    client: MlflowClient, model: LoggedModel, version: ModelVersion, folder: Path
) -> list[str]:
    """Specification and serving code: what a loader reads and executes."""
    problems = []
    spec = versions.fetched(client, model.artifact_location, packing.SPEC, folder)
    if spec is None or spec.read_bytes() != _told_spec(version.tags):
        problems.append("Its specification is not the one that was registered.")
    code = versions.fetched(client, model.artifact_location, packing.SERVING, folder)
    ours = Path(__file__).with_name(packing.SERVING).read_bytes()
    if code is None or code.read_bytes() != ours:
        problems.append(
            "Its serving code, which runs when it is loaded, is not this damp's. If another "
            "version of damp has written it, compare with that; else do not load it."
        )
    return problems


def _told_spec(tags: Mapping[str, str]) -> bytes:
    try:
        return canonical(
            {
                "architecture": tags["damp.architecture"],
                "classes": int(tags["damp.classes"]),
                "input_shape": strict_json.loads(tags["damp.input_shape"]),
                "retired": strict_json.loads(tags["damp.retired"]),
            }
        )
    except (KeyError, ValueError, JsonError):
        return b""
