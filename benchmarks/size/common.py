"""What all parts share: counts, painted photographs, peak memory, comparisons in turns."""

from __future__ import annotations

import os
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Figures = dict[str, Any]
PREPROCESSING = {
    "resize": 256,
    "crop": 224,
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}
SIZES = ((500, 375), (375, 500), (640, 480), (333, 500))
"""Width and height of the photographs, in turn: those of ImageNet are like that."""
CLASSES = 4
SHARED = Path(__file__).parents[3] / "shared" / "data"
"""Real data, beside the repository."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much each part does.

    Attributes:
        memory: Photographs of the smaller and of the larger event.
        passes: Images of the statistics pass.
        decoded: Photographs of a round of decoding.
        files: Files of the data version.
        rounds: Of each comparison.
        epochs: Of the recipe beside a plain script.
        seeds: Trainings of each.
        folder: Photographs of the folder that stands for ImageNet.
        large: Images of ResNet-50 and of ViT-B/16.
        finetuned: Epochs of the start, and of the models that are fine-tuned from it.
    """

    memory: tuple[int, int]
    passes: int
    decoded: int
    files: int
    rounds: int
    epochs: int
    seeds: int
    folder: int
    large: tuple[int, int]
    finetuned: tuple[int, int]


FULL = Counts(
    memory=(1000, 4000),
    passes=400,
    decoded=600,
    files=100_000,
    rounds=5,
    epochs=8,
    seeds=3,
    folder=100_000,
    large=(1000, 1000),
    finetuned=(4, 2),
)
QUICK = Counts(
    memory=(200, 600),
    passes=200,
    decoded=200,
    files=100_000,
    rounds=3,
    epochs=4,
    seeds=2,
    folder=4_000,
    large=(200, 60),
    finetuned=(2, 1),
)


def folder() -> Path:
    """Of this process alone, deleted after."""
    return Path(os.environ["DAMP_SIZE"])


def paint(place: Path, count: int) -> Path:
    """Photographs of smooth noise in class folders: as large as real ones when compressed."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(count):
        width, height = SIZES[number % len(SIZES)]
        coarse = rng.integers(0, 256, (height // 4, width // 4, 3), np.uint8)
        path = place / f"class-{number % CLASSES}" / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(coarse).resize((width, height)).save(path, quality=90)
    return place


def peak() -> float:
    """GiB of this process and its children at most, so far."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return round(max(own, children) / 2**20, 3)


def compared(
    one: Callable[[], object], other: Callable[[], object], rounds: int
) -> tuple[Figures, float]:
    """Ratio of two pieces of work that take turns, in processor time; and the second's median."""
    ratios, seconds = [], []
    for number in range(rounds + 1):
        start = time.process_time()
        one()
        middle = time.process_time()
        other()
        end = time.process_time()
        if number:  # the first round warms up
            ratios.append((middle - start) / (end - middle))
            seconds.append(end - middle)
    return spread(ratios), statistics.median(seconds)


def spread(values: list[float]) -> Figures:
    """Median, least and greatest over the rounds."""
    return {
        "median": round(statistics.median(values), 3),
        "least": round(min(values), 3),
        "greatest": round(max(values), 3),
        "rounds": len(values),
    }


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """A result, and the seconds that it took on the wall."""
    start = time.monotonic()
    result = work()
    return result, time.monotonic() - start
