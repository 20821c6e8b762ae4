"""Measures what a model remembers, by whatever means it was made to forget.

The door is lazy: `compliance` imports `audits.finding` and must not pay for torch or scikit-learn.

    evidence.py, observation.py     what is put before the audits
    images.py                       images as they are read: a tensor, or batch by batch
    features.py, feature_map.py     read it off a model, once
    weight_record.py, triggers.py   read off what its file holds, and its answers to triggers
    weight_likeness.py              whether one weight was made from another
    catalogue.py                    the audits: what each asks, where it looks, how to read it
    accuracy.py ... utility.py      one audit each: `audit(evidence, *, ...) -> Finding`
    depths.py, earlier.py           which features are read, and which earlier ones count
    depth_probe.py, discriminant.py, whitening.py  how probes read them
    statistics.py, estimates.py, equivalence.py    the numerics
    references.py, controls.py      the baseline, and the models that must fail
    augmentation.py                 what training does to images at random
    spiked.py                       models just beyond a margin
    finding.py                      what an audit hands over
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any
from warnings import warn

if TYPE_CHECKING:
    from audits.evidence import Evidence
    from audits.features import observe
    from audits.finding import Figure, Finding
    from audits.observation import Observation
    from audits.references import Recipe, train
    from audits.suite import AUDITS

_DOOR = {
    "AUDITS": "audits.suite",
    "Evidence": "audits.evidence",
    "Figure": "audits.finding",
    "Finding": "audits.finding",
    "Observation": "audits.observation",
    "Recipe": "audits.references",
    "observe": "audits.features",
    "train": "audits.references",
}

__all__ = [
    "AUDITS",
    "Evidence",
    "Figure",
    "Finding",
    "Observation",
    "Recipe",
    "observe",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "Measurement":  # the name that 0.1.0 shipped; damp's Measurement is another thing
        warn("audits.Measurement is called audits.Figure now", DeprecationWarning, stacklevel=2)
        name = "Figure"
    if name in _DOOR:
        return getattr(import_module(_DOOR[name]), name)
    raise AttributeError(f"module 'audits' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
