"""`dvc://` as the source of an MLflow dataset: which version, and where it lies here.

MLflow asks for `DVCDatasetSource` by an entry point while it is itself being imported, and its
base class comes from MLflow. So the class is made when it is first asked for, by whomever.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

SCHEME = "dvc"


def __getattr__(name: str) -> Any:
    if name != "DVCDatasetSource":
        raise AttributeError(f"module 'flows.registry.dvc_source' has no attribute {name!r}")
    from mlflow.data.dataset_source import DatasetSource

    # importing MLflow may have asked for the class in the meantime
    return globals().get(name) or globals().setdefault(name, _of(DatasetSource))


def folder_of(version: str) -> Path | None:
    """The folder under the state folder (`DAMP_HOME`) that holds a data version, if one does."""
    from flows.data import dvc_workspace
    from flows.state.paths import Home

    home = Home(Path(os.environ.get("DAMP_HOME", ".damp")).expanduser().absolute())
    for note in sorted(dvc_workspace.workspace(home).glob("?*.dvc")):
        folder = note.with_suffix("")
        if folder.is_dir() and dvc_workspace.recorded(folder) == version:
            return folder
    return None


def _of(base: Any) -> type:
    class DVCDatasetSource(base):
        """A data version: `dvc://NAME?version=<md5>.dir`.

        Args:
            name: Of the data set.
            version: `<md5>.dir`, DVC's digest of the folder.
        """

        def __init__(self, name: str, version: str) -> None:
            self.name, self.version = name, version

        @property
        def uri(self) -> str:
            """The source as one address."""
            return f"{SCHEME}://{quote(self.name, safe='')}?version={self.version}"

        @staticmethod
        def _get_source_type() -> str:
            return SCHEME

        def load(self) -> str:
            """The folder that holds this version here.

            Raises:
                FileNotFoundError: It is not there: images stay where their owner keeps them.
            """
            folder = folder_of(self.version)
            if folder is None:
                raise FileNotFoundError(
                    f"No data version {self.version} of '{self.name}' lies under the state folder. "
                    "Set DAMP_HOME, or fetch it (`dvc get`, `dvc pull`) from where it is kept."
                )
            return str(folder)

        @staticmethod
        def _can_resolve(raw_source: Any) -> bool:
            return isinstance(raw_source, str) and raw_source.startswith(f"{SCHEME}://")

        @classmethod
        def _resolve(cls, raw_source: Any) -> DVCDatasetSource:
            parts = urlsplit(raw_source)
            versions = parse_qs(parts.query).get("version", [])
            if len(versions) != 1 or not parts.netloc:
                raise ValueError(
                    f"{raw_source!r} names no data version. Write dvc://NAME?version=<md5>.dir."
                )
            return cls(unquote(parts.netloc), versions[0])

        def to_dict(self) -> dict[str, Any]:
            """JSON: `uri`, `name`, `version`."""
            return {"uri": self.uri, "name": self.name, "version": self.version}

        @classmethod
        def from_dict(cls, source_dict: dict[Any, Any]) -> DVCDatasetSource:
            """The source that `to_dict` described."""
            return cls(source_dict["name"], source_dict["version"])

    return DVCDatasetSource
