"""A model as MLflow keeps it: weights, specification, serving code and what describes them.

Written through `Model` and `pyfunc.add_to_model` rather than `pyfunc.save_model`, which runs the
serving code, warns, and leaves this machine's paths in the file.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compliance.documents.preprocessing import Preprocessing
from flows.state.errors import RegistryError
from flows.state.files import canonical, digest_bytes, digest_file

WEIGHTS, SPEC, SERVING = "weights.safetensors", "spec.json", "serving.py"
MOST_FILES = 10_000
"""Of one version: a source may be any folder, the root of the file system too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What must be known beside the weights to run a model.

    Attributes:
        architecture: As `flows.models.architectures.build` takes it.
        classes: Outputs, the retired ones included.
        input_shape: (channels, height, width).
        retired: Classes whose outputs are masked.
        preprocessing: What the model sees of an image; None where it sees it as it is.
    """

    architecture: str
    classes: int
    input_shape: tuple[int, ...]
    retired: tuple[int, ...] = ()
    preprocessing: Preprocessing | None = None

    def to_json(self) -> dict[str, Any]:
        """As `spec.json` holds it; one without preprocessing as it was before there was any."""
        content = {
            "architecture": self.architecture,
            "classes": self.classes,
            "input_shape": list(self.input_shape),
            "retired": sorted(set(self.retired)),
        }
        view = self.preprocessing
        return content | ({"preprocessing": view.content()} if view is not None else {})


def write_files(folder: Path, weights: Path, spec: Spec) -> None:
    """Fill `folder` with the weights, as a link, and with what a loader reads and executes."""
    (folder / WEIGHTS).symlink_to(weights.absolute())
    (folder / SPEC).write_bytes(canonical(spec.to_json()))
    (folder / SERVING).write_bytes(Path(__file__).with_name(SERVING).read_bytes())


def pack(folder: Path, weights: Path, spec: Spec, model_id: str) -> None:
    """Fill `folder` with a model that `mlflow.pyfunc` can load."""
    from mlflow import pyfunc
    from mlflow.models import Model

    from damp.version import __version__

    write_files(folder, weights, spec)
    (folder / "requirements.txt").write_text(f"damp-unlearning=={__version__}\n")
    (folder / "python_env.yaml").write_text(
        f"python: {platform.python_version()}\ndependencies:\n- -r requirements.txt\n"
    )
    described = Model(signature=_signature(spec), model_id=model_id)
    pyfunc.add_to_model(
        described,
        loader_module="mlflow.pyfunc.loaders.code_model",
        model_code_path=SERVING,
        python_env="python_env.yaml",
        artifacts={
            "weights": {"path": WEIGHTS, "uri": WEIGHTS},
            "spec": {"path": SPEC, "uri": SPEC},
        },
        streamable=False,
    )
    described.save(str(folder / "MLmodel"))


def _signature(spec: Spec) -> Any:
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    number = np.dtype("float32")
    return ModelSignature(
        inputs=Schema([TensorSpec(number, (-1, *spec.input_shape))]),
        outputs=Schema([TensorSpec(number, (-1, spec.classes))]),
    )


def manifest(files: Mapping[str, Path]) -> str:
    """SHA-256 over the canonical JSON of each name with the digest of its bytes."""
    digests = {name: digest_file(path) for name, path in files.items()}
    return digest_bytes(canonical(digests))


def files_below(root: Path) -> dict[str, Path]:
    """Every regular file below a folder, through links to folders too; or the one file.

    Raises:
        RegistryError: There is nothing, or too much.
    """
    if root.is_file():
        return {root.name: root}
    if not root.is_dir():
        raise RegistryError(f"Its files are gone from {root}.")
    files: dict[str, Path] = {}
    visited: set[Path] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = Path(folder).resolve()
        if real in visited:  # a link to a folder above it
            folders.clear()
            continue
        visited.add(real)
        paths = [Path(folder) / name for name in names]
        files |= {p.relative_to(root).as_posix(): p for p in paths if p.is_file()}
        if len(files) > MOST_FILES:
            raise RegistryError(f"More than {MOST_FILES} files lie at {root}.")
    return files
