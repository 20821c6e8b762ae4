"""Which features of a model the representation audits read, and what they are called."""

from __future__ import annotations

import numpy as np

from audits.evidence import Evidence
from audits.observation import LOGITS, PENULTIMATE, Observation
from audits.outputs import retain_logits


def at(evidence: Evidence, observation: Observation, depth: str) -> np.ndarray:
    """Features of the test rows at a depth, (n_test, D), float64."""
    if depth == LOGITS:
        return retain_logits(evidence, observation)
    # stored as float32; probes and Gram matrices need float64
    return np.asarray(observation.features[depth], dtype=np.float64)


LACKING = "it has no such depth"
"""Why a model is not measured at a depth that the others have."""


def has(observation: Observation, depth: str) -> bool:
    """Whether a model can be read at a depth."""
    return depth == LOGITS or depth in observation.features


def available(evidence: Evidence) -> list[str]:
    """Depths that the original and all references have, shallow to deep, the retain logits last.

    Not what the candidate has: one that lacks a depth is left out there, with the reason.
    """
    models = (evidence.original, *evidence.references)
    shared = [
        depth
        for depth in evidence.original.features
        if all(depth in observation.features for observation in models)
    ]
    return [*shared, LOGITS]


def words(depth: str) -> str:
    """The depth in plain words."""
    if depth == LOGITS:
        return "the outputs of the classes that stay"
    if depth == PENULTIMATE:
        return "the last features before the head"
    return f"the features that enter {depth}"


def alike(one: Observation, other: Observation) -> bool:
    """Whether two models have the same depths of the same widths: one architecture, by all that
    the audits read of it."""
    return _widths(one) == _widths(other)


def _widths(observation: Observation) -> list[tuple[str, int]]:
    # (n_test, D) each
    return [(depth, features.shape[1]) for depth, features in observation.features.items()]
