"""How much of the class a model still keeps, read off candidate and original alone.

Without retrained models nobody can say how readable a class is that was never learned. What can be
measured on any candidate is how readable it still is, as a share of how readable it was: of five
readers, each of which gives one figure on both models, the mean share. What such a share means for
a family of models is what a study finds out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from compliance.formats.errors import FindingsError

if TYPE_CHECKING:
    from audits.finding import Finding

NAME = "qualified.kept"
LABEL = (
    "Share of what the original knows of the class that is still readable, five readers together"
)
READERS = (
    "linear_probe.dprime@penultimate",
    "linear_probe.dprime@logits",
    "few_shot.1@penultimate",
    "few_shot.5@penultimate",
    "head_refit.forget",
)
"""Two probes that see all labels, three readers of a few; no depth that depends on a baseline."""
LEAST, MOST = -1.0, 3.0
"""Bounds of one reader's share: none may carry the mean away."""


def share(findings: Iterable[Finding]) -> float:
    """The mean over the readers of value over original, each within its bounds.

    1 is the original itself; a model that never saw the class keeps what its family's study says.

    Raises:
        FindingsError: A reader is missing, or the original does not know the class by it.
    """
    figures = {
        figure.name: (figure.value, figure.original)
        for finding in findings
        for figure in finding.measurements
    }
    return of_figures(figures)


def of_figures(figures: Mapping[str, tuple[float | None, float | None]]) -> float:
    """The same from values and originals by name, as a statement's rows hold them.

    >>> of_figures({name: (0.3, 0.6) for name in READERS})
    0.5
    """
    if missing := [name for name in READERS if None in figures.get(name, (None,))]:
        raise FindingsError(
            f"What is kept of the class cannot be read: {', '.join(missing)} was not measured. "
            "Bring more held-out images of the class."
        )
    unknown = [name for name in READERS if not (figures[name][1] or 0.0) > 0]
    if unknown:
        raise FindingsError(
            f"The original does not know the class by {', '.join(unknown)}, so that no share of "
            "it can be kept: audit it against retrained models."
        )
    return fmean(_bounded(figures[name]) for name in READERS)


def _bounded(pair: tuple[float | None, float | None]) -> float:
    value, original = pair
    return min(MOST, max(LEAST, (value or 0.0) / (original or 1.0)))


def shares(findings: Mapping[str, Sequence[Finding]]) -> dict[str, float]:
    """That of every model, by its name; those that cannot be read are left out."""
    every = {}
    for name, own in findings.items():
        try:
            every[name] = share(own)
        except FindingsError:
            continue
    return every
