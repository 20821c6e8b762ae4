"""`damp adopt`: a version that another pipeline has registered becomes a base model of damp's.

One that holds safetensors comes in as it is, byte for byte, under a name of its own. A pickle runs
code when it is opened, so that it is never opened here: the message says how to export it.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from flows.data.dataset import DataSpec
from flows.operations.train_base import BaseModel, accuracy
from flows.registry import ModelVersion, Registry, open_registry, registration, registry_exists
from flows.registry import resolve as resolving
from flows.state.errors import RegistryError
from flows.state.files import aside, digest_file
from flows.state.paths import Home

ENDING = ".safetensors"


def adopt(
    home: Home,
    reference: str,
    *,
    name: str,
    architecture: str,
    data: str,
    data_root: Path | None,
) -> BaseModel:
    """Register a version's safetensors file as a base model, after a network has taken it.

    Args:
        home: The state folder.
        reference: `NAME/VERSION` or `NAME@ALIAS` of the version that another pipeline registered.
        name: Under which it is registered; another one than its own.
        architecture: How its network is built.
        data: The data set that it was trained on.
        data_root: Where that lies.
    Raises:
        RegistryError: No such version, or it holds no safetensors file, or several.
        ModelError: The network does not take the file.
    """
    from flows.data import loaders, versions
    from flows.models import weights

    source = _fetched(home, reference, name)
    root = str(data_root.resolve()) if data_root else None
    dataset = loaders.load(DataSpec(name=data, root=root))
    network, metadata = weights.load_weights(
        source, architecture=architecture, classes=dataset.classes, input_shape=dataset.input_shape
    )
    registered = registration.register_base(
        home,
        name=name,
        weights=source,
        architecture=architecture,
        classes=dataset.classes,
        input_shape=dataset.input_shape,
        data_version=versions.version(dataset, home).version,
        data_name=data.partition(":")[0],
        retired=weights.retired_outputs(metadata, classes=dataset.classes),
    )
    return BaseModel(
        name=registered.name,
        version=str(registered.version),
        weights=str(source),
        sha256=digest_file(source),
        test_accuracy=accuracy(network, dataset),
    )


def _fetched(home: Home, reference: str, name: str) -> Path:
    """The version's safetensors file, copied under the state folder by its digest."""
    match = resolving.REFERENCE.fullmatch(reference)
    if match is None:
        raise RegistryError(
            f"'{reference}' names no registered model. Write NAME/VERSION or NAME@ALIAS."
        )
    if match["name"] == name:
        raise RegistryError(
            f"'{name}' is the name of the versions of the other pipeline, which damp vouches for "
            "nothing of: give the model another one with --name."
        )
    if not registry_exists(home):
        raise RegistryError(
            f"There is no registry at {home.mlflow_db}: name the one that holds '{reference}' "
            "(`mlflow_uri` in settings.toml, DAMP_MLFLOW_URI)."
        )
    with open_registry(home) as registry, tempfile.TemporaryDirectory() as folder:
        version = resolving.version_at(registry, match)
        file = _safetensors(registry, version, Path(folder))
        kept = home.models / f"{name}-{digest_file(file)[:12]}{ENDING}"
        with aside(kept) as (temporary, _):
            shutil.copyfile(file, temporary)
    return kept


def _safetensors(registry: Registry, version: ModelVersion, folder: Path) -> Path:
    """The one safetensors file of a version.

    Raises:
        RegistryError: It holds none, or several.
    """
    files = registry.files(registry.location(version), folder)
    candidates = sorted(each for each in files if each.endswith(ENDING))
    if len(candidates) == 1:
        return files[candidates[0]]
    if candidates:
        raise RegistryError(
            f"{version.title} holds several weights: {', '.join(candidates)}. Fetch the one that "
            "counts, and name it as a file: `damp request --model FILE --architecture ...`."
        )
    raise RegistryError(f"{version.title} holds no {ENDING} file. {resolving.export_hint(version)}")
