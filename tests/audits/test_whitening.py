"""Principal components and what is read along them, against numpy's own decompositions."""

from __future__ import annotations

import numpy as np
import pytest

from audits import sampling, whitening
from audits.whitening import Components, Halves

RNG = np.random.default_rng(3)


def rows_of(count, width, decay=0.8):
    return RNG.normal(size=(count, width)) * decay ** np.arange(width) + 1.5


def components_by_hand(rows):
    """Mean, axes and variances by a singular value decomposition."""
    centre = rows.mean(0)
    _, s, vh = np.linalg.svd(rows - centre, full_matrices=False)
    return centre, vh.T, s**2 / len(rows)


@pytest.mark.parametrize(
    ("count", "width", "kept"), [(40, 5, 5), (5, 12, 4), (12, 12, 11), (13, 12, 12), (11, 12, 10)]
)
def test_components_are_those_of_the_covariance(count, width, kept):
    """Centred rows have one dimension less than their number."""
    rows = rows_of(count, width)
    basis = whitening.components(rows)
    centre, axes, variances = components_by_hand(rows)
    assert basis.centre == pytest.approx(centre)
    assert basis.variances == pytest.approx(variances[:kept])
    assert basis.axes.shape == (width, kept)
    assert basis.axes.T @ basis.axes == pytest.approx(np.eye(kept))
    signs = np.sign((basis.axes * axes[:, :kept]).sum(0))
    assert basis.axes * signs == pytest.approx(axes[:, :kept], abs=1e-6)
    # a millionth of the mean variance
    assert basis.floor == pytest.approx(1e-6 * rows.var(0).sum() / width)


def test_no_variance_is_below_0_and_no_floor_is_0():
    basis = whitening.components(np.ones((4, 3)))
    assert (basis.variances >= 0).all()
    assert basis.floor == np.finfo(float).tiny
    flat = rows_of(50, 6)
    flat[:, 3:] = flat[:, :3]  # rounding leaves variances about 0
    assert (whitening.components(flat).variances >= 0).all()


@pytest.mark.parametrize(
    ("width", "count", "step"), [(1000, 1500, 1), (1001, 1000, 1), (1001, 1001, 2), (1001, 2001, 3)]
)
def test_of_wide_features_every_kth_row_gives_the_components(width, count, step):
    """At most a thousand rows, from the first to the last class."""
    rows = np.zeros((count, width))
    rows[:, 0] = RNG.normal(size=count)
    rows[:, 1] = RNG.normal(size=count)
    basis = whitening.components(rows)
    assert basis.centre[:2] == pytest.approx(rows[::step, :2].mean(0), abs=1e-15)
    variances = np.linalg.eigvalsh(np.cov(rows[::step, :2].T, bias=True))[::-1]
    assert basis.variances[:2] == pytest.approx(variances)


@pytest.mark.parametrize(("dead", "half"), [(0, 3), (1, 3), (2, 2), (5, 1)])
def test_the_tail_is_without_the_half_that_varies_most(dead, half):
    """Of six units those that do not vary count for nothing, and stay."""
    fitted, rows = rows_of(60, 6), rows_of(9, 6)
    fitted[:, 6 - dead :] = 2.0
    low = whitening.tail(whitening.components(fitted), rows)
    centre, axes, _ = components_by_hand(fitted)
    assert low.shape == (9, 6 - half)
    expected = (rows - centre) @ axes[:, half:]
    # whatever basis the equal variances take: the lengths are the same
    assert (low**2).sum(1) == pytest.approx((expected**2).sum(1))
    if dead < 2:
        assert np.abs(low[:, : 6 - half - dead]) == pytest.approx(
            np.abs(expected[:, : 6 - half - dead])
        )


def test_the_tail_of_few_wide_rows_keeps_all_coordinates():
    fitted, rows = rows_of(6, 20), rows_of(9, 20)
    low = whitening.tail(whitening.components(fitted), rows)
    centre, axes, _ = components_by_hand(fitted)
    most = axes[:, :3]  # (5 + 1) // 2 of the five that six rows span
    expected = (rows - centre) - (rows - centre) @ most @ most.T
    assert low == pytest.approx(expected)


def exact(axes, variances, floor=1e-3):
    return Components(
        centre=np.full(len(axes), 0.5), axes=axes, variances=np.array(variances), floor=floor
    )


