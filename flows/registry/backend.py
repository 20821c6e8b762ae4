"""Which registry is in use: the one place that names it.

Another registry is one module with `opened(home)`, `read(home)` and `exists(home)`, imported here
instead; `read` may be `opened`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from flows.registry import mlflow_registry as implementation
from flows.registry.interface import ReadRegistry, Registry
from flows.state.paths import Home


def open_registry(home: Home) -> AbstractContextManager[Registry]:
    """The registry of this state folder, with no other damp process in it.

    Not to be nested: the second one would wait for the first.

    Raises:
        RegistryError: It refused one of the calls made in the block.
        ServerError: Its server does not answer, is of another version, or was lost on the way.
    """
    return implementation.opened(home)


def read_registry(home: Home) -> AbstractContextManager[ReadRegistry]:
    """The same for whoever only looks a model up, at less cost where that is possible.

    Raises:
        RegistryError, ServerError: As `open_registry`.
    """
    return implementation.read(home)


def registry_exists(home: Home) -> bool:
    """Whether there can be a registered model at all; asking makes no registry."""
    return implementation.exists(home)
