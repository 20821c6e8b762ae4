"""Of a registered version: weights, specification and serving code, as they lie there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from compliance.formats import yaml_reader
from compliance.formats.errors import DocumentError
from flows.registry import packing
from flows.registry.gate_ledger import LedgerFacts
from flows.registry.interface import LoggedModel, ModelVersion, Registry
from flows.registry.packing import manifest
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


DESCRIPTION, REQUIREMENTS, ENVIRONMENT = "MLmodel", "requirements.txt", "python_env.yaml"
DESCRIBED = {
    "python_function": {
        "artifacts": {
            "spec": {"path": packing.SPEC, "uri": packing.SPEC},
            "weights": {"path": packing.WEIGHTS, "uri": packing.WEIGHTS},
        },
        "env": {"virtualenv": ENVIRONMENT},
        "loader_module": "mlflow.pyfunc.loaders.code_model",
        "model_code_path": packing.SERVING,
        "streamable": False,
    }
}
"""What MLmodel says of loading, beside the version of Python."""
FORMS = {
    REQUIREMENTS: re.compile(rb"damp-unlearning==[0-9A-Za-z.+!-]+\n"),
    ENVIRONMENT: re.compile(rb"python: [0-9.]+\ndependencies:\n- -r requirements\.txt\n"),
}
"""Files that say what is installed to serve the model."""
OURS = frozenset({packing.WEIGHTS, packing.SPEC, packing.SERVING, DESCRIPTION, *FORMS})


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
        files = registry.files(model.location, folder / "version")
    except RegistryError as error:
        purged = tags.weights_sha256 in ledger.purged
        return FilesCheck(problems=() if purged else (str(error),))
    weights = files.get(packing.WEIGHTS)
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
    if registry.location(version) != model.location:
        problems.append("Whoever loads it by its name gets files from elsewhere.")
    problems += _promotion_problems(ledger, version, files, sha256)
    problems += _loader_problems(model, tags, files)
    return FilesCheck(weights=weights, sha256=sha256, problems=tuple(problems))


def _promotion_problems(
    ledger: LedgerFacts, version: ModelVersion, files: Mapping[str, Path], sha256: str
) -> Iterator[str]:
    """The files against those that the ledger holds of its promotion, if it was promoted."""
    promotion = ledger.promotion(version.name, version.number)
    if promotion is None:
        return
    if promotion.model is not None and promotion.model != sha256:
        yield "Its weights are not those that were promoted, by the ledger. Restore them."
    if promotion.files is not None and promotion.files != manifest(files):
        yield "Its files are not those that were promoted, by the ledger. Restore all of them."


def _loader_problems(
    model: LoggedModel, tags: VersionTags, files: Mapping[str, Path]
) -> Iterator[str]:
    """Specification, description and serving code: what a loader reads and executes."""
    if more := sorted(files.keys() - OURS):
        yield f"It holds files that damp has not written: {', '.join(more[:5])}."
    if DESCRIPTION in files and not _describes_ours(files[DESCRIPTION], model):
        yield "Its MLmodel names other weights or other code than damp's. Do not load it."
    for name, form in FORMS.items():
        if name in files and not form.fullmatch(files[name].read_bytes()):
            yield f"Its {name} would install other packages than damp. Do not serve it."
    spec = files.get(packing.SPEC)
    if spec is None or spec.read_bytes() != _spec_of(tags):
        yield "Its specification is not the one that was registered."
    code = files.get(packing.SERVING)
    if code is None or not _is_ours(code.read_bytes()):
        yield (
            "Its serving code, which runs when it is loaded, is not this damp's. If another "
            "version of damp has written it, compare with that; else do not load it."
        )


def _describes_ours(description: Path, model: LoggedModel) -> bool:
    """Whether MLmodel lets a loader read these weights by this code, and nothing else."""
    try:
        document = yaml_reader.read(description, DocumentError)
        flavors = document.content["flavors"]
        flavors["python_function"].pop("python_version", None)
    except (DocumentError, KeyError, TypeError, AttributeError):
        return False
    named = document.content.get("model_id")
    return not document.problems and flavors == DESCRIBED and named == model.model_id


def _is_ours(code: bytes) -> bool:
    """Whether this damp, or one before it, has written this serving code."""
    now = Path(__file__).with_name(packing.SERVING).read_bytes()
    return code == now or digest_bytes(code) in EARLIER_SERVING


def _spec_of(tags: VersionTags) -> bytes | None:
    try:
        return canonical(tags.spec().to_json())
    except TagError:
        return None
