"""Can an attacker tell training members of the forgotten class from images never trained on?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import special

from audits import calibrated, comparison, gates
from audits.comparison import Measured, Models, rounded
from audits.errors import TooFewSamples
from audits.estimates import Estimate, images
from audits.evidence import Evidence
from audits.finding import JSON, Finding
from audits.observation import Observation
from audits.statistics import auc, bootstrap_weights, placements, roc, tpr_at_fpr

AUDIT = "membership"
SIGNALS = ("loss", "confidence", "entropy", "margin")
"""Attacks on a population: one threshold for all images."""
CALIBRATED = ("difficulty", "rmia", "lira")
"""Attacks that know each image's difficulty, from models that never saw it or from shadows."""
LEAST_SHADOWS = 8
RATES = {0.01: "1_percent", 0.001: "0.1_percent"}
GRID = np.concatenate([[0.0], np.logspace(-3, 0, 31)])


def audit(evidence: Evidence, *, least: int = 10, replicates: int = 200) -> Finding:
    """Attack AUC of seven scores, members against held-out images *of the same class*.

    Never the forget class against other classes: that would detect the class, not membership.
    Two-sided by its margins, since an AUC below one half leaks as well. The same is measured on
    the retain classes, class by class, because an edit can make their leak worse.

    Four scores use the audited model alone. `difficulty` and `rmia` hold each image against the
    retrained models, which never saw an image of a forgotten class; on the retain classes, which
    they have seen, they do not run. `lira` holds it against shadow models, where there are some;
    shadows out of which the class was taken in the same way make it U-LiRA.

    Args:
        least: Members and non-members that a class needs.
        replicates: Bootstraps of the threshold where TPR at a fixed FPR is measured.
    """
    parameters: dict[str, JSON] = {
        "least": least,
        "replicates": replicates,
        "logits": "unretired",
        "rmia": {"gamma": calibrated.GAMMA, "a": calibrated.OFFLINE},
        "shadows": {"count": len(evidence.shadows), "kind": calibrated.kind(evidence.shadows)},
    }
    obstacle = gates.obstacle(AUDIT, evidence, forget_train=least, forget_test=least)
    if obstacle:
        return gates.not_run(AUDIT, evidence, obstacle, parameters)
    models = _attacks(evidence, least=least, replicates=replicates)
    sizes = comparison.sizes(evidence, train=True)
    measurements, left_out = comparison.measure_all(evidence, models, _labels(), sizes=sizes)
    return comparison.conclude(
        AUDIT,
        evidence,
        measurements,
        parameters=parameters,
        left_out=left_out,
        series=_series(evidence),
    )


def _labels() -> dict[str, str]:
    whose = {"forget": "the forgotten class", "retain": "the classes that stay"}
    labels = {
        f"membership.{part}.{signal}": f"Membership attack by {signal} on {words}: area under ROC"
        for part, words in whose.items()
        for signal in (*SIGNALS, *CALIBRATED)
        if part == "forget" or signal not in ("difficulty", "rmia")
    }
    for rate, word in RATES.items():
        for signal in ("loss", *CALIBRATED):
            labels[f"membership.tpr_at_{word}.forget.{signal}"] = (
                f"Members of the forgotten class found by {signal} at {rate:.1%} false alarms"
            )
    return labels


def _attacks(evidence: Evidence, *, least: int, replicates: int) -> Models:
    """All attacks on every model; a reference is calibrated by the others."""
    alone = Models.of(evidence, attacked, least=least, replicates=replicates)
    references = evidence.references

    def all_of(
        observation: Observation, population: Measured, others: Sequence[Observation]
    ) -> Measured:
        # a key of the memo: hashable, unlike observations
        digests = tuple(other.digest for other in others)
        more = evidence.of(
            calibrated_attacks, observation, digests=digests, least=least, replicates=replicates
        )
        return {**population, **more}

    return Models(
        candidate=all_of(evidence.candidate, alone.candidate, references),
        original=all_of(evidence.original, alone.original, references),
        references=tuple(
            all_of(observation, alone.references[i], references[:i] + references[i + 1 :])
            for i, observation in enumerate(references)
        ),
    )


def calibrated_attacks(
    evidence: Evidence,
    observation: Observation,
    *,
    digests: Sequence[str],
    least: int,
    replicates: int,
) -> dict[str, Estimate | str]:
    """The calibrated attacks on one model, by the references of these digests."""
    others = [reference for reference in evidence.references if reference.digest in digests]
    scored = _calibrated(evidence, observation, others)
    return {**_areas(evidence, scored, least), **_tails(evidence, scored, replicates)}


Scored = dict[str, "tuple[np.ndarray, np.ndarray] | str"]
"""Attack -> scores of all training rows and of all test rows; or why there are none. Rows of
classes that the attack says nothing about are NaN."""


