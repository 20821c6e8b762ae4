"""Sums about a pivot: whatever is asked of them, the answer is that of all rows at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from damp import accumulator, whitening
from damp.accumulator import STRIP, Accumulator, RowOrder, add_gram, mirror
from damp.collection import group_numbers
from damp.statistics import Gram, Statistics
from damp.whitening import WIDEST

examples = settings(max_examples=40, deadline=None, derandomize=True)

APART = ((0,), (1,), (2,), (3,))


def rows_of(seed, samples=60, features=6, offset=0.0):
    """Skewed rows of four classes, and their labels, in numpy."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(samples) % 4)
    spread = generator.normal(size=(4, features, features))
    noise = generator.normal(size=(samples, features))
    rows = np.einsum("nij,nj->ni", spread[labels], noise) + labels[:, None] + offset
    return rows, labels


def summed(rows, labels, groups=APART, blocks=1, classes=4):
    """Statistics of rows, in blocks of 16."""
    place = torch.device("cpu")
    statistics = Accumulator(rows.shape[1], blocks, groups, classes, place)
    for start in range(0, len(rows), 16):
        part = torch.from_numpy(labels[start : start + 16])
        statistics.add(torch.from_numpy(rows[start : start + 16]))
        order = RowOrder.from_labels(part, group_numbers(groups, classes), len(groups), place)
        statistics.add_block(order, len(part))
    return statistics.freeze()


def covariance(rows):
    return np.cov(rows, rowvar=False, bias=True).reshape(rows.shape[1], -1)


chosen = st.sets(st.integers(0, 3), min_size=1).map(lambda labels: tuple(sorted(labels)))


@examples
@given(seed=st.integers(0, 999), classes=chosen)
def test_any_classes_covariance_comes_from_one_pass(seed, classes):
    rows, labels = rows_of(seed)
    statistics = summed(rows, labels)
    own = rows[np.isin(labels, classes)]
    np.testing.assert_allclose(statistics.covariance(classes).matrix, covariance(own), atol=1e-10)
    np.testing.assert_allclose(statistics.mean(classes), own.mean(0), atol=1e-12)
    assert statistics.form(classes) == "whole"


@examples
@given(seed=st.integers(0, 999), cut=st.integers(1, 59), offset=st.sampled_from([0, 1e4]))
def test_two_halves_add_up_to_the_whole(seed, cut, offset):
    rows, labels = rows_of(seed, offset=offset)
    whole = summed(rows, labels)
    both = summed(rows[:cut], labels[:cut]).plus(summed(rows[cut:], labels[cut:]))
    for classes in ((0, 1, 2, 3), (1, 3)):
        np.testing.assert_allclose(
            both.covariance(classes).matrix, whole.covariance(classes).matrix, atol=1e-10
        )
        np.testing.assert_allclose(  # a mean may lie near 0, where rounding is no share of it
            both.prototypes(classes), whole.prototypes(classes), rtol=1e-13, atol=1e-13
        )
    assert torch.equal(both.counts, whole.counts)


def test_large_means_cost_no_digits():
    """Raw sums of squares would leave three of sixteen digits here."""
    rows, labels = rows_of(0, offset=1e6)
    statistics = summed(rows, labels).covariance((0, 1, 2)).matrix
    expected = covariance(rows[labels != 3])
    np.testing.assert_allclose(statistics, expected, rtol=1e-7, atol=1e-7)


@examples
@given(seed=st.integers(0, 999), classes=chosen)
def test_classes_that_share_a_second_moment_share_their_spread_and_keep_their_means(seed, classes):
    rows, labels = rows_of(seed)
    statistics = summed(rows, labels, groups=((0, 1, 2, 3),))
    centred = rows - np.stack([rows[labels == c].mean(0) for c in range(4)])[labels]
    own = rows[np.isin(labels, classes)]
    means = np.stack([rows[labels == c].mean(0) for c in classes])
    shares = np.array([(labels == c).sum() for c in classes]) / len(own)
    between = (means - shares @ means).T @ np.diag(shares) @ (means - shares @ means)
    expected = covariance(centred) + between
    np.testing.assert_allclose(statistics.covariance(classes).matrix, expected, atol=1e-10)
    assert statistics.form(classes) == ("whole" if len(classes) == 4 else "shared")


