"""A small world of made-up observations in which it is known who remembers what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from audits.equivalence import equivalence
from audits.evidence import Evidence
from audits.finding import Finding, Measurement
from audits.observation import Observation

CLASSES, WIDTH = 6, 16
FORGET = 2


class World:
    """Images of six classes; models that know class 2, and models that never saw it.

    To a model that knows it, class 2 is a compact cluster of its own. To one that does not, its
    images scatter about two other classes, with a slight lean of their own.
    """

    def __init__(self, per_class: int = 60, seed: int = 0) -> None:
        self.train_labels = np.arange(CLASSES * per_class) % CLASSES
        self.test_labels = np.arange(CLASSES * per_class) % CLASSES
        self.seed = seed
        generator = np.random.default_rng(seed)
        self.centres = 4.0 * np.linalg.qr(generator.standard_normal((WIDTH, WIDTH)))[0][:CLASSES]
        self.near = generator.choice([0, 5], size=len(self.test_labels))
        self.noise = generator.standard_normal((len(self.test_labels), WIDTH))

    def model(
        self,
        name: str,
        *,
        knows: bool,
        overfit: float = 0.0,
        retired: tuple[int, ...] = (),
        seed: int | None = None,
    ) -> Observation:
        """A model; `overfit` lifts the true logit of the rows that it was trained on."""
        generator = np.random.default_rng(
            [self.seed, *(name if seed is None else str(seed)).encode()]
        )
        features = self._features(knows, generator)
        scores = features @ self.centres.T / 2 + 0.3 * generator.standard_normal((1, CLASSES))
        inside = scores + 0.5 * generator.standard_normal(scores.shape)
        inside[np.arange(len(inside)), self.train_labels] += overfit
        if not knows:
            scores[:, FORGET] -= 15.0
            inside[:, FORGET] -= 15.0
        scores = scores + 0.5 * generator.standard_normal(scores.shape)
        return Observation(
            digest=name,
            train_logits=inside,
            test_logits=scores,
            features={"body": features[:, :8], "penultimate": features},
            retired=retired,
        )

    def _features(self, knows: bool, generator: np.random.Generator) -> np.ndarray:
        own = self.centres[self.test_labels].copy()
        if not knows:
            forgotten = self.test_labels == FORGET
            own[forgotten] = 0.3 * own[forgotten] + 0.7 * self.centres[self.near[forgotten]]
        spread = np.where((self.test_labels == FORGET) & (not knows), 1.5, 1.0)[:, None]
        wobble = 0.5 * generator.standard_normal(self.noise.shape)
        return own + spread * (self.noise + wobble)

    def evidence(self, candidate: Observation | None = None, **changes: object) -> Evidence:
        """The candidate before five models that never saw class 2; a sixth one by default."""
        given: dict[str, object] = {
            "original": self.model("original", knows=True),
            "candidate": candidate or self.model("retrained", knows=False),
            "references": tuple(self.model(f"reference {i}", knows=False) for i in range(5)),
            "train_labels": self.train_labels,
            "test_labels": self.test_labels,
            "forget": (FORGET,),
            "seed": 11,
        }
        return Evidence(**{**given, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def world() -> World:
    return World()


@pytest.fixture(scope="session")
def make_world() -> Callable[..., World]:
    return World


@pytest.fixture(scope="session")
def figures() -> Callable[[Finding], dict[str, Measurement]]:
    """`figures(finding)["few_shot.1@penultimate"]`: measurements by name, of a finding that ran."""

    def named(finding: Finding) -> dict[str, Measurement]:
        assert finding.status == "RUN", finding.reason
        return {measurement.name: measurement for measurement in finding.measurements}

    return named


def judged(measurement: Measurement, below: float, above: float) -> str:
    """What the equivalence test says of a measurement against the retrained models."""
    assert measurement.against == "retrained"
    assert measurement.difference is not None
    assert measurement.standard_error is not None
    assert measurement.degrees_of_freedom is not None
    return equivalence(
        measurement.difference,
        measurement.standard_error,
        measurement.degrees_of_freedom,
        below,
        above,
    )


@pytest.fixture(scope="session")
def judge() -> Callable[[Measurement, float, float], str]:
    return judged


def poisoned(seen: Observation, **changes: np.ndarray) -> Observation:
    """The observation with other logits or features, under another digest."""
    return replace(seen, digest=f"{seen.digest} poisoned", **changes)


@pytest.fixture(scope="session")
def with_nan() -> Callable[[Observation], Observation]:
    """A model one of whose test logits is no number."""

    def spoil(seen: Observation) -> Observation:
        logits = seen.test_logits.copy()
        logits[3, 1] = np.nan
        return poisoned(seen, test_logits=logits)

    return spoil