def _calibrated(
    evidence: Evidence, observation: Observation, others: Sequence[Observation]
) -> Scored:
    scored: Scored = {"lira": _by_shadows(evidence, observation)}
    if len(others) < 2:  # a reference is calibrated by the others, so three are needed in all
        reason = f"{len(others)} other retrained models tell no difficulty: train at least 3"
        return scored | {"difficulty": reason, "rmia": reason}
    # own[0] log odds, own[1] log chances; of training rows, then of test rows
    own, other_scores = (
        evidence.of(true_class_scores, observation),
        [evidence.of(true_class_scores, other) for other in others],
    )
    scored["difficulty"] = (
        calibrated.difficulty(own[0][0], [other[0][0] for other in other_scores]),
        calibrated.difficulty(own[0][1], [other[0][1] for other in other_scores]),
    )
    rows = [
        np.full(len(labels), np.nan) for labels in (evidence.train_labels, evidence.test_labels)
    ]
    for c in evidence.forget:
        inside, outside = _rows(evidence, c)
        scores = calibrated.rmia(
            (own[1][0][inside], own[1][1][outside]),
            [(other[1][0][inside], other[1][1][outside]) for other in other_scores],
        )
        rows[0][inside], rows[1][outside] = scores
    return scored | {"rmia": (rows[0], rows[1])}


def _by_shadows(
    evidence: Evidence, observation: Observation
) -> tuple[np.ndarray, np.ndarray] | str:
    """LiRA's scores of all rows, each class aligned on its own held-out images."""
    if len(evidence.shadows) < LEAST_SHADOWS:
        return (
            f"{len(evidence.shadows)} shadow models were given and {LEAST_SHADOWS} are needed: set "
            "`shadows` in the policy"
        )
    own = evidence.of(true_class_scores, observation)[0]
    shadows = [
        log_odds(evidence, shadow.train_logits, shadow.test_logits) for shadow in evidence.shadows
    ]
    rows = [
        np.full(len(labels), np.nan) for labels in (evidence.train_labels, evidence.test_labels)
    ]
    for c in evidence.live:
        inside, outside = _rows(evidence, c)
        if not (len(inside) and len(outside)):
            continue
        scores = calibrated.likelihood_ratio(
            (own[0][inside], own[1][outside]),
            [(train[inside], test[outside]) for train, test in shadows],
            [(s.train_inside[inside], s.test_inside[outside]) for s in evidence.shadows],
        )
        if isinstance(scores, str):
            return scores
        rows[0][inside], rows[1][outside] = scores
    return rows[0], rows[1]


def _areas(evidence: Evidence, scored: Scored, least: int) -> dict[str, Estimate | str]:
    areas: dict[str, Estimate | str] = {}
    for signal, attack_scores in scored.items():
        for part, classes in (("forget", evidence.forget), ("retain", evidence.retain)):
            pairs = [_rows(evidence, c) for c in classes]
            usable = [pair for pair in pairs if min(map(len, pair)) >= least]
            if isinstance(attack_scores, str):
                areas[f"membership.{part}.{signal}"] = attack_scores
            elif not usable:
                areas[f"membership.{part}.{signal}"] = _few_rows(least)
            elif part == "forget" or signal == "lira":
                areas[f"membership.{part}.{signal}"] = _averaged(
                    [(attack_scores[0][m], attack_scores[1][n]) for m, n in usable]
                )
    return areas


def _tails(evidence: Evidence, scored: Scored, replicates: int) -> dict[str, Estimate | str]:
    rates: dict[str, Estimate | str] = {}
    for signal, attack_scores in scored.items():
        rates |= (
            {_rate_name(word, signal): attack_scores for word in RATES.values()}
            if isinstance(attack_scores, str)
            else _rates(evidence, signal, attack_scores[0], attack_scores[1], replicates)
        )
    return rates


def true_class_scores(
    evidence: Evidence, observation: Observation
) -> tuple[tuple[np.ndarray, ...], ...]:
    """Log odds, then log probabilities, of the true class: of all training and all test rows."""
    # (n_train,), (n_test,)
    odds = log_odds(evidence, observation.train_logits, observation.test_logits)
    # log p = -log(1 + exp(-odds)), stable for both signs
    return odds, tuple(-np.logaddexp(0.0, -values) for values in odds)