def test_a_group_that_lies_wholly_inside_is_exact_beside_one_that_does_not():
    rows, labels = rows_of(3)
    statistics = summed(rows, labels, groups=((0, 1), (2, 3)))
    own = rows[labels < 2]
    np.testing.assert_allclose(statistics.covariance((0, 1)).matrix, covariance(own), atol=1e-10)
    assert statistics.form((0, 1)) == "whole"
    assert statistics.form((0, 1, 2)) == "shared"


def test_a_class_without_samples_changes_nothing():
    rows, labels = rows_of(0)
    kept = labels != 2
    statistics = summed(rows[kept], labels[kept], groups=((0, 1, 2, 3),))
    assert statistics.present == (0, 1, 3)
    assert statistics.others((1,)) == (0, 3)
    assert statistics.form((0, 1, 3)) == "whole"
    np.testing.assert_allclose(statistics.mean((0, 1, 3)), rows[kept].mean(0), atol=1e-12)


def test_blocks_of_features_are_kept_apart():
    rows, labels = rows_of(5)
    statistics = summed(rows, labels, blocks=3)
    for place in range(3):
        block = statistics.block(place)
        own = rows[labels != 1][:, 2 * place : 2 * place + 2]
        np.testing.assert_allclose(block.covariance((0, 2, 3)).matrix, covariance(own), atol=1e-10)
        np.testing.assert_allclose(block.mean((0, 2, 3)), own.mean(0), atol=1e-12)


def test_samples_that_are_all_alike_do_not_vary():
    rows, labels = rows_of(0)
    assert summed(rows, labels).varies((0, 1))
    same = np.full_like(rows, 1 / 3)
    assert not summed(same, labels).varies((0, 1))


