"""The bench: measures what a model remembers, by whatever means it was made to forget.

The door is lazy: the desk imports `audits.finding` and must not pay for torch or scikit-learn.

    evidence.py, observation.py     what is put before the audits
    features.py                     reads it off a model, once
    accuracy.py ... utility.py      one audit each: `audit(evidence, *, ...) -> Finding`
    statistics.py, estimates.py, equivalence.py    the numerics
    references.py, controls.py      the yardstick, and the models that must fail
    finding.py                      what an audit hands over
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audits.evidence import Evidence
    from audits.features import observe
    from audits.finding import Finding, Measurement
    from audits.observation import Observation
    from audits.references import Recipe, train
    from audits.suite import AUDITS

_DOOR = {
    "AUDITS": "audits.suite",
    "Evidence": "audits.evidence",
    "Finding": "audits.finding",
    "Measurement": "audits.finding",
    "Observation": "audits.observation",
    "Recipe": "audits.references",
    "observe": "audits.features",
    "train": "audits.references",
}

__all__ = [
    "AUDITS",
    "Evidence",
    "Finding",
    "Measurement",
    "Observation",
    "Recipe",
    "observe",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _DOOR:
        return getattr(import_module(_DOOR[name]), name)
    raise AttributeError(f"module 'audits' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
