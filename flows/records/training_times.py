"""What trainings have taken in this state folder, by the notes beside the models that are kept."""

from __future__ import annotations

import json
from statistics import fmean

from flows.state.paths import Home

SECONDS = "seconds"
"""Key of a trained model's note under which its training's seconds are kept."""


def measured(home: Home, *, data: str | None = None) -> list[float]:
    """Seconds of each training that was measured here.

    Args:
        home: The state folder.
        data: Version of the data that it was on; None for all.
    """
    notes = [json.loads(file.read_bytes()) for file in sorted(home.references.glob("*.json"))]
    of_data = [note for note in notes if data is None or note.get("data") == data]
    return [float(note[SECONDS]) for note in of_data if note.get(SECONDS) is not None]


def mean(home: Home, *, data: str) -> float | None:
    """Mean seconds of the trainings on a version of the data; None where none was measured."""
    seconds = measured(home, data=data)
    return round(fmean(seconds), 3) if seconds else None
