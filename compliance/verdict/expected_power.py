"""What can be expected before a candidate is looked at, stated in the plan.

No hours need be spent on a question that these samples cannot answer. Pure: no file, no clock.

First by sizes alone, before anything is trained: a bound that no result can meet is reported.
Then by the retrained models and the original, before the audits of the candidate run: how likely
one more retrained model is to come out within each margin and within all of them, the original
outside; which rows will not decide, and how many images or retrained models they lack.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from audits.finding import Figure, Finding
from compliance.documents.policy import Policy, Rule
from compliance.verdict.assurance import FAILED, PASSED
from compliance.verdict.blockers import BLIND, is_blind
from compliance.verdict.controls import Control, judge_control
from compliance.verdict.judged_row import WITHIN, JudgedRow
from compliance.verdict.judging import BASELINES, bounds_of, judge_rows

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
    return [
        gap
        for rule in policy.rules
        if rule.required
        for gap in _out_of_reach(rule, sizes, policy.alpha)
    ]


def _out_of_reach(rule: Rule, sizes: Mapping[str, int], alpha: float) -> Iterator[str]:
    test, train = sizes.get("forget_test", 0), sizes.get("forget_train", 0)
    if test < 1:
        yield f"{rule.measurement}: there are no held-out images of the class: bring some."
    elif rule.at_most is not None and any(fnmatchcase(rule.measurement, g) for g in SHARES):
        bound = 1 - alpha ** (1 / test)  # Clopper-Pearson with no error at all, one-sided
        if bound > rule.at_most:
            least = math.ceil(math.log(alpha) / math.log(1 - rule.at_most))
            yield (
                f"{rule.measurement}: with {test} held-out images and no error at all the bound "
                f"still is {bound:.3f}, the limit is {rule.at_most:g}: bring {least} images."
            )
    elif rule.measurement.startswith("membership.forget.") and rule.above and train:
        reach = 1.645 * math.sqrt((train + test + 1) / (12 * train * test))
        margin = min(rule.above, rule.below or rule.above)
        if reach > 2 * margin:  # pairing with the retrained models takes away half at best
            yield (
                f"{rule.measurement}: {train} members and {test} others leave an uncertainty of "
                f"{reach:.3f}, the margin is {margin:g}: bring more images, or pool classes."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RowForecast:
    """What can be expected of one required measurement.

    Attributes:
        measurement: Its name.
        margin: As the statement holds it; None where there is none.
        accept: Chance that one more retrained model comes out within; None where nothing says.
        detect: Chance that a model that knows the class as the original does comes out outside.
        decides: Whether the verdict rests on it.
        reason: Why not, or what its outcome will be unable to say; empty where all is well.
        references: Retrained models in all with which its chance is .8; None where more of them
            alone do not lift it there, or where it needs none.
        images: The same of held-out images of the class.
    """

    measurement: str
    margin: Json | None
    accept: float | None
    detect: float | None
    decides: bool
    reason: str
    references: int | None = None
    images: int | None = None

    @property
    def weak(self) -> bool:
        """Whether an honest model may well be undecided here."""
        return self.decides and (self.accept or 0.0) < ENOUGH

    def to_json(self) -> Json:
        """The row as the plan holds it."""
        return {
            "measurement": self.measurement,
            "margin": self.margin,
            "acceptRetrained": self.accept,
            "detectOriginal": self.detect,
            "decides": self.decides,
            "reason": self.reason,
            "needed": {"references": self.references, "images": self.images},
        }

    def remedy(self) -> str:
        """What would lift it, in words; empty where nothing is lacking."""
        ways = []
        if self.references is not None:
            ways.append(f"{self.references} retrained models")
        if self.images is not None:
            ways.append(f"{self.images} held-out images of the class")
        if ways:
            return f"{self.measurement}: {' or '.join(ways)}"
        return f"{self.measurement}: more of both, images and retrained models"


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a plan can expect, before a candidate is looked at.

    Attributes:
        rows: Each required measurement.
        accept_all: Chance that an honestly retrained model comes out within in all that decide.
        original_caught: Whether the original comes out FAILED.
        references: How many retrained models came out how, each judged by the others.
        out_of_reach: What sizes alone rule out.
        can_reach: Whether a verdict can be expected.
        sentence: All of it in words.
    """

    rows: tuple[RowForecast, ...]
    accept_all: float | None
    original_caught: bool
    references: Mapping[str, int]
    out_of_reach: tuple[str, ...]
    can_reach: bool
    sentence: str

    def to_json(self) -> Json:
        """What the plan and the statement hold as `expectedPower`."""
        return {
            "rows": [row.to_json() for row in self.rows],
            "acceptAll": self.accept_all,
            "originalCaught": self.original_caught,
            "references": dict(self.references),
            "outOfReach": list(self.out_of_reach),
            "canReach": self.can_reach,
            "told": self.sentence,
        }


def expected(
    original: Sequence[Finding],
    references: Mapping[str, Sequence[Finding]],
    policy: Policy,
    *,
    out_of_reach: Sequence[str] = (),
) -> Forecast:
    """Chances of each row and of all together, from retrained models and original alone.

    Args:
        original: Findings on the original in the candidate's place.
        references: Findings on each retrained model judged by the others, by name.
        policy: The rules.
        out_of_reach: What `by_sizes` found.
    """
    judged = [judge_control(name, findings, policy) for name, findings in references.items()]
    every = judge_rows(original, policy)
    required = [row for row in every if row.rule and row.rule.required]
    rows = tuple(_row(row, judged, policy) for row in required)
    deciding = [row for row, line in zip(required, rows, strict=True) if line.decides]
    caught = judge_control("original", original, policy).result == FAILED
    outcomes = {name: sum(c.result == name for c in judged) for name in (PASSED, FAILED)}
    outcomes["INCONCLUSIVE"] = len(judged) - sum(outcomes.values())
    blind = is_blind(every, policy)
    enough = 2 * outcomes[PASSED] >= len(judged)
    can = caught and not out_of_reach and not blind and enough
    accept = _accept_all(deciding, judged, policy)
    return Forecast(
        rows=rows,
        accept_all=accept,
        original_caught=caught,
        references=outcomes,
        out_of_reach=tuple(out_of_reach),
        can_reach=can,
        sentence=_sentence(rows, accept, caught, outcomes, out_of_reach, blind, can),
    )


