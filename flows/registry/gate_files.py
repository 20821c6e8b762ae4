"""Of a registered version: weights, specification and serving code, as they lie there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flows.registry import packing
from flows.registry.gate_ledger import LedgerFacts
from flows.registry.interface import LoggedModel, ModelVersion, Registry
from flows.registry.tags import TagError, VersionTags
from flows.state.errors import RegistryError
from flows.state.files import canonical, digest_bytes, digest_file

EARLIER_SERVING = frozenset(
    {
        # from the first version on: `from flows.models import load_weights`
        "d7e66fb517b4c88bd19ea929b3b751b4872e3d1756341f41f73d31c0b4518026",
        # between the move of flows.models into a package and its door
        "8c087cfc615b91eb21b9cb6ec42ca131aeef3b05bd4daa984b1724e0d25a2fc5",
    }
)
"""SHA-256 of each text of serving.py that a damp has ever registered: models keep theirs. When the
text changes, the digest of the one before is added here, and what it imports stays importable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesCheck:
    """What the files of a version are.

    Attributes:
        weights: Where they lie; None where they are gone or cannot be read.
        sha256: Of the weights, computed now; None without them.
        problems: Each with its remedy.
    """

    weights: Path | None = None
    sha256: str | None = None
    problems: tuple[str, ...] = ()


def check_files(
    registry: Registry,
    ledger: LedgerFacts,
    version: ModelVersion,
    tags: VersionTags,
    folder: Path,
) -> FilesCheck:
    """The version's files against its tags; what is fetched goes into `folder`."""
    try:
        model = registry.logged_model(version.logged_model_id())
        weights = registry.model_file(model, packing.WEIGHTS, folder)
    except RegistryError as error:
        return FilesCheck(problems=(str(error),))
    if weights is None:
        purged = tags.weights_sha256 in ledger.purged  # `damp purge` says so in the ledger
        gone = "Its weights are gone. Restore them from a copy."
        return FilesCheck(problems=() if purged else (gone,))
    sha256 = digest_file(weights)
    problems = []
    if sha256 != tags.weights_sha256:
        problems.append("Its weights are not the ones that were registered. Restore them.")
    if model.run_id != version.run_id:
        problems.append("Its files belong to another run than its lineage.")
    problems += _loader_problems(registry, model, tags, folder)
    return FilesCheck(weights=weights, sha256=sha256, problems=tuple(problems))


def _loader_problems(
    registry: Registry, model: LoggedModel, tags: VersionTags, folder: Path
) -> Iterator[str]:
    """Specification and serving code: what a loader reads and executes."""
    spec = registry.model_file(model, packing.SPEC, folder)
    if spec is None or spec.read_bytes() != _spec_of(tags):
        yield "Its specification is not the one that was registered."
    code = registry.model_file(model, packing.SERVING, folder)
    if code is None or not _is_ours(code.read_bytes()):
        yield (
            "Its serving code, which runs when it is loaded, is not this damp's. If another "
            "version of damp has written it, compare with that; else do not load it."
        )


def _is_ours(code: bytes) -> bool:
    """Whether this damp, or one before it, has written this serving code."""
    now = Path(__file__).with_name(packing.SERVING).read_bytes()
    return code == now or digest_bytes(code) in EARLIER_SERVING


def _spec_of(tags: VersionTags) -> bytes | None:
    try:
        return canonical(tags.spec().to_json())
    except TagError:
        return None
