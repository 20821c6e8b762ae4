"""What a model answers: predictions over a label space, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import special

from audits.evidence import Evidence
from audits.observation import Observation


def predictions(
    evidence: Evidence, observation: Observation, *, masked: Sequence[int] | None = None
) -> np.ndarray:
    """Predicted class of each test row, (n_test,), over the label space that is left.

    Args:
        masked: Outputs that cannot be chosen; by default those the deployed model masks. Outputs
            that an earlier event retired can never be chosen.
    """
    hidden = observation.retired if masked is None else masked
    logits = observation.test_logits.copy()  # (n, C)
    logits[:, sorted({*hidden, *evidence.original.retired})] = -np.inf
    predicted: np.ndarray = logits.argmax(1)
    return predicted


def correct(
    evidence: Evidence, observation: Observation, *, masked: Sequence[int] | None = None
) -> np.ndarray:
    """Whether each test row is predicted right, (n_test,) of 0.0 and 1.0."""
    right = predictions(evidence, observation, masked=masked) == evidence.test_labels
    return right.astype(np.float64)


def confidence(evidence: Evidence, observation: Observation) -> np.ndarray:
    """Largest softmax probability over the label space that is left, (n_test,)."""
    kept = [c for c in evidence.live if c not in observation.retired]
    # (n, live) -> (n,)
    probabilities: np.ndarray = special.softmax(observation.test_logits[:, kept], axis=1).max(1)
    return probabilities


def retain_logits(evidence: Evidence, observation: Observation) -> np.ndarray:
    """Test logits of the retain classes only, centred per row, (n_test, r).

    The forgotten class's own output is left out, so that pushing it down hides nothing; centring
    takes away what a softmax does not see.
    """
    return centred(evidence, observation.test_logits)


def centred(evidence: Evidence, logits: np.ndarray) -> np.ndarray:
    """Logits of the retain classes, centred per row, (n, r)."""
    kept = logits[:, list(evidence.retain)]  # (n, r)
    answers: np.ndarray = kept - kept.mean(1, keepdims=True)
    return answers
