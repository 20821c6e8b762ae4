"""Can a small neural network read the forgotten class from frozen features?"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from audits import comparison, depths, discriminant, gates, sampling, whitening
from audits.comparison import Models
from audits.errors import NotConverged
from audits.estimates import Estimate
from audits.evidence import Evidence
from audits.finding import JSON, Finding
from audits.observation import PENULTIMATE, Observation

AUDIT = "mlp_probe"
TOLERANCE = 5e-3
"""Largest entry of the gradient of the mean loss at which a fit has come to rest."""
FIGURES = {
    "dprime": "Distance d' of the forgotten class from the others, seen by a small neural network "
    "at {}",
    "auc": "Area under ROC of a small neural network for the forgotten class at {}",
}


def audit(
    evidence: Evidence,
    *,
    folds: int = 3,
    seeds: int = 3,
    hidden: int = 8,
    penalty: float = 10.0,
    steps: int = 1000,
    rows: int = 1000,
    most: int = 64,
) -> Finding:
    """Held-out d' and AUC of networks with one hidden layer, their answers averaged over seeds.

    It needs no assumption of how the class lies in the features, and pays with images: what a
    discriminant reads from ninety it may not find. It stands beside the others, it replaces none.

    Args:
        folds: Folds of the cross-validation, stratified by class.
        seeds: Networks per fold, from starts of their own.
        hidden: Units of the hidden layer.
        penalty: Strength of the squared penalty on the weights.
        steps: Of the optimiser (L-BFGS) at most.
        rows: Test rows at most, a seeded stratified sample; half of the retain rows give the
            directions and are not read.
        most: Directions at most, half of those with most variance and half of those with least.
    """
    parameters: dict[str, JSON] = {
        "folds": folds,
        "seeds": seeds,
        "hidden": hidden,
        "penalty": penalty,
        "steps": steps,
        "rows": rows,
        "most": most,
    }
    obstacle = gates.obstacle(AUDIT, evidence, forget_test=2 * folds, retain_test=4)
    if obstacle:
        return gates.not_run(AUDIT, evidence, obstacle, parameters)
    models = Models.of(evidence, learned, by_class=True, **parameters)
    labels = {
        f"{AUDIT}.{figure}@{PENULTIMATE}": text.format(depths.words(PENULTIMATE))
        for figure, text in FIGURES.items()
    }
    sizes = comparison.sizes(evidence)
    measurements, left_out = comparison.measure_all(evidence, models, labels, sizes=sizes)
    return comparison.conclude(
        AUDIT,
        evidence,
        measurements,
        parameters=parameters,
        left_out=left_out,
        series=comparison.side_by_side(models, [name for name in labels if name not in left_out]),
    )


def learned(
    evidence: Evidence,
    observation: Observation,
    *,
    folds: int,
    seeds: int,
    hidden: int,
    penalty: float,
    steps: int,
    rows: int,
    most: int,
) -> dict[str, Estimate | str]:
    """Both figures of one model."""
    names = [f"{AUDIT}.{figure}@{PENULTIMATE}" for figure in FIGURES]
    parts = whitening.halves(evidence, rows, AUDIT)
    features = depths.at(evidence, observation, PENULTIMATE)  # (n_test, D)
    why = whitening.unusable(features, parts)
    if why:
        return dict.fromkeys(names, why)
    basis = whitening.components(features[parts.basis])
    inputs = whitening.whitened(basis, features[parts.read], most)  # (m, k)
    labels = evidence.test_labels[parts.read]  # (m,)
    fold = sampling.folds(labels, folds, evidence.rng(f"{AUDIT}.folds"))
    starts = [int(s) for s in evidence.rng(f"{AUDIT}.seeds").integers(2**31, size=seeds)]
    retain = np.isin(labels, evidence.retain)
    try:
        scores = {
            c: _held_out(inputs, labels == c, retain, fold, starts, hidden, penalty, steps)
            for c in evidence.forget
        }
    except NotConverged as problem:
        return dict.fromkeys(names, str(problem))
    figures = discriminant.figures_of(scores, labels, retain)
    return {f"{AUDIT}.{figure}@{PENULTIMATE}": figures[figure] for figure in FIGURES}


def _held_out(
    inputs: np.ndarray,
    own: np.ndarray,
    retain: np.ndarray,
    fold: np.ndarray,
    starts: Sequence[int],
    hidden: int,
    penalty: float,
    steps: int,
) -> np.ndarray:
    """Mean log odds over the networks, (m,), each row by networks that were fitted without it."""
    scores = np.empty(len(inputs))
    for number in np.unique(fold):
        held = fold == number
        fitted_on = ~held & (own | retain)
        answers = [
            fitted(inputs[fitted_on], own[fitted_on], seed, hidden, penalty, steps)(inputs[held])
            for seed in starts
        ]
        scores[held] = np.mean(answers, axis=0)
    return scores


class Network:
    """One hidden layer of rectified units and one answer."""

    def __init__(self, classifier: MLPClassifier) -> None:
        self.weights, self.biases = classifier.coefs_, classifier.intercepts_

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Log odds, (n,): before the sigmoid, which would round them to 0 and 1."""
        units = np.maximum(inputs @ self.weights[0] + self.biases[0], 0.0)  # (n, hidden)
        answers: np.ndarray = (units @ self.weights[1] + self.biases[1])[:, 0]
        return answers


def fitted(
    inputs: np.ndarray, own: np.ndarray, seed: int, hidden: int, penalty: float, steps: int
) -> Network:
    """A network fitted to the end.

    Args:
        inputs: (n, k), whitened.
        own: (n,), whether a row is of the class.
        seed: Of the start.
        hidden: Units of the hidden layer.
        penalty: Strength of the squared penalty on the weights.
        steps: Of the optimiser at most.
    Raises:
        NotConverged: it did not come to rest in as many steps.
    Source: Rumelhart, Hinton and Williams 1986; L-BFGS, Liu and Nocedal 1989, by scikit-learn. As a
        probe: Hewitt and Liang 2019, arXiv:1909.03368.
    """
    classifier = MLPClassifier(
        (hidden,),
        solver="lbfgs",
        alpha=penalty,
        max_iter=steps,
        tol=TOLERANCE,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            classifier.fit(inputs, own)
        except ConvergenceWarning as warning:
            raise NotConverged(
                f"the fit of a small network did not converge in {steps} steps: allow more steps, "
                "or a stronger penalty"
            ) from warning
    return Network(classifier)
