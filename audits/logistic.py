"""A multinomial logistic head, or clear words where its fit did not come to an end.

A fit that was cut short still gives numbers; they say how many steps it was allowed, not what the
features hold.
"""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from audits.errors import NotConverged

STEPS = 1000
"""Steps of the optimiser at most; fits on standardised features take some tens."""


def fitted(
    features: np.ndarray, labels: np.ndarray, *, penalty: float = 1.0, steps: int = STEPS
) -> LogisticRegression:
    """The head, fitted to the end.

    Args:
        features: (n, D), standardised.
        labels: (n,), at least two classes among them.
        penalty: Strength of the squared penalty on the weights.
        steps: Of the optimiser at most.
    Raises:
        NotConverged: it did not come to rest in as many steps.

    >>> head = fitted(np.array([[-1.0], [1.0]]), np.array([0, 1]))
    >>> head.predict(np.array([[3.0]]))
    array([1])
    """
    # scikit-learn's C is the inverse of the penalty
    head = LogisticRegression(C=1 / penalty, max_iter=steps, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            head.fit(features, labels)
        except ConvergenceWarning as warning:
            raise NotConverged(
                f"the fit of a fresh head did not converge in {steps} steps: look for features "
                "that are very large or hardly vary, or allow more steps"
            ) from warning
    return head
