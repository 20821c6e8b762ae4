"""How fast does the forgotten class come back when the model is tuned for a few steps?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from audits import comparison, gates
from audits.comparison import Models, rounded
from audits.estimates import Estimate
from audits.evidence import Evidence
from audits.few_shot import averaged
from audits.finding import JSON, Finding
from audits.observation import Observation

AUDIT = "relearning"
CURVES = {
    "few": "a few images of every class",
    "retain_only": "a few images of the classes that stay alone",
}
FIGURES = {
    "mean": "Forgotten class while the model is tuned on {}, mean over the curve",
    "last": "Forgotten class after the model was tuned on {}, end of the curve",
}


def audit(evidence: Evidence) -> Finding:
    """Accuracy on the forgotten class while copies of the models are fine-tuned.

    The curves come with the observations (`audits.finetuning`, which also says how the copies are
    tuned): tuned on a few images of every class, and on retain images alone, which can revive a
    class that was only hidden. Images that a copy was tuned on are not asked about.
    """
    tuning = evidence.tuning
    parameters: dict[str, JSON] = {} if tuning is None else _settings(evidence)
    obstacle = gates.obstacle(AUDIT, evidence, forget_test=2) or _untuned(evidence)
    if obstacle:
        return gates.not_run(AUDIT, evidence, obstacle, parameters)
    models = Models.of(evidence, relearned)
    labels = {
        f"{AUDIT}.{curve}.{figure}": text.format(words)
        for curve, words in CURVES.items()
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
        series=_series(evidence, left_out),
    )


def _settings(evidence: Evidence) -> dict[str, JSON]:
    tuning = evidence.tuning
    if tuning is None:
        return {}
    return {
        "shots": tuning.shots,
        "draws": tuning.draws,
        "steps": list(tuning.steps),
        "queries": tuning.queries,
        "optimizer": "adam",
        "learning_rate": tuning.learning_rate,
    }


def _untuned(evidence: Evidence) -> str:
    if evidence.tuning is None:
        return "No copy was tuned: observe the models with a `tuning`."
    why = evidence.tuning.impossible()
    if why:
        return (
            f"No copy was tuned, since {why} and {evidence.tuning.shots} are tuned on: give more."
        )
    without = [who for who, observation in evidence.models() if not observation.relearned]
    return f"No copy was tuned of {', '.join(without)}: observe them again." if without else ""


def relearned(evidence: Evidence, observation: Observation) -> dict[str, Estimate | str]:
    """Mean and end of each curve of one model."""
    figures: dict[str, Estimate | str] = {}
    for curve in CURVES:
        hits = observation.relearned.get(curve)  # (draws, steps, queries)
        for figure in FIGURES:
            figures[f"{AUDIT}.{curve}.{figure}"] = (
                "its last layer is no Linear layer with an output per class"
                if hits is None
                else _estimate(evidence, hits, figure)
            )
    return figures


def _estimate(evidence: Evidence, hits: np.ndarray, figure: str) -> Estimate:
    """(draws, steps, queries) to one figure; the first step is before any tuning and left out."""
    counted = hits[:, -1] if figure == "last" else hits[:, 1:].mean(1)  # (draws, queries)
    shots = evidence.tuning.shots if evidence.tuning else 1
    # draws share images: only disjoint supports count as independent
    fewest = min(len(evidence.test_rows([c])) for c in evidence.forget)
    return averaged(counted, independent=fewest // shots)


def _series(evidence: Evidence, left_out: Mapping[str, str]) -> dict[str, JSON]:
    """Both curves, for the picture."""
    series: dict[str, JSON] = {}
    steps = evidence.tuning.steps if evidence.tuning else ()
    for curve in CURVES:
        if f"{AUDIT}.{curve}.mean" not in left_out:
            series[curve] = {
                "steps": list(steps),
                "candidate": _heights(evidence.candidate, curve),
                "original": _heights(evidence.original, curve),
                "retrained": [list(_heights(r, curve)) for r in evidence.references],
            }
    return {"curves": series}


def _heights(observation: Observation, curve: str) -> list[JSON]:
    # over draws and queries: (steps,)
    return rounded(np.nanmean(observation.relearned[curve], axis=(0, 2)))
