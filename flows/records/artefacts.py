"""One thing that still holds a class, as an inventory lists it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

RETAINED, UNKNOWN = "RETAINED", "UNKNOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredCopy:
    """The version of the registry that an artefact is the weights of."""

    name: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """One thing that still holds the class, or may.

    Attributes:
        artefact: What it is.
        location: Where, relative to the state folder where it lies in it.
        status: "RETAINED", "UNKNOWN", or what was declared.
        note: What to do about it.
        files: Files and folders that `damp purge` deletes; empty where it is not damp's to delete.
        registered: The version of the registry that it is the weights of.
    """

    artefact: str
    location: str
    status: str = RETAINED
    note: str = ""
    files: tuple[Path, ...] = ()
    registered: RegisteredCopy | None = None

    def to_json(self) -> dict[str, str]:
        """The row of a statement's `propagation`."""
        return {
            "artefact": self.artefact,
            "location": self.location,
            "status": self.status,
            "note": self.note,
        }
