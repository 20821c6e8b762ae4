"""Can a linear probe still read the forgotten class from frozen features?"""

from __future__ import annotations

from collections.abc import Sequence

from audits import comparison, depth_probe, depths, earlier, gates
from audits.comparison import Models
from audits.evidence import Evidence
from audits.finding import JSON, Finding

AUDIT = "linear_probe"
FIGURES = {
    "dprime": "Distance d' of the forgotten class from the others, seen by a linear probe at {}",
    "auc": "Area under ROC of a linear probe for the forgotten class at {}",
    "recall": "Share of the forgotten class that a linear probe finds at {}",
    "tail": "Distance d' of the forgotten class from the others along the directions in which the "
    "others vary least, seen by a linear probe at {}",
}


def audit(
    evidence: Evidence,
    *,
    folds: int = 5,
    shrinkage: float = 1e-6,
    rows: int = 4000,
    widest: int = 512,
) -> Finding:
    """Held-out d', AUC and recall of a discriminant probe, forget class against retain classes.

    Every row is scored by a probe that was fitted without it. A perfect AUC does not condemn a
    model: one that never saw the class separates it as well; only the retrained models tell.

    With rows enough the covariance is hardly shrunk, so that the probe reads the same whether
    features are scaled, rotated or sheared: a class that is hidden in a direction of little
    variance is read as well. Where there are fewer than four rows per feature, or the features are
    wide, the strongest of several shrinkages counts. `tail` reads only the half of the directions
    along which the retain rows vary least.

    Args:
        folds: Folds of the cross-validation, stratified by class.
        shrinkage: Share of the standardised covariance that is replaced by its mean diagonal.
        rows: Test rows at most, a seeded stratified sample.
        widest: Features beyond which several shrinkages are tried however many rows there are.
    """
    settings: dict[str, JSON] = {
        "folds": folds,
        "shrinkage": shrinkage,
        "rows": rows,
        "widest": widest,
    }
    parameters: dict[str, JSON] = {
        **settings,
        "few_rows": list(depth_probe.FEW_ROWS),
        "priors": "equal",
    }
    obstacle = gates.obstacle(AUDIT, evidence, forget_test=2 * folds, retain_test=2)
    if obstacle:
        return gates.not_run(AUDIT, evidence, obstacle, parameters)
    before = earlier.depth(evidence)
    levels = depths.available(evidence)
    models = Models.of(evidence, depth_probe.probed, by_class=True, **settings).also_at(
        earlier.NAME, before, why=earlier.NONE
    )
    labels = {
        f"{AUDIT}.{figure}@{depth}": text.format(where)
        for depth, where in {
            **{depth: depths.words(depth) for depth in levels},
            earlier.NAME: earlier.words(before),
        }.items()
        for figure, text in FIGURES.items()
    }
    sizes = comparison.sizes(evidence)
    measurements, left_out = comparison.measure_all(evidence, models, labels, sizes=sizes)
    return comparison.conclude(
        AUDIT,
        evidence,
        measurements,
        parameters=parameters | {earlier.NAME: before},
        left_out=left_out,
        series=_series(models, levels),
    )


def _series(models: Models, levels: Sequence[str]) -> dict[str, JSON]:
    """d' and AUC by depth, for the picture; depths that some model lacks are left out."""
    series: dict[str, JSON] = {}
    for figure in ("dprime", "auc"):
        usable = [d for d in levels if not models.missing(f"{AUDIT}.{figure}@{d}")]
        columns = models.columns([f"{AUDIT}.{figure}@{depth}" for depth in usable])
        series[figure] = {"depths": list(usable), **columns}
    return series
