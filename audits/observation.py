"""All that the audits need to know of one model. No torch here: the audits are plain numerics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

PENULTIMATE = "penultimate"
"""Name of the last depth: the input of the head."""
LOGITS = "logits"
"""Name under which the audits read the logits of the retain classes as features."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observation:
    """What a model says about the audit rows, measured once.

    Attributes:
        digest: Identity of the weights; equal digests are taken for the same model.
        train_logits: (n_train, C), float64, before any output is retired.
        test_logits: (n_test, C), float64, before any output is retired.
        features: Depth name -> (n_test, D), pooled inputs of that operator on the test rows,
            shallow to deep; the last one is "penultimate".
        retired: Outputs that the deployed model masks.
    """

    digest: str
    train_logits: np.ndarray
    test_logits: np.ndarray
    features: dict[str, np.ndarray]
    retired: tuple[int, ...] = ()


def to_arrays(observation: Observation) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays and text metadata, as safetensors wants them; `from_arrays` is the way back."""
    arrays = {f"features/{depth}": value for depth, value in observation.features.items()}
    arrays |= {"train_logits": observation.train_logits, "test_logits": observation.test_logits}
    metadata = {
        "digest": observation.digest,
        "retired": json.dumps(list(observation.retired)),
        "depths": json.dumps(list(observation.features)),
    }
    return arrays, metadata


def from_arrays(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> Observation:
    """The observation that `to_arrays` has taken apart.

    >>> logits = np.zeros((2, 3))
    >>> seen = Observation(digest="d", train_logits=logits, test_logits=logits,
    ...                    features={"penultimate": np.ones((2, 4))}, retired=(1,))
    >>> from_arrays(*to_arrays(seen)).retired
    (1,)
    """
    return Observation(
        digest=metadata["digest"],
        train_logits=np.asarray(arrays["train_logits"], dtype=np.float64),
        test_logits=np.asarray(arrays["test_logits"], dtype=np.float64),
        features={
            depth: np.asarray(arrays[f"features/{depth}"])
            for depth in json.loads(metadata["depths"])
        },
        retired=tuple(json.loads(metadata["retired"])),
    )
