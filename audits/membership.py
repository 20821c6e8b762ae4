"""Can an attacker tell training members of the forgotten class from images never trained on?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import special

from audits import gates, measuring
from audits.errors import TooFewSamples
from audits.estimates import Estimate, images
from audits.evidence import Evidence
from audits.finding import JSON, Finding, not_run
from audits.measuring import Models, rounded
from audits.observation import Observation
from audits.statistics import auc, bootstrap_weights, placements, roc, tpr_at_fpr

AUDIT = "membership"
QUESTION = (
    "Can an attacker tell training members of the forgotten class from images never trained on?"
)
SIGNALS = ("loss", "confidence", "entropy", "margin")
RATES = {0.01: "1_percent", 0.001: "0.1_percent"}
GRID = np.concatenate([[0.0], np.logspace(-3, 0, 31)])


def audit(evidence: Evidence, *, least: int = 10, replicates: int = 200) -> Finding:
    """Attack AUC of four scores, members against held-out images *of the same class*.

    Never the forget class against other classes: that would detect the class, not membership.
    Two-sided by its margins, since an AUC below one half leaks as well. The same is measured on
    the retain classes, class by class, because an edit can make their leak worse.

    Args:
        least: Members and non-members that a class needs.
        replicates: Bootstraps of the threshold where TPR at a fixed FPR is measured.
    """
    parameters: dict[str, JSON] = {"least": least, "replicates": replicates, "logits": "unretired"}
    obstacle = gates.obstacle(evidence, forget_train=least, forget_test=least)
    if obstacle:
        return not_run(AUDIT, QUESTION, obstacle, seed=evidence.seed, parameters=parameters)
    models = Models.of(evidence, attacked, least=least, replicates=replicates)
    sizes = measuring.sizes(evidence, train=True)
    made, left_out = measuring.measure_all(evidence, models, _labels(), sizes=sizes)
    return measuring.conclude(
        AUDIT,
        QUESTION,
        evidence,
        made,
        parameters=parameters,
        left_out=left_out,
        series=_series(evidence),
    )


def _labels() -> dict[str, str]:
    whose = {"forget": "the forgotten class", "retain": "the classes that stay"}
    found = {
        f"membership.{part}.{signal}": f"Membership attack by {signal} on {words}: area under ROC"
        for part, words in whose.items()
        for signal in SIGNALS
    }
    for rate, word in RATES.items():
        found[f"membership.tpr_at_{word}.forget.loss"] = (
            f"Members of the forgotten class found by loss at {rate:.1%} false alarms"
        )
    return found


def scores(evidence: Evidence, logits: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Attack scores of rows, higher where a model seems to know them; each (n,).

    Computed from logit differences, so that neither sure predictions nor an output pushed down to
    -1e9 saturate to equal numbers.

    Args:
        logits: (n, C), before any output is retired.
        labels: (n,), true classes.
    """
    live = np.array(evidence.live)
    kept, own = logits[:, live], np.searchsorted(live, labels)
    chosen = np.take_along_axis(kept, own[:, None], 1)[:, 0]
    others = kept.copy()
    np.put_along_axis(others, own[:, None], -np.inf, 1)
    ordered = np.sort(kept, axis=1)
    logs = special.log_softmax(kept, axis=1)
    return {
        "loss": chosen - special.logsumexp(others, axis=1),
        "confidence": ordered[:, -1] - special.logsumexp(ordered[:, :-1], axis=1),
        "entropy": (np.exp(logs) * logs).sum(1),
        "margin": chosen - others.max(1),
    }


def attacked(
    evidence: Evidence, seen: Observation, *, least: int, replicates: int
) -> dict[str, Estimate | str]:
    """All attacks on one model."""
    inside = scores(evidence, seen.train_logits, evidence.train_labels)
    outside = scores(evidence, seen.test_logits, evidence.test_labels)
    found: dict[str, Estimate | str] = {}
    for part, classes in (("forget", evidence.forget), ("retain", evidence.retain)):
        pairs = [_rows(evidence, c) for c in classes]
        usable = [pair for pair in pairs if min(map(len, pair)) >= least]
        for signal in SIGNALS:
            found[f"membership.{part}.{signal}"] = (
                _averaged([(inside[signal][m], outside[signal][n]) for m, n in usable])
                if usable
                else f"no class has {least} members and {least} held-out rows: give more rows"
            )
    return found | _rates(evidence, inside["loss"], outside["loss"], replicates)


def _rows(evidence: Evidence, c: int) -> tuple[np.ndarray, np.ndarray]:
    return evidence.train_rows([c]), evidence.test_rows([c])


def _averaged(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> Estimate:
    """Mean over classes of the AUC, members against non-members of one class at a time."""
    if len(pairs) == 1:
        return auc(*pairs[0])
    placed = [placements(members, others) for members, others in pairs]
    share = 1 / len(placed)
    return Estimate(
        value=float(np.mean([above.mean() for above, _ in placed])),
        parts=tuple(
            images(values, bounded=True).scaled(share) for pair in placed for values in pair
        ),
        bounds=(0.0, 1.0),
    )


def _rates(
    evidence: Evidence, inside: np.ndarray, outside: np.ndarray, replicates: int
) -> dict[str, Estimate | str]:
    """TPR at low FPR on the forget classes, each centred on its own held-out rows' median."""
    pairs = [_rows(evidence, c) for c in evidence.forget]
    centres = [np.median(outside[others]) for _, others in pairs]
    members = np.concatenate([inside[m] - c for (m, _), c in zip(pairs, centres, strict=True)])
    others = np.concatenate([outside[n] - c for (_, n), c in zip(pairs, centres, strict=True)])
    groups = np.repeat(np.arange(len(pairs)), [len(n) for _, n in pairs])
    weights = bootstrap_weights(groups, replicates, evidence.rng("membership"))
    found: dict[str, Estimate | str] = {}
    for rate, word in RATES.items():
        try:
            estimate: Estimate | str = tpr_at_fpr(members, others, rate, weights=weights)
        except TooFewSamples as few:
            estimate = str(few)
        found[f"membership.tpr_at_{word}.forget.loss"] = estimate
    return found


def curve(evidence: Evidence, seen: Observation) -> np.ndarray:
    """ROC of the loss attack on the forget classes at the false positive rates of `GRID`."""
    inside = scores(evidence, seen.train_logits, evidence.train_labels)["loss"]
    outside = scores(evidence, seen.test_logits, evidence.test_labels)["loss"]
    curves = []
    for c in evidence.forget:
        members, others = _rows(evidence, c)
        fpr, tpr = roc(inside[members], outside[others])
        curves.append(tpr[np.searchsorted(fpr, GRID, side="right") - 1])
    mean: np.ndarray = np.mean(curves, axis=0)
    return mean


def _series(evidence: Evidence) -> dict[str, JSON]:
    """ROC points for the picture; false positive rates from 0.1% on suit a log axis."""
    null = [evidence.of(curve, reference) for reference in evidence.references]
    return {
        "roc": {
            "signal": "loss",
            "fpr": [round(float(x), 6) for x in GRID],
            "candidate": rounded(evidence.of(curve, evidence.candidate)),
            "original": rounded(evidence.of(curve, evidence.original)),
            "retrained": rounded(np.mean(null, axis=0)),
            "retrained_low": rounded(np.min(null, axis=0)),
            "retrained_high": rounded(np.max(null, axis=0)),
        }
    }
