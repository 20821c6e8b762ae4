"""Within which shares a model passes under a qualification, set on a study's classes alone.

Three answers: within the thresholds it passes; above what any honest model of the study kept it
fails; between, and below what was studied, nothing is decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PASSED, FAILED, INCONCLUSIVE = "PASSED", "FAILED", "INCONCLUSIVE"
"""As verdicts are called; here they are answers without retrained models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One model of a study.

    Attributes:
        kept: Its share, see `kept`.
        result: What it came out against retrained models: "PASSED", "FAILED" or "INCONCLUSIVE".
        rules: What it came out by the rules that need none.
    """

    kept: float
    result: str
    rules: str = PASSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Shares of the original.

    Attributes:
        least: Below it more is lost than any honest model of the study had lost.
        most: Up to it a model passes.
        fails: Above it a model fails.
    """

    least: float
    most: float
    fails: float

    def answer(self, kept: float) -> str:
        """What a share means.

        >>> thresholds = Thresholds(least=0.3, most=0.6, fails=0.8)
        >>> [thresholds.answer(kept) for kept in (0.2, 0.3, 0.6, 0.7, 0.81)]
        ['INCONCLUSIVE', 'PASSED', 'PASSED', 'INCONCLUSIVE', 'FAILED']
        """
        if kept > self.fails:
            return FAILED
        return PASSED if self.least <= kept <= self.most else INCONCLUSIVE

    def of_model(self, score: Score) -> str:
        """What a model comes out without retrained models: by its share, and by the rules.

        >>> thresholds = Thresholds(least=0.3, most=0.6, fails=0.8)
        >>> thresholds.of_model(Score(kept=0.5, result="PASSED", rules="INCONCLUSIVE"))
        'INCONCLUSIVE'
        """
        answers = (self.answer(score.kept), score.rules)
        if FAILED in answers:
            return FAILED
        return PASSED if answers == (PASSED, PASSED) else INCONCLUSIVE


def of(scores: Sequence[Score]) -> Thresholds | None:
    """The thresholds that scores with known results support; None where they support none.

    Let f be the lowest share among those that failed and lie above the middle of those that passed,
    b the highest among those that passed below f. A model passes up to (b + f) / 2: half of the
    distance to the nearest that failed is kept as a reserve. It fails above whatever passed. The
    lower end has the same reserve to those that failed because too much was lost; where there are
    none, half of the width of what passed. What fails by the rules alone, as a random edit does,
    says nothing of how much may be lost.

    >>> honest = [Score(kept=k, result="PASSED") for k in (0.4, 0.5)]
    >>> limits = of([*honest, Score(kept=0.9, result="FAILED")])
    >>> round(limits.least, 9), limits.most, limits.fails
    (0.35, 0.7, 0.7)
    """
    passed = sorted(score.kept for score in scores if score.result == PASSED)
    failed = sorted(score.kept for score in scores if score.result == FAILED)
    by_share = sorted(s.kept for s in scores if s.result == FAILED != s.rules)
    if not passed:
        return None
    middle = passed[len(passed) // 2]
    above = [kept for kept in failed if kept > middle]
    below = [kept for kept in by_share if kept <= middle]
    if not above:
        return None
    inside = [kept for kept in passed if kept < above[0] and (not below or kept > below[-1])]
    if not inside:
        return None
    most = (inside[-1] + above[0]) / 2
    least = (inside[0] + below[-1]) / 2 if below else inside[0] - (inside[-1] - inside[0]) / 2
    return Thresholds(least=least, most=most, fails=max(most, passed[-1]))
