"""What requests cost: break-even points against counting request by request."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from compliance.qualification import costing
from compliance.qualification.costing import Prices, Setting

PARTS = st.floats(0.01, 0.5)
PRICES = st.builds(Prices, cut=PARTS, audit=PARTS, alone=PARTS)
SETTINGS = st.builds(
    Setting,
    references=st.integers(3, 10),
    studied=st.integers(3, 20),
    partly=st.integers(0, 2),
    spot_checks=st.floats(0.0, 0.3),
)
MOST = 2000


@given(PRICES, SETTINGS)
def test_a_study_pays_from_the_first_request_on_at_which_it_is_cheaper(
    prices: Prices, setting: Setting
) -> None:
    """One request more or less where both ways cost the same to a rounding error."""
    result = costing.compare(10, prices, setting)
    counted = next(
        (
            n
            for n in range(1, MOST)
            if (c := costing.compare(n, prices, setting)).qualified < c.level_3 - 1e-9
        ),
        None,
    )
    if result.beats_level_3 is not None and result.beats_level_3 < MOST - 1:
        assert counted is not None
        assert abs(counted - result.beats_level_3) <= 1


@given(PRICES, SETTINGS)
def test_where_an_event_costs_a_training_a_study_never_pays_against_retraining(
    prices: Prices, setting: Setting
) -> None:
    result = costing.compare(10, prices, setting)
    assert (result.beats_retraining is None) == (costing.of_event(prices, setting) >= 1)


def test_with_ten_classes_it_does_not_pay_and_with_a_thousand_it_does() -> None:
    prices = Prices(cut=0.05, audit=0.15, alone=0.1)
    ten, thousand = (costing.compare(n, prices, Setting()) for n in (10, 1000))
    assert ten.qualified > ten.level_3 > ten.retrain
    assert thousand.qualified < thousand.retrain < thousand.level_3