def log_odds(
    evidence: Evidence, train_logits: np.ndarray, test_logits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """log p / (1 - p) of the true class, (n_train,) and (n_test,)."""
    return (
        scores(evidence, train_logits, evidence.train_labels)["loss"],
        scores(evidence, test_logits, evidence.test_labels)["loss"],
    )


def scores(evidence: Evidence, logits: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Attack scores of rows, higher where a model seems to know them; each (n,).

    Computed from logit differences, so that neither sure predictions nor an output pushed down to
    -1e9 saturate to equal numbers.

    Args:
        logits: (n, C), before any output is retired.
        labels: (n,), true classes.
    """
    live = np.array(evidence.live)  # (L,)
    kept, own = logits[:, live], np.searchsorted(live, labels)  # (n, L), (n,)
    chosen = np.take_along_axis(kept, own[:, None], 1)[:, 0]  # (n,), logit of the true class
    others = kept.copy()
    # logsumexp and max then run over the other classes
    np.put_along_axis(others, own[:, None], -np.inf, 1)
    ordered = np.sort(kept, axis=1)
    logs = special.log_softmax(kept, axis=1)
    return {
        "loss": chosen - special.logsumexp(others, axis=1),
        "confidence": ordered[:, -1] - special.logsumexp(ordered[:, :-1], axis=1),
        "entropy": (np.exp(logs) * logs).sum(1),  # negative entropy, so that higher is surer
        "margin": chosen - others.max(1),
    }


def attacked(
    evidence: Evidence, observation: Observation, *, least: int, replicates: int
) -> dict[str, Estimate | str]:
    """All attacks on one model."""
    inside = scores(evidence, observation.train_logits, evidence.train_labels)  # (n_train,) each
    outside = scores(evidence, observation.test_logits, evidence.test_labels)
    figures: dict[str, Estimate | str] = {}
    for part, classes in (("forget", evidence.forget), ("retain", evidence.retain)):
        pairs = [_rows(evidence, c) for c in classes]
        usable = [pair for pair in pairs if min(map(len, pair)) >= least]
        for signal in SIGNALS:
            figures[f"membership.{part}.{signal}"] = (
                _averaged([(inside[signal][m], outside[signal][n]) for m, n in usable])
                if usable
                else _few_rows(least)
            )
    return figures | _rates(evidence, "loss", inside["loss"], outside["loss"], replicates)


def _few_rows(least: int) -> str:
    return f"no class has {least} members and {least} held-out rows: give more rows"


def _rate_name(word: str, signal: str) -> str:
    return f"membership.tpr_at_{word}.forget.{signal}"


def _rows(evidence: Evidence, c: int) -> tuple[np.ndarray, np.ndarray]:
    return evidence.train_rows([c]), evidence.test_rows([c])


def _averaged(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> Estimate:
    """Mean over classes of the AUC, members against non-members of one class at a time."""
    if len(pairs) == 1:
        return auc(*pairs[0])
    # class by class: across classes an attack would only detect the class
    placed = [placements(members, others) for members, others in pairs]
    share = 1 / len(placed)  # classes count alike, whatever their size
    return Estimate(
        value=float(np.mean([above.mean() for above, _ in placed])),
        parts=tuple(
            images(values, bounded=True).scaled(share) for pair in placed for values in pair
        ),
        bounds=(0.0, 1.0),
    )


def _rates(
    evidence: Evidence, signal: str, inside: np.ndarray, outside: np.ndarray, replicates: int
) -> dict[str, Estimate | str]:
    """TPR at low FPR on the forget classes, each centred on its own held-out rows' median."""
    pairs = [_rows(evidence, c) for c in evidence.forget]
    centres = [np.median(outside[others]) for _, others in pairs]
    # (f_train,)
    members = np.concatenate([inside[m] - c for (m, _), c in zip(pairs, centres, strict=True)])
    # (f_test,)
    others = np.concatenate([outside[n] - c for (_, n), c in zip(pairs, centres, strict=True)])
    # held-out rows are resampled within their class
    groups = np.repeat(np.arange(len(pairs)), [len(n) for _, n in pairs])
    weights = bootstrap_weights(groups, replicates, evidence.rng("membership"))
    rates: dict[str, Estimate | str] = {}
    for rate, word in RATES.items():
        try:
            estimate: Estimate | str = tpr_at_fpr(members, others, rate, weights=weights)
        except TooFewSamples as few:
            estimate = str(few)
        rates[_rate_name(word, signal)] = estimate
    return rates


def curve(evidence: Evidence, observation: Observation) -> np.ndarray:
    """ROC of the loss attack on the forget classes at the false positive rates of `GRID`."""
    inside = scores(evidence, observation.train_logits, evidence.train_labels)["loss"]
    outside = scores(evidence, observation.test_logits, evidence.test_labels)["loss"]
    curves = []
    for c in evidence.forget:
        members, others = _rows(evidence, c)
        # a step function: read off the last point at or below each rate
        fpr, tpr = roc(inside[members], outside[others])
        curves.append(tpr[np.searchsorted(fpr, GRID, side="right") - 1])
    mean: np.ndarray = np.mean(curves, axis=0)
    return mean


def _series(evidence: Evidence) -> dict[str, JSON]:
    """ROC points for the picture; false positive rates from 0.1% on suit a log axis."""
    null = [evidence.of(curve, reference) for reference in evidence.references]
    columns: dict[str, JSON] = {
        "signal": "loss",
        "fpr": [round(float(x), 6) for x in GRID],
        "candidate": rounded(evidence.of(curve, evidence.candidate)),
        "original": rounded(evidence.of(curve, evidence.original)),
    }
    return {"roc": columns | comparison.band(null)}
