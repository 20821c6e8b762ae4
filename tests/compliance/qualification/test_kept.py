"""What is kept of a class, from five readers on two models."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audits.finding import Figure, Finding
from compliance.formats.errors import FindingsError
from compliance.qualification import kept

POSITIVE = st.floats(0.01, 10)


def finding(**values: tuple[float, float | None]) -> list[Finding]:
    figures = dict.fromkeys(kept.READERS, (0.5, 1.0)) | {
        name.replace("__", ".").replace("_at_", "@"): pair for name, pair in values.items()
    }
    measured = tuple(
        Figure(name=name, label=name, value=value, interval=(value, value), original=original)
        for name, (value, original) in figures.items()
    )
    return [
        Finding(audit="any", question="?", status="RUN", measurements=measured),
    ]


def test_the_original_keeps_all_and_half_of_each_reader_is_a_half() -> None:
    whole = dict.fromkeys(kept.READERS, (1.5, 1.5))
    assert kept.of_figures(whole) == 1.0
    assert kept.share(finding()) == 0.5


@given(st.lists(st.tuples(POSITIVE, POSITIVE), min_size=5, max_size=5))
def test_the_share_lies_between_the_readers_own(pairs: list[tuple[float, float]]) -> None:
    share = kept.of_figures(dict(zip(kept.READERS, pairs, strict=True)))
    ratios = [min(3.0, max(-1.0, value / original)) for value, original in pairs]
    assert min(ratios) - 1e-9 <= share <= max(ratios) + 1e-9


def test_a_reader_that_is_missing_is_said_and_never_left_out() -> None:
    for name in kept.READERS:
        figures = {other: (0.5, 1.0) for other in kept.READERS if other != name}
        with pytest.raises(FindingsError, match=name.split("@")[0]):
            kept.of_figures(figures)


def test_a_class_that_the_original_does_not_know_has_no_share() -> None:
    with pytest.raises(FindingsError, match="does not know the class"):
        kept.share(finding(head_refit__forget=(0.0, 0.0)))


def test_one_reader_carries_the_mean_away_only_so_far() -> None:
    assert kept.share(finding(head_refit__forget=(1000.0, 1.0))) == pytest.approx((4 * 0.5 + 3) / 5)