def _row(row: JudgedRow, judged: Sequence[Control], policy: Policy) -> RowForecast:
    """One required measurement: what the original says of it, and how retrained models fared."""
    accept, detect = row.accept_retrained, row.detect_original
    references = images = None
    figure = _honest(row, judged)
    if figure is not None and row.rule is not None:
        from audits import forecast, regions

        bounds = bounds_of(row.rule)
        allowed = regions.region(figure, bounds, alpha=policy.alpha)
        accept = None if allowed is None else regions.chance_within(figure, allowed)
        lacking = (accept or 0.0) < ENOUGH or (not row.required and row.measurement is not None)
        if lacking and allowed is not None and figure.budget is not None:
            needed = forecast.needed(figure, bounds, alpha=policy.alpha)
            references = needed.references
            count = figure.sizes.get("forget_test") or figure.sizes.get("forget_perturbed")
            images = math.ceil(needed.images * count) if needed.images and count else None
    elif accept is None:
        accept = _fared([row], judged)
    return RowForecast(
        measurement=row.name,
        margin=row.to_json().get("margin"),
        accept=accept,
        detect=detect,
        decides=row.required,
        reason=row.reason if not row.required or row.measurement is None else "",
        references=references,
        images=images,
    )


def _honest(row: JudgedRow, judged: Sequence[Control]) -> Figure | None:
    """The row's figure with a retrained model's errors; None where its null shows no spread."""
    from audits import forecast

    if row.measurement is None or row.margins is None or len(row.measurement.null) < 2:
        return None
    if row.measurement.against not in BASELINES:
        return None
    others = [
        other.measurement
        for control in judged
        for other in control.rows
        if other.name == row.name and other.measurement is not None
    ]
    return forecast.honest(row.measurement, others)


def _fared(rows: Sequence[JudgedRow], judged: Sequence[Control]) -> float | None:
    """Share of the retrained models that came out within in all of these rows; None without any."""
    names = {row.name for row in rows}
    fared = [
        all(other.outcome == WITHIN for other in control.rows if other.name in names)
        for control in judged
        if any(other.name in names for other in control.rows)
    ]
    return sum(fared) / len(fared) if fared else None


def _accept_all(
    deciding: Sequence[JudgedRow], judged: Sequence[Control], policy: Policy
) -> float | None:
    """Chance of all rows at once: those with a null together, the others as the models fared."""
    from audits import forecast, regions

    rows: list[tuple[Sequence[float], regions.Region]] = []
    others: list[JudgedRow] = []
    for row in deciding:
        figure = _honest(row, judged)
        allowed = (
            regions.region(figure, bounds_of(row.rule), alpha=policy.alpha)
            if figure is not None and row.rule is not None
            else None
        )
        if figure is None or allowed is None:
            others.append(row)
        else:
            rows.append((figure.null, allowed))
    widest = max((len(null) for null, _ in rows), default=0)
    if any(len(null) != widest for null, _ in rows):
        return None  # figures of different nulls: nothing says how they hang together
    fared = _fared(others, judged) if others else 1.0
    if not deciding or fared is None:
        return None
    return forecast.joint_chance(rows, seed=0) * fared


def _sentence(
    rows: Sequence[RowForecast],
    accept: float | None,
    caught: bool,
    outcomes: Mapping[str, int],
    out_of_reach: Sequence[str],
    blind: bool,
    can: bool,
) -> str:
    if out_of_reach:
        return f"No verdict can be reached: {' '.join(out_of_reach)}"
    remedies = _remedies(rows)
    if not caught:
        return (
            "No verdict can be reached: by these margins the original itself would not be failed. "
            "Bring more samples or references, or audit where the class is learned more deeply."
            f"{remedies}"
        )
    if blind:
        return f"No pass can be reached. {BLIND}{remedies}"
    if not can:
        return (
            f"No pass can be reached: {outcomes[PASSED]} of {sum(outcomes.values())} retrained "
            "models pass when judged by the others, and half of them must. Bring more held-out "
            f"images or references.{remedies}"
        )
    passed, all_of = outcomes[PASSED], sum(outcomes.values())
    others = f", {passed} of {all_of} retrained models pass by the others" if all_of else ""
    chance = "not known" if accept is None else f"{accept:.2f}"
    count = sum(row.decides for row in rows)
    return (
        f"{count} measurements decide; the chance that an honestly retrained model passes them all "
        f"is {chance}{others}; the original is failed.{remedies}"
    )


def _remedies(rows: Sequence[RowForecast]) -> str:
    """Which rows will not decide, which may not, and what each needs."""
    weak = sorted((row for row in rows if row.weak), key=lambda row: row.accept or 0.0)
    text = ""
    if weak:
        text += (
            f" The weakest is {weak[0].measurement} ({weak[0].accept or 0.0:.2f}). A chance of "
            f"{ENOUGH:g} takes, each by itself, for {'; for '.join(r.remedy() for r in weak[:3])}."
        )
    idle = [row.measurement for row in rows if not row.decides]
    if idle:
        text += f" These will not decide: {', '.join(idle)}."
    return text
