"""Likeness of weights against brute force, and every disguise by its name."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from audits import weight_likeness
from audits.weight_likeness import disguise

SCALED = "scaled or with noise"


def weight_of(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def rotation(width, seed=1):
    return np.linalg.qr(weight_of(width, width, seed=seed))[0]


def with_correlation(own, wanted, seed=3):
    """Numbers whose correlation with others is exactly this."""
    one = (own - own.mean()).ravel()
    noise = weight_of(own.size, seed=seed)
    noise -= noise.mean()
    noise -= one * (noise @ one) / (one @ one)
    mixed = wanted * one / np.linalg.norm(one) + np.sqrt(1 - wanted**2) * noise / np.linalg.norm(
        noise
    )
    return mixed.reshape(own.shape)


def test_a_weight_is_read_output_by_output_and_what_is_not_finite_as_0():
    weight = weight_of(3, 2, 2)
    assert np.array_equal(weight_likeness.matrix(weight), weight.reshape(3, 4))
    assert np.array_equal(weight_likeness.matrix(weight[0]), weight[0])
    assert weight_likeness.matrix(np.arange(4)).shape == (1, 4)
    broken = np.array([[np.nan, np.inf], [-np.inf, 2.0]])
    assert weight_likeness.matrix(broken).tolist() == [[0.0, 0.0], [0.0, 2.0]]


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        (np.arange(64.0), True),
        (np.arange(63.0), False),
        (np.ones(64), False),
        (np.full(64, np.nan), False),
        (0.25 * (np.arange(64.0) == 5), True),
    ],
)
def test_enough_different_numbers_make_a_weight_comparable(weight, expected):
    assert weight_likeness.comparable(weight) is expected


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda w: w.copy(), "bit for bit"),
        (lambda w: 2 * w, SCALED),
        (lambda w: -w, SCALED),
        (lambda w: w + 5.0, SCALED),
        (lambda w: w.T.copy() * 3, "transposed"),
        (lambda w: w.T.ravel(), "bit for bit, its numbers in another order"),
        (lambda w: np.append(weight_of(31, seed=4), w.ravel()), SCALED),
        (lambda w: w[:, ::-1], "bit for bit, its numbers in another order"),
        (lambda w: 2 * w[::-1], "its rows in another order, scaled or with noise"),
        (lambda w: 2 * w[:, ::-1], "its columns in another order, scaled or with noise"),
        (lambda w: w @ rotation(20), "rotated"),
        (lambda w: rotation(12) @ w, "rotated"),
        (
            lambda w: rotation(12) @ w @ rotation(20),
            "rotated, or its rows and columns in another order",
        ),
        (lambda w: weight_of(12, 20, seed=9), ""),
        (lambda w: w[:8], ""),
        (lambda w: np.ones_like(w), ""),
    ],
)
def test_every_disguise_is_named(make, words):
    weight = weight_of(12, 20)
    assert disguise(weight, make(weight)) == words


@pytest.mark.parametrize("kind", [np.float32, np.float16, np.float64])
def test_the_bytes_of_whole_numbers_are_read_as_floating_ones(kind):
    weight = weight_of(12, 20).astype(kind)
    hidden = weight.view(np.uint8).reshape(-1)
    assert disguise(weight.astype(np.float64), hidden).startswith("bit for bit")
    # a rest of bytes that makes no number is passed over
    assert disguise(weight.astype(np.float64), np.append(hidden, np.uint8(7))) != ""
    assert disguise(weight_of(12, 20, seed=8), hidden) == ""


def test_whole_numbers_are_read_as_such_too():
    weight = weight_of(12, 20)
    assert disguise(weight, np.round(weight * 50).astype(np.int8)) == SCALED


@pytest.mark.parametrize(("largest", "count"), [(9e5, 4), (1e6, 3), (1.1e6, 3)])
def test_bytes_that_stand_for_wild_numbers_are_no_weights(largest, count):
    """As float64 they are weights, or not; their bytes as float32 and float16 are tame here."""
    numbers = np.zeros(16)
    numbers[3] = largest
    views = weight_likeness._views(numbers.view(np.int64))
    kinds = [v for v in views if v.shape == (16,) and np.array_equal(v, numbers)]
    assert len(kinds) == (count == 4)


def test_too_few_bytes_stand_for_nothing():
    one, two, four, eight = (
        weight_likeness._views(np.zeros(count, np.uint8)) for count in (1, 2, 4, 8)
    )
    assert [len(views) for views in (one, two, four, eight)] == [1, 2, 3, 4]
    assert [len(v) for v in eight] == [8, 2, 4, 1]
    floating = weight_of(4)
    assert weight_likeness._views(floating)[0] is floating


@pytest.mark.parametrize("shape", [(8, 8), (20, 20), (10, 20)])
def test_a_copy_exceeds_half_and_seven_standard_deviations(shape):
    own = weight_of(*shape)
    limit = max(0.5, 7 / np.sqrt(own.size))
    for excess in (-0.003, 0.003):
        other = with_correlation(own, limit + excess)
        assert bool(weight_likeness.in_place(own, other)) is (excess > 0)
        assert bool(weight_likeness.in_place(own, -3 * other)) is (excess > 0)
        assert weight_likeness._in_place(own, other) == (SCALED if excess > 0 else "")
        turned = weight_likeness._in_place(own.T.copy(), other)
        assert turned == ("transposed" if excess > 0 else "")


def test_49_numbers_agree_by_chance_and_50_need_nearly_all():
    assert weight_likeness._in_place(weight_of(7, 7), weight_of(7, 7)) == ""
    assert weight_likeness._in_place(weight_of(5, 10), weight_of(5, 10)) == "bit for bit"


def test_the_largest_correlation_along_a_longer_weight_is_that_of_every_window():
    own, long = weight_of(3, 4), weight_of(50, seed=5)
    expected = max(
        abs(np.corrcoef(own.ravel(), long[start : start + 12])[0, 1]) for start in range(39)
    )
    assert weight_likeness.correlation_along(own, long) == pytest.approx(expected)
    assert weight_likeness.correlation_along(own, long + 1e3) == pytest.approx(expected, rel=1e-6)
    for start in (0, 38):  # the first and the last window count as well
        held = long.copy()
        held[start : start + 12] = -2 * own.ravel() + 1
        assert weight_likeness.correlation_along(own, held) == pytest.approx(1.0)
    same = weight_of(12, seed=6)
    between = abs(np.corrcoef(own.ravel(), same)[0, 1])
    for size in (1.0, 1e-3):  # however small both are
        ours = weight_likeness.correlation_along(size * own, size * same)
        assert ours == pytest.approx(between)


def test_constants_correlate_with_nothing():
    own = weight_of(3, 4)
    assert weight_likeness.correlation_along(np.ones((3, 4)), weight_of(50)) == 0.0
    assert weight_likeness.correlation_along(own, np.ones(12)) == 0.0
    assert weight_likeness.correlation_along(own, np.ones(30)) == 0.0
    # constant windows beside others are passed over, and say nothing of these
    half = np.append(np.ones(30), weight_of(20, seed=7))
    expected = max(
        abs(np.corrcoef(own.ravel(), half[start : start + 12])[0, 1]) for start in range(19, 39)
    )
    assert weight_likeness.correlation_along(own, half) == pytest.approx(expected, rel=1e-6)


def test_every_second_of_many_numbers_is_looked_for():
    """8192 numbers are two for each of the 4096 that are looked for; 8191 are not."""
    many = np.arange(1.0, 8193.0)
    assert weight_likeness.shared_values(many, many[::2]) == 1.0
    assert weight_likeness.shared_values(many, many[1::2]) == 0.0
    assert weight_likeness.shared_values(many, many[:2048]) == 0.25
    assert weight_likeness.shared_values(many[:-1], many[::2]) == pytest.approx(4096 / 8191)


def test_numbers_that_repeat_are_no_likeness():
    for distinct, expected in ((50, 1.0), (49, 0.0)):
        own = np.arange(100) % distinct
        assert weight_likeness.shared_values(own, own) == expected


def test_half_of_the_very_numbers_make_a_copy_in_any_order():
    own = weight_of(8, 10).astype(np.float32)
    fresh = weight_of(80, seed=8).astype(np.float32)
    for kept, words in ((40, "bit for bit, its numbers in another order"), (39, "")):
        mixed = np.append(own.ravel()[:kept], fresh[kept:])
        shuffled = np.random.default_rng(2).permutation(mixed).reshape(8, 10)
        assert weight_likeness._in_any_order(own, shuffled) == words


def test_an_order_is_searched_for_in_weights_of_one_shape_alone():
    own = weight_of(12, 20)
    assert weight_likeness._in_any_order(own, 2 * own[::-1].reshape(20, 12)) == ""
    assert weight_likeness._in_any_order(own, 2 * own[::-1].ravel()) == ""
    assert weight_likeness._in_any_order(own, 2 * own[:6]) == ""


def cosines(own, other):
    """|cosine| of each pair of rows, each less its mean."""
    return np.array([[abs(np.corrcoef(a, b)[0, 1]) for b in other] for a in own])


def test_rows_are_matched_with_a_partner_each_at_best():
    own, other = weight_of(5, 9), weight_of(5, 9, seed=2) + 3.0
    table = cosines(own, other)
    expected = max(
        np.mean([table[row, column] for row, column in enumerate(order)])
        for order in permutations(range(5))
    )
    assert weight_likeness.matched(own, other) == pytest.approx(expected)
    assert weight_likeness.matched(0.01 * own, 0.001 * other) == pytest.approx(expected)
    assert weight_likeness.matched(own, -2 * own[::-1] + 1) == pytest.approx(1.0)


def test_a_constant_row_has_no_direction():
    rows = weight_of(3, 9)
    rows[1] = 4.0
    directions = weight_likeness._directions(rows)
    assert directions[1] == pytest.approx(0.0)
    assert np.linalg.norm(directions, axis=1) == pytest.approx([1, 0, 1])


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((12, 8), True), ((12, 7), False), ((4, 1024), True), ((4, 1025), False)],
)
def test_an_order_is_searched_for_where_rows_are_neither_short_nor_too_many(shape, expected):
    own = weight_of(*shape)
    assert weight_likeness.is_reordered(own, 3 * own[::-1]) is expected
    assert weight_likeness.is_reordered(own, own[1:]) is False


@pytest.mark.parametrize("shape", [(6, 40), (30, 10)])
def test_a_reordered_weight_lies_more_than_half_way_from_chance_to_identity(shape):
    own = weight_of(*shape)
    centred = own - own.mean(1, keepdims=True)
    for share in np.linspace(0.3, 0.99, 24):
        # each row with a part in its own direction and the rest across it
        other = np.stack([with_correlation(row, share, seed=i) for i, row in enumerate(centred)])
        other = other[::-1]
        turns = [
            np.linalg.qr(np.random.default_rng(s).standard_normal((shape[1], shape[1])))[0]
            for s in range(3)
        ]
        by_chance = max(weight_likeness.matched(own, other @ turn) for turn in turns)
        alike = weight_likeness.matched(own, other)
        expected = alike > max(0.5, (1 + by_chance) / 2)
        assert weight_likeness.is_reordered(own, other) is bool(expected)


def test_rotations_keep_lengths_and_differ_by_seed():
    one, other = (weight_likeness._rotation(6, seed) for seed in (0, 1))
    assert one @ one.T == pytest.approx(np.eye(6))
    assert not np.allclose(one, other)


def test_the_effective_rank_counts_directions_by_their_power():
    rows = np.diag([3.0, 1.0, 1.0]) @ rotation(3)
    # squared singular values 9, 1, 1: (9 + 1 + 1)^2 / (81 + 1 + 1)
    assert weight_likeness._effective_rank(rows) == pytest.approx(121 / 83)
    assert weight_likeness._effective_rank(np.outer([1.0, 2.0], [3.0, 4.0])) == pytest.approx(1)


@pytest.mark.parametrize("flat", [1.0, 0.8, 0.3])
@pytest.mark.parametrize("shape", [(12, 30), (30, 12)])
def test_products_of_rows_agree_by_more_than_chance_gives(shape, flat):
    """Few strong directions leave few degrees of freedom, and the limit is higher then."""
    own = weight_of(*shape) * flat ** np.arange(shape[1])
    upper = np.triu_indices(shape[0], 1)
    powers = np.linalg.svd(own, compute_uv=False) ** 2
    freedom = min(len(upper[0]), powers.sum() ** 2 / (powers**2).sum() * shape[0])
    limit = min(max(7 / np.sqrt(freedom), 0.9), 0.99)
    outcomes = set()
    for size in np.geomspace(0.003, 100, 80):
        other = own + size * np.abs(own).mean() * weight_of(*shape, seed=4)
        one, two = (m @ m.T for m in (own, other))
        expected = np.corrcoef(one[upper], two[upper])[0, 1] >= limit
        outcomes.add(bool(expected))
        assert weight_likeness._same_products(own, other) is bool(expected)
    assert outcomes == {True, False}


def test_products_of_few_rows_agree_by_chance():
    for rows, expected in ((12, True), (11, False)):  # 66 pairs, 55 pairs
        own = weight_of(rows, 30)
        assert weight_likeness._same_products(own, own @ rotation(30)) is expected
        assert weight_likeness._same_products(0.01 * own, 0.01 * own @ rotation(30)) is expected
    constant = np.ones((12, 30))
    assert weight_likeness._same_products(constant, constant) is False
    assert weight_likeness._same_products(weight_of(12, 30), constant) is False
    assert weight_likeness._same_products(constant, weight_of(12, 30)) is False


def test_spectra_are_compared_each_scaled_to_length_one():
    own, other = weight_of(6, 9), weight_of(6, 9, seed=3)
    one, two = (np.linalg.svd(w, compute_uv=False) for w in (own, other))
    expected = np.linalg.norm(one / np.linalg.norm(one) - two / np.linalg.norm(two))
    assert weight_likeness.spectra_apart(own, other) == pytest.approx(expected)
    assert weight_likeness.spectra_apart(own, 7 * own) == pytest.approx(0, abs=1e-12)
    assert weight_likeness.spectra_apart(own, 0 * own) == pytest.approx(1.0)


def turned(shape, apart):
    """A weight, and one in another basis on both sides whose spectrum lies so far away."""
    values = np.linspace(2.0, 1.0, min(shape))
    values /= np.linalg.norm(values)
    across = np.where(np.arange(len(values)) == 0, values[1], 0.0)
    across[1] = -values[0]
    across /= np.linalg.norm(across)
    angle = 2 * np.arcsin(apart / 2)
    others = np.cos(angle) * values + np.sin(angle) * across
    own, other = np.zeros(shape), np.zeros(shape)
    np.fill_diagonal(own, values)
    np.fill_diagonal(other, others)
    left, right = rotation(shape[0], seed=5), rotation(shape[1], seed=6)
    return left @ own @ right, left.T @ other @ right.T


@pytest.mark.parametrize(
    ("shape", "apart", "expected"),
    [
        ((8, 20), 0.9e-3, True),
        ((8, 20), 1.1e-3, False),
        ((7, 20), 0.0, False),
        ((20, 8), 0.9e-3, True),
    ],
)
def test_a_spectrum_nearer_than_a_thousandth_is_one_weight_turned(shape, apart, expected):
    own, other = turned(shape, apart)
    words = "rotated, or its rows and columns in another order" if expected else ""
    assert weight_likeness._in_another_basis(own, other) == words
    assert weight_likeness._in_another_basis(own, other[:, :-1]) == ""


@pytest.mark.parametrize(("width", "words"), [(1024, "rotated"), (1025, "")])
def test_no_basis_is_searched_for_in_the_largest_weights(width, words):
    own = weight_of(12, width)
    mirror = weight_of(width, seed=2)
    mirror /= np.linalg.norm(mirror)
    assert weight_likeness._in_another_basis(own, own - 2 * np.outer(own @ mirror, mirror)) == words


@pytest.mark.parametrize(("size", "held"), [(3e-5, False), (3e-4, True)])
def test_a_window_that_hardly_varies_beside_the_rest_holds_nothing_but_rounding(size, held):
    """A copy of variance 7.5e-11 is below a thousand-millionth of the rest's, one of 7.5e-9 not."""
    own = weight_of(3, 4)
    direction = (own - own.mean()).ravel() / np.linalg.norm(own - own.mean())
    rest = np.random.default_rng(3).permutation(np.repeat([-1.0, 1.0], 60))
    along = np.concatenate([rest[:60], size * direction, rest[60:]])
    assert bool(np.var(size * direction) > 1e-9 * np.var(along)) is held
    others = [abs(np.corrcoef(own.ravel(), along[i : i + 12])[0, 1]) for i in range(121)]
    del others[60]
    expected = 1.0 if held else max(others)
    assert weight_likeness.correlation_along(own, along) == pytest.approx(expected, abs=1e-4)
