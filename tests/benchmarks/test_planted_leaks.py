"""A planted leak is seen by default-v4, by a reader that is meant to; the clean model is not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from audits.membership import log_odds
from benchmarks.statistics import leaks, report
from compliance.verdict import JudgedRow
from compliance.verdict.judged_row import OUTSIDE


def outside(rows: Sequence[JudgedRow]) -> set[str]:
    return {row.name for row in rows if row.outcome == OUTSIDE}


def test_membership_is_seen_by_whoever_knows_how_hard_an_image_is() -> None:
    draws = [leaks.draw(leaks.of_scores(world), leaks.OF_SCORES) for world in range(2)]
    for draw in draws:
        assert "membership.forget.lira" in outside(draw.leaking)
        assert leaks.failed(draw.leaking)
        assert not leaks.failed(draw.honest)
        assert outside(draw.honest) == set()
    outcome = leaks.outcome_of(leaks.MEMBERS_OF, draws)
    assert (outcome.draws, outcome.failed, outcome.held_up, outcome.false_alarms) == (2, 2, 2, 0)
    assert outcome.readers[0].outside == 2
    assert f"| {leaks.MEMBERS_OF} | 2 | 1.00 (0.16 to 1.00) |" in report.markdown(
        [], [], [], [outcome], 1000
    )


def test_what_is_planted_in_scores_is_an_area_of_seventy_to_whoever_knows_the_image() -> None:
    """Two scores of one image that differ by the rise, each with noise of its own: .70."""
    areas = []
    for world in range(3):
        evidence = leaks.of_scores(world).leaking
        own, clean = (
            log_odds(evidence, model.train_logits, model.test_logits)[0]
            for model in (evidence.candidate, evidence.references[0])
        )
        rows = evidence.train_rows(evidence.forget)
        areas.append(np.mean(own[rows] > clean[rows]))
    assert np.mean(areas) == pytest.approx(0.70, abs=0.03)


@pytest.mark.slow
def test_leaks_that_small_networks_hide_are_seen_and_the_clean_one_is_not() -> None:
    nonlinear = {f"{name}.dprime@penultimate" for name in ("second_moments", "mlp_probe")}
    readers = {
        leaks.SIGNS: nonlinear,
        leaks.EXCLUSIVE: nonlinear,
        leaks.PART: {"remainder.few_labels"},
    }
    for leak, planted in leaks.of_networks(0).items():
        draw = leaks.draw(planted, leaks.OF_NETWORKS)
        assert readers[leak] & outside(draw.leaking), leak
        assert leaks.failed(draw.leaking)
        assert outside(draw.honest) == set()
        # what the answers show is what they show of every model that never saw the class
        assert not {name for name in outside(draw.leaking) if name.startswith("accuracy.")}
