"""How copies of the models are fine-tuned for the relearning audit. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FEW, RETAIN = "few", "retain_only"
"""Tuned on a few images of every class; of the classes that stay alone."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tuning:
    """Which images a copy is tuned on and when it is asked.

    Attributes:
        labels: Classes of the test rows, (n_test,).
        forget: Classes to forget.
        live: Classes of the label space.
        seed: Of the choice of images, the same for every model.
        shots: Images of each class that a copy is tuned on.
        draws: Choices of them; one copy is tuned on each.
        steps: Numbers of steps after which the copy is asked, ascending.
        queries: Images of each forgotten class that it is asked about, at most.
        learning_rate: Of Adam, whose steps do not depend on the scale of a loss or an output.
    """

    labels: np.ndarray
    forget: tuple[int, ...]
    live: tuple[int, ...]
    seed: int
    shots: int = 10
    draws: int = 2
    steps: tuple[int, ...] = (0, 4, 8, 12)
    queries: int = 150
    learning_rate: float = 1e-3

    def rows(self) -> np.ndarray:
        """Test rows of the forgotten classes that are asked about, ascending."""
        generator = np.random.default_rng([self.seed, *b"relearning.queries"])
        chosen = [
            generator.permutation(np.flatnonzero(self.labels == c))[: self.queries]
            for c in self.forget
        ]
        return np.sort(np.concatenate(chosen))

    def images(self) -> np.ndarray:
        """Test rows that copies are tuned on, (draws, classes, shots)."""
        # a stream of its own: other queries must not move the images
        generator = np.random.default_rng([self.seed, *b"relearning.images"])
        chosen = [
            [
                generator.permutation(np.flatnonzero(self.labels == c))[: self.shots]
                for c in self.live
            ]
            for _ in range(self.draws)
        ]
        return np.array(chosen)

    def impossible(self) -> str:
        """Why no copy can be tuned; empty where one can."""
        fewest = min(int(np.count_nonzero(self.labels == c)) for c in self.live)
        # one image more than is tuned on must be left to ask about
        return "" if fewest > self.shots else f"a class has {fewest} test rows"
