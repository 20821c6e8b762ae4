"""Can an attacker tell training members of the forgotten class from images never trained on?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from scipy import special

from audits import calibrated, comparison, gates
from audits.comparison import Models, rounded
from audits.errors import TooFewSamples
from audits.estimates import Estimate, images
from audits.evidence import Evidence, Shadow
from audits.finding import JSON, Finding
from audits.observation import Observation
from audits.statistics import (
    attained_fpr,
    auc,
    bootstrap_weights,
    least_others,
    placements,
    roc,
    tpr_at_fpr,
)

AUDIT = "membership"
SIGNALS = ("loss", "confidence", "entropy", "margin")
"""Attacks on a population: one threshold for all images."""
CALIBRATED = ("difficulty", "rmia", "lira")
"""Attacks that know each image's difficulty, from shadow models that were not trained on it."""
ATTACKS: Mapping[str, tuple[Callable[..., calibrated.Pair | str], int]] = MappingProxyType(
    {
        "difficulty": (calibrated.difficulty, 0),
        "rmia": (calibrated.rmia, 1),
        "lira": (calibrated.likelihood_ratio, 0),
    }
)
"""The same by name, and what each reads: log odds (0) or log chances (1), see `by_kind`."""
LEAST_SHADOWS = 8
LEAST_SHARE = 0.5
"""Share of the original's accuracy on its own training rows that a shadow must have reached."""
RATES = {0.01: "1_percent", 0.001: "0.1_percent"}
GRID = np.concatenate([[0.0], np.logspace(-3, 0, 31)])