@pytest.mark.parametrize("blocks", [1, 2])
def test_packing_the_upper_triangle_loses_nothing(blocks):
    rows, labels = rows_of(0)
    moments = summed(rows, labels, blocks=blocks).moments
    packed = moments.tensors()["gram"]
    assert packed.shape[-1] < moments.sums[0, 0].numel()
    assert torch.equal(Gram.from_upper(packed, 6 // blocks).sums, moments.sums)


@pytest.mark.parametrize("features", [3, STRIP, 2 * STRIP + 7])
def test_a_gram_matrix_in_strips_is_the_whole_one(features):
    rows = torch.randn(5, features, generator=torch.Generator().manual_seed(0))
    gram = torch.zeros(features, features)
    add_gram(gram, rows)
    add_gram(gram, rows)
    mirror(gram)
    torch.testing.assert_close(gram, 2 * rows.T @ rows)


@pytest.fixture
def narrow(monkeypatch):
    """Makes 30 features too many to be whole, sketches of 12 columns."""
    monkeypatch.setattr(accumulator, "WIDEST", 29)
    monkeypatch.setattr(whitening, "SKETCH", 12)
    whitening.random_matrix.cache_clear()
    yield
    whitening.random_matrix.cache_clear()


def low_rank(seed, rank=8, samples=60):
    rows, labels = rows_of(seed, samples, rank)
    return rows @ np.random.default_rng(1).normal(size=(rank, 30)), labels


@pytest.mark.parametrize("classes", [(0, 1, 2), (1,), (0, 1, 2, 3)])
def test_a_sketch_of_data_of_low_rank_is_exact(narrow, classes):
    rows, labels = low_rank(0)
    statistics = summed(rows, labels).covariance(classes)
    expected = torch.from_numpy(covariance(rows[np.isin(labels, classes)]))
    torch.testing.assert_close(statistics.diagonal, expected.diagonal(), rtol=1e-9, atol=1e-9)
    whole, sketched = whitening.Whole(matrix=expected).metric(), statistics.metric()
    probes = torch.from_numpy(np.random.default_rng(2).normal(size=(5, 30)))
    for one, other in ((whole, sketched), (sketched, whole)):
        squares = one.whiten(probes) @ one.whiten(probes).T
        torch.testing.assert_close(
            squares, other.whiten(probes) @ other.whiten(probes).T, rtol=1e-6, atol=1e-6
        )


def test_halves_of_a_sketch_add_up_to_the_whole(narrow):
    rows, labels = low_rank(4)
    whole = summed(rows, labels)
    both = summed(rows[:23], labels[:23]).plus(summed(rows[23:], labels[23:]))
    for one, other in (
        (both.moments.sums, whole.about(both.pivot).moments.sums),
        (both.moments.squares, whole.about(both.pivot).moments.squares),
    ):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-8)
    assert whole.form((0, 1)) == "sketched"


def test_a_sketch_keeps_the_trace_of_what_it_cannot_hold(narrow):
    rows, labels = rows_of(0, samples=400, features=30)
    statistics = summed(rows, labels).covariance((0, 1, 2, 3))
    metric = statistics.metric()
    spread = metric.colour(torch.eye(30, dtype=torch.float64))
    trace = float((spread @ spread.T).trace())
    assert trace == pytest.approx(
        float(statistics.diagonal.sum()) * (1 + whitening.RIDGE), rel=1e-9
    )


def test_sums_of_different_forms_do_not_add_up(narrow):
    wide, labels = low_rank(0)
    with pytest.raises(TypeError, match="do not add up"):
        summed(wide, labels).moments.plus(summed(wide[:, :6], labels).moments)


def test_statistics_are_of_one_block_unless_they_say_so():
    rows, labels = rows_of(0)
    whole = summed(rows, labels)
    fields = {n: getattr(whole, n) for n in ("pivot", "counts", "sums", "groups", "moments")}
    plain = Statistics(**fields)
    assert plain.blocks == 1
    assert plain.block(0) is plain


@pytest.mark.parametrize("groups", [APART, ((0, 2), (1, 3)), ((3,), (0, 1, 2))])
def test_rows_are_ordered_by_group_and_counted_by_class(groups):
    labels = torch.tensor([3, 1, 0, 3, 0, 0])
    order = RowOrder.from_labels(labels, group_numbers(groups, 4), len(groups), torch.device("cpu"))
    group_of = {c: place for place, group in enumerate(groups) for c in group}
    expected = sorted(range(6), key=lambda row: group_of[int(labels[row])])
    assert order.rows.tolist() == expected  # those of one group as they came
    spans, start = [], 0
    for place, group in enumerate(groups):
        size = sum(int(label) in group for label in labels)
        if size:
            spans.append((place, start, start + size))
        start += size
    assert order.spans == tuple(spans)
    assert order.classes.tolist() == [0, 1, 3]
    assert order.counts.tolist() == [3, 1, 0, 2]
    assert order.membership.tolist() == [
        [float(int(label) == c) for label in labels] for c in (0, 1, 3)
    ]


def test_many_rows_of_a_group_stay_in_their_order():
    labels = torch.arange(5000) % 4
    order = RowOrder.from_labels(labels, group_numbers(APART, 4), 4, torch.device("cpu"))
    expected = torch.cat([torch.arange(c, 5000, 4) for c in range(4)])
    assert torch.equal(order.rows, expected)


@pytest.mark.parametrize(
    ("features", "blocks", "expected"),
    [(WIDEST, 1, False), (WIDEST + 1, 1, True), (2 * WIDEST, 2, False), (2 * WIDEST + 2, 2, True)],
)
def test_moments_are_sketched_above_a_width_of_each_block(features, blocks, expected):
    assert accumulator.sketched(features, blocks) is expected


def test_rows_wait_for_their_block():
    """Sums are of the rows that were added, about their mean; the others wait."""
    rows = torch.arange(12.0, dtype=torch.float64).reshape(6, 2)
    labels = torch.tensor([0, 1, 0, 1, 1, 0])
    sums = Accumulator(2, 1, ((0,), (1,)), 2, torch.device("cpu"))
    sums.add(rows[:4])
    sums.add(rows[4:])
    for size, part in ((3, labels[:3]), (3, labels[3:])):
        order = RowOrder.from_labels(part, torch.tensor([0, 1]), 2, torch.device("cpu"))
        sums.add_block(order, size)
    statistics = sums.freeze()
    pivot = rows[:3].mean(0)
    assert torch.equal(statistics.pivot, pivot)
    for c in (0, 1):
        own = rows[labels == c] - pivot
        torch.testing.assert_close(statistics.sums[c], own.sum(0))
        torch.testing.assert_close(statistics.moments.sums[c, 0], own.T @ own)
    assert statistics.counts.tolist() == [3, 3]
    empty = Accumulator(2, 1, ((0,), (1,)), 2, torch.device("cpu")).freeze()
    assert empty.pivot.tolist() == [0, 0]
    assert empty.present == ()
    alone = Accumulator(2, 1, ((0,),), 1, torch.device("cpu")).freeze()
    assert alone.pivot.tolist() == [0, 0]


@pytest.mark.parametrize(("samples", "finite"), [(0.0, True), (np.inf, False), (np.nan, False)])
def test_sums_are_finite_or_not(samples, finite):
    rows, labels = rows_of(0)
    statistics = summed(rows, labels)
    assert statistics.finite()
    for place in ("sums", "moments"):
        broken = summed(rows, labels)
        if place == "sums":
            broken.sums[1, 2] += samples
        else:
            broken.moments.sums[1, 0, 2, 2] += samples
        assert broken.finite() is finite


def test_the_sums_about_another_point_are_those_of_moved_rows():
    rows, labels = rows_of(7)
    for blocks in (1, 2):
        statistics = summed(rows, labels, groups=((0, 1), (2, 3)), blocks=blocks)
        pivot = torch.arange(6.0).double()
        moved = statistics.about(pivot)
        apart = torch.from_numpy(rows) - pivot
        for place, group in enumerate(((0, 1), (2, 3))):
            own = apart[np.isin(labels, group)]
            parts = own.unflatten(1, (blocks, -1)).transpose(0, 1)
            torch.testing.assert_close(moved.moments.sums[place], parts.mT @ parts)
            diagonal = own.square().sum(0)
            torch.testing.assert_close(moved.moments.diagonals()[place], diagonal)
        for c in range(4):
            torch.testing.assert_close(moved.sums[c], apart[labels == c].sum(0))


def test_a_group_counts_as_whole_where_its_other_classes_have_no_samples():
    rows, labels = rows_of(0)
    kept = labels != 2
    statistics = summed(rows[kept], labels[kept], groups=((0, 1, 2), (3,)))
    assert statistics.exact((0, 1))
    assert statistics.exact((3,))
    assert not statistics.exact((0,))
    assert not statistics.exact((0, 3))
    assert statistics.exact((0, 1, 3))


@pytest.mark.parametrize(("spread", "varies"), [(0.0, False), (1e-7, False), (1e-4, True)])
def test_a_variance_counts_beside_the_square_of_the_mean(spread, varies):
    """A ten-thousand-millionth of it is rounding."""
    noise = np.random.default_rng(0).normal(size=(60, 6))
    assert summed(1 + spread * noise, np.arange(60) % 4).varies((0, 1)) is varies


def test_samples_that_are_all_zero_do_not_vary():
    rows = np.zeros((8, 3))
    assert not summed(rows, np.arange(8) % 4).varies([0, 1])
    rows[0, 1] = 1e-30
    assert summed(rows, np.arange(8) % 4).varies([0, 1])
