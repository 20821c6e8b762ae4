"""What can be expected before a candidate is looked at, stated in the plan.

No hours need be spent on a question that these samples cannot answer. Pure: no file, no clock.

First by sizes alone, before anything is trained: a bound that no result can meet is reported.
Then by the retrained models and the original, before the audits of the candidate run: how likely
one more retrained model is to come out within each margin, and the original outside of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from audits.finding import Finding
from compliance.documents.policy import Policy, Rule
from compliance.verdict.assurance import FAILED, PASSED
from compliance.verdict.blockers import BLIND, is_blind
from compliance.verdict.controls import Control, judge_control
from compliance.verdict.judged_row import WITHIN, JudgedRow
from compliance.verdict.judging import judge_rows

Json = dict[str, Any]
ENOUGH = 0.8
"""Chance of a verdict from which a plan is called able to reach one."""
SHARES = ("accuracy.forget*", "perturbation.forget_accuracy")
"""Measurements that are shares of the forgotten class's images, with exact intervals."""


def by_sizes(policy: Policy, sizes: Mapping[str, int]) -> list[str]:
    """What cannot be reached whatever comes out, in sentences; empty where nothing is.

    Args:
        policy: The rules.
        sizes: `forget_train` and `forget_test`: rows of the rarest class to forget.
    """
    return [gap for rule in policy.rules if rule.required for gap in _out_of_reach(rule, sizes)]


def _out_of_reach(rule: Rule, sizes: Mapping[str, int]) -> Iterator[str]:
    test, train = sizes.get("forget_test", 0), sizes.get("forget_train", 0)
    if test < 1:
        yield f"{rule.measurement}: there are no held-out images of the class: bring some."
    elif rule.at_most is not None and any(fnmatchcase(rule.measurement, g) for g in SHARES):
        bound = 1 - 0.025 ** (1 / test)  # Clopper-Pearson with no error at all
        if bound > rule.at_most:
            least = math.ceil(math.log(0.025) / math.log(1 - rule.at_most))
            yield (
                f"{rule.measurement}: with {test} held-out images and no error at all the interval "
                f"still reaches {bound:.3f}, the limit is {rule.at_most:g}: bring {least} images."
            )
    elif rule.measurement.startswith("membership.forget.") and rule.above and train:
        reach = 1.645 * math.sqrt((train + test + 1) / (12 * train * test))
        margin = min(rule.above, rule.below or rule.above)
        if reach > 2 * margin:  # pairing with the retrained models takes away half at best
            yield (
                f"{rule.measurement}: {train} members and {test} others leave an uncertainty of "
                f"{reach:.3f}, the margin is {margin:g}: bring more images, or pool classes."
            )


def expected(
    original: Sequence[Finding],
    references: Mapping[str, Sequence[Finding]],
    policy: Policy,
    *,
    out_of_reach: Sequence[str] = (),
) -> Json:
    """Chances of each row and of the whole, from retrained models and original alone.

    Args:
        original: Findings on the original in the candidate's place.
        references: Findings on each retrained model judged by the others, by name.
        policy: The rules.
        out_of_reach: What `by_sizes` found.
    Returns:
        `rows`: for each required measurement its margin, `acceptRetrained` (chance that one more
        retrained model comes out within), `detectOriginal` (that the original comes out outside)
        and whether it `decides`. `acceptAll`: the chance to come out within everywhere, rows taken
        for independent, which is cautious. `references`: how the retrained models came out, each
        judged by the others. `canReach`: whether a verdict can be expected. `told`: all of it in
        one sentence.
    """
    judged = [judge_control(name, findings, policy) for name, findings in references.items()]
    every = judge_rows(original, policy)
    rows = [row for row in every if row.rule and row.rule.required]
    blind = is_blind(every, policy)
    lines = [_row(row, judged) for row in rows]
    chances = [
        row["acceptRetrained"]
        for row in lines
        if row["decides"] and row["acceptRetrained"] is not None
    ]
    accept = math.prod(chances) if chances else None
    caught = judge_control("original", original, policy).result == FAILED
    outcomes = {name: sum(c.result == name for c in judged) for name in (PASSED, FAILED)}
    outcomes["INCONCLUSIVE"] = len(judged) - sum(outcomes.values())
    enough = 2 * outcomes[PASSED] >= len(judged)
    can = caught and not out_of_reach and not blind and enough
    return {
        "rows": lines,
        "acceptAll": accept,
        "originalCaught": caught,
        "references": outcomes,
        "outOfReach": list(out_of_reach),
        "canReach": can,
        "told": _sentence(lines, accept, caught, outcomes, out_of_reach, blind, can),
    }


def _row(row: JudgedRow, judged: Sequence[Control]) -> Json:
    """One required measurement: what the original says of it, and how retrained models fared."""
    fared = [other for c in judged for other in c.rows if other.name == row.name]
    accept = row.accept_retrained
    if accept is None and fared:
        accept = sum(other.outcome == WITHIN for other in fared) / len(fared)
    return {
        "measurement": row.name,
        "margin": row.to_json().get("margin"),
        "acceptRetrained": accept,
        "detectOriginal": row.detect_original,
        "decides": row.required,
        "reason": row.reason if not row.required or row.measurement is None else "",
    }


def _sentence(
    rows: Sequence[Json],
    accept: float | None,
    caught: bool,
    outcomes: Mapping[str, int],
    out_of_reach: Sequence[str],
    blind: bool,
    can: bool,
) -> str:
    count = sum(row["decides"] for row in rows)
    if out_of_reach:
        return f"No verdict can be reached: {' '.join(out_of_reach)}"
    if not caught:
        return (
            "No verdict can be reached: by these margins the original itself would not be failed. "
            "Bring more samples or references, or audit where the class is learned more deeply."
        )
    if blind:
        return f"No pass can be reached. {BLIND}"
    if not can:
        return (
            f"No pass can be reached: {outcomes[PASSED]} of {sum(outcomes.values())} retrained "
            "models pass when judged by the others, and half of them must. Bring more held-out "
            "images or references."
        )
    passed, all_of = outcomes[PASSED], sum(outcomes.values())
    others = f", {passed} of {all_of} retrained models pass by the others" if all_of else ""
    weak = [r for r in rows if r["decides"] and (r["acceptRetrained"] or 0.0) < ENOUGH]
    least = min(weak, key=lambda row: row["acceptRetrained"] or 0.0, default=None)
    weakest = (
        f" The weakest is {least['measurement']} ({least['acceptRetrained'] or 0.0:.2f})."
        if least
        else ""
    )
    chance = "not known" if accept is None else f"{accept:.2f} or more"
    return (
        f"{count} measurements decide; the chance that an honestly retrained model passes them all "
        f"is {chance}{others}; the original is failed.{weakest}"
    )