def audit(evidence: Evidence, *, least: int = 10, replicates: int = 200) -> Finding:
    """Attack AUC of seven scores, members against held-out images *of the same class*.

    Never the forget class against other classes: that would detect the class, not membership.
    Two-sided by its margins, since an AUC below one half leaks as well. The same is measured on
    the retain classes, class by class, because an edit can make their leak worse.

    Four scores use the audited model alone. `difficulty`, `rmia` and `lira` hold each image against
    shadow models, some trained on it and some not; without shadows they are left out by name, and
    the finding's `limits` say so. Retrained models take no part: they never saw the class, and by
    them no attack is better than the plain loss. Shadows out of which the class was taken in the
    same way make `lira` U-LiRA.

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
    models = Models.of(evidence, attacked, least=least, replicates=replicates)
    attained = _attained(evidence)
    parameters |= {"attained": attained, "limits": list(_limits(evidence))}
    sizes = comparison.sizes(evidence, train=True)
    measurements, left_out = comparison.measure_all(
        evidence, models, _labels(attained), sizes=sizes
    )
    return comparison.conclude(
        AUDIT,
        evidence,
        measurements,
        parameters=parameters,
        left_out=left_out,
        series=_series(evidence),
    )


def _labels(attained: Mapping[str, JSON]) -> dict[str, str]:
    """What each figure is in words; of a worst case also the rate that it was measured at."""
    whose = {"forget": "the forgotten class", "retain": "the classes that stay"}
    labels = {
        f"membership.{part}.{signal}": f"Membership attack by {signal} on {words}: area under ROC"
        for part, words in whose.items()
        for signal in (*SIGNALS, *CALIBRATED)
    }
    for rate, word in RATES.items():
        for signal in ("loss", *CALIBRATED):
            name = _rate_name(word, signal)
            at = attained.get(name)
            labels[name] = (
                f"Members of the forgotten class found by {signal} at {rate:.1%} false alarms"
                + (f" (measured at {at:.2%})" if isinstance(at, float) else "")
            )
    return labels


def _limits(evidence: Evidence) -> Iterator[str]:
    """What this finding does not say, for the limits of the verdict."""
    reason = _without_shadows(evidence)
    if reason:
        yield (
            f"Membership was not tested by calibrated attacks ({', '.join(CALIBRATED)}): {reason}."
        )


def _without_shadows(evidence: Evidence) -> str:
    """Why no attack can be calibrated, with what to do; empty where one can."""
    count = len(evidence.shadows)
    if count < LEAST_SHADOWS:
        return (
            f"{count} shadow models were given and {LEAST_SHADOWS} are needed: set `shadows` in "
            "the policy"
        )
    unusable = [i for i, shadow in enumerate(evidence.shadows) if not _converged(evidence, shadow)]
    if unusable:
        return (
            f"shadow models {', '.join(map(str, unusable))} answer less than {LEAST_SHARE:.0%} as "
            "many of their own training rows of the other classes right as the original does, or "
            "not with numbers: they did not converge; train them longer or with other seeds"
        )
    return ""


def _converged(evidence: Evidence, shadow: Shadow) -> bool:
    """Whether a shadow learned the rows that it was trained on; of the classes that stay, as the
    forgotten ones may have been taken out of it."""
    if not (np.isfinite(shadow.train_logits).all() and np.isfinite(shadow.test_logits).all()):
        return False
    rows = shadow.train_inside & np.isin(evidence.train_labels, evidence.retain)  # (n_train,)
    if not rows.any():
        return False
    live = np.array(evidence.live)
    learned, expected = (
        float((live[logits[rows][:, live].argmax(1)] == evidence.train_labels[rows]).mean())
        for logits in (shadow.train_logits, evidence.original.train_logits)
    )
    return learned >= LEAST_SHARE * expected


Scored = dict[str, "tuple[np.ndarray, np.ndarray] | str"]
"""Attack -> scores of all training rows and of all test rows; or why there are none. Rows of
classes that the attack says nothing about are NaN."""


def calibrated_scores(evidence: Evidence, observation: Observation) -> Scored:
    """The calibrated scores of all rows, each class on its own held-out images."""
    reason = _without_shadows(evidence)
    if reason:
        return dict.fromkeys(CALIBRATED, reason)
    # log odds, then log chances; each of training rows, then of test rows
    own = evidence.of(true_class_scores, observation)
    shadows = [
        by_kind(log_odds(evidence, shadow.train_logits, shadow.test_logits))
        for shadow in evidence.shadows
    ]
    return {
        name: _by_class(evidence, attack, own[kind], [shadow[kind] for shadow in shadows])
        for name, (attack, kind) in ATTACKS.items()
    }


def _by_class(
    evidence: Evidence,
    attack: Callable[..., calibrated.Pair | str],
    own: calibrated.Pair,
    shadows: Sequence[calibrated.Pair],
) -> tuple[np.ndarray, np.ndarray] | str:
    rows = [
        np.full(len(labels), np.nan) for labels in (evidence.train_labels, evidence.test_labels)
    ]
    for c in evidence.live:
        inside, outside = _rows(evidence, c)
        if not len(inside) or len(outside) < 2:  # rmia splits the held-out rows into halves
            continue
        scored = attack(
            (own[0][inside], own[1][outside]),
            [(train[inside], test[outside]) for train, test in shadows],
            [(s.train_inside[inside], s.test_inside[outside]) for s in evidence.shadows],
        )
        if isinstance(scored, str):
            return scored
        rows[0][inside], rows[1][outside] = scored
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
            else:
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
) -> tuple[calibrated.Pair, calibrated.Pair]:
    """Log odds, then log probabilities, of the true class: of all training and all test rows."""
    return by_kind(log_odds(evidence, observation.train_logits, observation.test_logits))


def by_kind(odds: calibrated.Pair) -> tuple[calibrated.Pair, calibrated.Pair]:
    """Log odds and log chances; each (n_train,) and (n_test,)."""
    # log p = -log(1 + exp(-odds)), stable for both signs
    return odds, (-np.logaddexp(0.0, -odds[0]), -np.logaddexp(0.0, -odds[1]))


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
    figures |= _rates(evidence, "loss", inside["loss"], outside["loss"], replicates)
    scored = evidence.of(calibrated_scores, observation)
    return {**figures, **_areas(evidence, scored, least), **_tails(evidence, scored, replicates)}


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
    members, others, groups = _centred(evidence, inside, outside)
    # held-out rows are resampled within their class
    weights = bootstrap_weights(groups, replicates, evidence.rng("membership"))
    rates: dict[str, Estimate | str] = {}
    for rate, word in RATES.items():
        try:
            estimate: Estimate | str = tpr_at_fpr(members, others, rate, weights=weights)
        except TooFewSamples as few:
            estimate = str(few)
        rates[_rate_name(word, signal)] = estimate
    return rates


def _centred(
    evidence: Evidence, inside: np.ndarray, outside: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of members and of held-out rows about their class's held-out median; their classes."""
    pairs = [_rows(evidence, c) for c in evidence.forget]
    centres = [np.median(outside[others]) for _, others in pairs]
    # (f_train,), (f_test,)
    members = np.concatenate([inside[m] - c for (m, _), c in zip(pairs, centres, strict=True)])
    others = np.concatenate([outside[n] - c for (_, n), c in zip(pairs, centres, strict=True)])
    return members, others, np.repeat(np.arange(len(pairs)), [len(n) for _, n in pairs])


def _attained(evidence: Evidence) -> dict[str, JSON]:
    """False positive rate that each worst-case figure of the candidate was really measured at.

    A threshold lies between images, so that a rate of 1% of 150 images is one image in 150.
    """
    candidate = evidence.candidate
    plain = [
        scores(evidence, logits, labels)["loss"]
        for logits, labels in (
            (candidate.train_logits, evidence.train_labels),
            (candidate.test_logits, evidence.test_labels),
        )
    ]
    scored: Scored = {"loss": (plain[0], plain[1])}
    rates: dict[str, JSON] = {}
    for signal, both in (scored | evidence.of(calibrated_scores, candidate)).items():
        if isinstance(both, str):
            continue
        others = _centred(evidence, *both)[1]
        for rate, word in RATES.items():
            if len(others) >= least_others(rate):
                rates[_rate_name(word, signal)] = attained_fpr(others, rate)
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
