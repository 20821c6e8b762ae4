"""The name that a request gives to a model of a file, which nobody else's model may have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from compliance.documents.request import Request, load_request
from compliance.formats.errors import RequestError
from flows.registry import read_registry, registry_exists
from flows.state.errors import EventError
from flows.state.files import digest_file
from flows.state.paths import Home


def refuse_taken(home: Home, request: Request, file: Path) -> None:
    """Refuse a name under which other weights are registered, or are going to be.

    Raises:
        EventError: It is taken.
    """
    name = request.model.name
    if name is None:
        return
    own = digest_file(file)
    asked = any(other != own for other in _asked_for(home, name))
    if asked or _registered_otherwise(home, name, own):
        raise EventError(
            f"Another model has the name '{name}' in the registry, or is going to have it. Give "
            "this one another `model.name`; if it is the same model, request it as "
            f'`registry: "{name}@champion"`.'
        )


def _registered_otherwise(home: Home, name: str, own: str) -> bool:
    """Whether the registry has the name, and these weights under another one or none."""
    if not registry_exists(home):
        return False
    with read_registry(home) as registry:
        mine = any(version.name == name for version in registry.versions_of_weights(own))
        return registry.model(name) is not None and not mine


def _asked_for(home: Home, name: str) -> Iterator[str]:
    """SHA-256 of the files that earlier requests give this name to."""
    for folder in sorted(home.events.glob("*")):
        try:
            other = load_request(home.request(folder.name))
            origin = Path(json.loads((folder / "origin.json").read_bytes())["folder"])
        except (RequestError, OSError, ValueError, KeyError):
            continue  # a claim, or a request that was cut short: its own turn says so
        if other.model.name == name:
            pinned = sorted(folder.glob("attempt-*/before.safetensors"))
            file = pinned[0] if pinned else origin / str(other.model.file)
            if file.is_file():
                yield digest_file(file)