@pytest.mark.parametrize("most", [4, 5, 3, 2])
def test_whitened_rows_are_in_units_of_their_spread_and_cut(most):
    """By hand along the unit vectors; a variance below the floor counts as the floor."""
    basis = exact(np.eye(4), [4.0, 1.0, 0.25, 1e-6])
    rows = np.array([[1.0, 1.0, 1.0, 0.51], [-3.5, 2.0, -2.5, 0.6], [9.5, 0.0, 0.5, 0.5]])
    along = (rows - 0.5) / np.sqrt([4.0, 1.0, 0.25, 1e-3])
    places = {5: [0, 1, 2, 3], 4: [0, 1, 2, 3], 3: [0, 3], 2: [0, 3]}[most]
    expected = np.clip(along[:, places], -4, 4)
    assert whitening.whitened(basis, rows, most) == pytest.approx(expected)
    assert np.abs(along).max() > 4


def test_half_of_an_even_number_of_directions_comes_from_each_end():
    basis = exact(np.eye(6), [6.0, 5.0, 4.0, 3.0, 2.0, 1.0])
    rows = rows_of(3, 6)
    along = (rows - 0.5) / np.sqrt([6.0, 5.0, 4.0, 3.0, 2.0, 1.0])
    expected = np.clip(along[:, [0, 1, 4, 5]], -4, 4)
    assert whitening.whitened(basis, rows, 4) == pytest.approx(expected)


def test_what_components_leave_is_one_more_column_in_units_of_its_median():
    basis = exact(np.eye(4)[:, :2], [1.0, 1.0])
    beyond = np.array([[0.1, 0.2], [0.3, -0.4], [-2.0, 1.0]])
    rows = 0.5 + np.concatenate([rows_of(3, 2, 0.1), beyond], axis=1)
    white = whitening.whitened(basis, rows, 9)
    squared = (beyond**2).sum(1)
    assert white.shape == (3, 3)
    assert white[:, 2] == pytest.approx(np.clip(np.sqrt(squared / np.median(squared)), 0, 4))
    # where most rows lie in the space of the components, the floor is the unit
    rows[:2, 2:] = 0.5
    white = whitening.whitened(basis, rows, 9)
    assert white[:, 2] == pytest.approx([0, 0, 4], abs=1e-6)
    quarter = exact(np.eye(4)[:, :2], [1.0, 1.0], floor=20.0)
    assert whitening.whitened(quarter, rows, 9)[2, 2] == pytest.approx(np.sqrt(5 / 20))


def test_half_of_the_retain_rows_of_each_class_give_the_basis(world):
    evidence = world.evidence()
    parts = whitening.halves(evidence, 4000, "purpose")
    labels = world.test_labels
    for c in range(6):
        aside = int((labels[parts.basis] == c).sum())
        assert aside == (0 if c == 2 else 30)
        assert int((labels[parts.read] == c).sum()) == 60 - aside
    assert sorted([*parts.basis, *parts.read]) == list(range(360))
    assert parts.read.tolist() == sorted(parts.read)
    again = whitening.halves(evidence, 4000, "purpose")
    assert again.basis.tolist() == parts.basis.tolist()
    assert whitening.halves(evidence, 4000, "other").basis.tolist() != parts.basis.tolist()
    few = whitening.halves(evidence, 100, "purpose")
    assert len(few.basis) + len(few.read) == 100


def test_nine_rows_give_no_directions_and_ten_do():
    features = rows_of(30, 3)
    for count in (9, 10):
        parts = Halves(basis=np.arange(count), read=np.arange(count, 30))
        why = "9 retain rows are left to find directions by and 10 are needed: give more test rows"
        assert whitening.unusable(features, parts) == (why if count == 9 else "")


@pytest.mark.parametrize("part", [slice(0, 15), slice(15, 30)])
def test_neither_half_may_be_all_alike_or_broken(part):
    parts = Halves(basis=np.arange(15), read=np.arange(15, 30))
    features = rows_of(30, 3)
    features[part] = 1.0
    assert whitening.unusable(features, parts) == "the features are the same for every image"
    features[part] = np.inf
    assert whitening.unusable(features, parts) == "the features hold NaN or infinity"


def test_the_first_of_two_folds_of_retain_rows_gives_the_basis(world):
    evidence = world.evidence()
    parts = whitening.halves(evidence, 4000, "purpose")
    fold = sampling.folds(world.test_labels, 2, evidence.rng("purpose.halves"))
    expected = np.flatnonzero((fold == 0) & (world.test_labels != 2))
    assert parts.basis.tolist() == expected.tolist()


@pytest.mark.parametrize(("share", "kept"), [(1.5e-12, 2), (0.7e-12, 1)])
def test_a_direction_of_a_millionth_of_a_millionth_is_rounding(share, kept):
    """Four rows in ten features: two contrasts of these rows, one of next to no size."""
    rows = np.zeros((4, 10))
    rows[:, 3] = [1.0, -1.0, 1.0, -1.0]
    rows[:, 7] = np.sqrt(share) * np.array([1.0, 1.0, -1.0, -1.0])
    assert whitening.components(rows).axes.shape == (10, kept)
