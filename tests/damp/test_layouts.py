"""Which entries of an input belong to which sample."""

from __future__ import annotations

import pytest
import torch

from damp import layouts as layouts_module
from damp.layouts import SAMPLES, Layout, layout_of, small_batch

CHANGED = SAMPLES // 2


def tokens(samples=SAMPLES, positions=4, features=5, seed=0):
    """(B, P, D), random."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(samples, positions, features, generator=generator)


FORMS = {
    "samples first": (lambda x: x, Layout(axis=0)),
    "tokens first": (lambda x: x.transpose(0, 1), Layout(axis=1)),
    "sample after sample": (lambda x: x.flatten(0, 1), Layout(axis=0, folded="major")),
    "token after token": (
        lambda x: x.transpose(0, 1).flatten(0, 1),
        Layout(axis=1, folded="minor"),
    ),
    "windows of samples": (
        lambda x: x[:, : x.shape[1] // 2 * 2].unflatten(1, (2, -1)).flatten(0, 1),
        Layout(axis=0, folded="major"),
    ),
}


@pytest.mark.parametrize("positions", [4, SAMPLES, 2 * SAMPLES])
@pytest.mark.parametrize("form", FORMS)
def test_the_layout_is_traced_and_pools_each_samples_own_tokens(form, positions):
    shape, layout = FORMS[form]
    before = tokens(positions=positions)
    after = before.clone()
    after[CHANGED] = tokens(positions=positions, seed=1)[CHANGED]
    traced = layout_of(shape(before), shape(after), -1, CHANGED)
    assert traced == layout
    more = tokens(samples=12, positions=positions, seed=2)
    expected = more[:, : positions // 2 * 2] if form == "windows of samples" else more
    torch.testing.assert_close(traced.pooled(shape(more), -1, 12), expected.mean(1))


@pytest.mark.parametrize("shape", [(4, 3, 6), (4, 3, 6, 5), (4, 3, 2, 6, 5)])
def test_images_are_averaged_over_their_positions(shape):
    images = torch.randn(shape)
    expected = images.flatten(2).mean(-1)
    torch.testing.assert_close(Layout(axis=0).pooled(images, 1, 4), expected)


def test_images_folded_into_the_first_axis_keep_their_channels():
    images = torch.randn(4, 3, 2, 6, 6)
    folded = images.transpose(1, 2).flatten(0, 1)
    traced = Layout(axis=0, folded="major").pooled(folded, 1, 4)
    torch.testing.assert_close(traced, images.mean((2, 3, 4)))


def test_pooled_inputs_have_memory_of_their_own():
    rows = torch.ones(3, 2)
    Layout(axis=0).pooled(rows, -1, 3).zero_()
    assert float(rows.sum()) == 6


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        (Layout(axis=0), (8, 5)),
        (Layout(axis=1), (4, 6, 5)),
        (Layout(axis=1), (5,)),
        (Layout(axis=1), (4, 7)),
        (Layout(axis=0, folded="major"), (10, 2, 5)),
    ],
)
def test_a_shape_that_does_not_fit_the_samples_is_not_pooled(layout, shape):
    assert layout.pooled(torch.ones(shape), -1, 7) is None


def test_an_input_that_never_changes_depends_on_no_image():
    same = tokens()
    assert "does not depend" in layout_of(same, same, -1, CHANGED)


def test_a_shape_that_changes_has_no_layout():
    assert "shape" in layout_of(tokens(), tokens(positions=3), -1, CHANGED)


def test_samples_that_were_mixed_cannot_be_separated():
    before, after = tokens(), tokens()
    after[CHANGED] += 1
    mixed = [torch.stack([x[i:].sum(0) for i in range(SAMPLES)]) for x in (before, after)]
    assert "cannot be separated" in layout_of(*mixed, -1, CHANGED)


def test_a_little_that_spills_over_does_no_harm():
    """A batch norm without running statistics lets every sample see the mean of all."""
    before = tokens()
    after = before.clone()
    after[CHANGED] += 5
    before, after = before - before.mean(0), after - after.mean(0)
    assert layout_of(before, after, -1, CHANGED) == Layout(axis=0)


def test_a_single_vector_has_no_samples():
    before, after = torch.zeros(5), torch.ones(5)
    assert "cannot be separated" in layout_of(before, after, -1, CHANGED)


@pytest.mark.parametrize("samples", [1, 3, 100])
@pytest.mark.parametrize("value", [0.0, torch.nan, torch.inf])
def test_the_small_batch_differs_in_one_sample(samples, value):
    images = torch.randn(samples, 2, 3, generator=torch.Generator().manual_seed(0))
    images[0] = value
    rows, other = small_batch(images)
    pairs = zip(rows.nan_to_num(), other.nan_to_num(), strict=True)
    differs = [not torch.equal(one, two) for one, two in pairs]
    assert differs == [place == CHANGED for place in range(SAMPLES)]
    assert torch.isfinite(other[CHANGED]).all()


@pytest.mark.parametrize(("share", "separated"), [(0.45, False), (0.55, True)])
def test_more_than_half_of_all_change_must_be_the_samples_own(share, separated):
    """The rest spills over into one other sample."""
    before = torch.zeros(SAMPLES, 3)
    after = before.clone()
    after[CHANGED, 0] = share**0.5
    after[0, 1] = (1 - share) ** 0.5
    traced = layout_of(before, after, -1, CHANGED)
    assert (traced == Layout(axis=0)) is separated
    assert (
        separated or traced == f"samples cannot be separated in its input of shape {(SAMPLES, 3)}"
    )


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_what_is_no_number_before_or_after_counts_as_0(value):
    """Otherwise most of the change would lie in the first sample."""
    before, after = torch.zeros(SAMPLES, 3), torch.zeros(SAMPLES, 3)
    after[CHANGED, 0] = 0.5
    before[0, 0] = value
    assert layout_of(before, after, -1, CHANGED) == Layout(axis=0)


@pytest.mark.parametrize(
    ("shape", "feature_axis", "layouts"),
    [
        ((SAMPLES, 3), -1, [Layout(axis=0)]),
        ((SAMPLES, 3), 0, []),
        ((3, SAMPLES), -1, []),
        ((3, SAMPLES), 0, [Layout(axis=1)]),
        (
            (2 * SAMPLES, 3),
            -1,
            [Layout(axis=0, folded="major"), Layout(axis=1, folded="minor")],
        ),
        ((2 * SAMPLES + 1, 3), -1, []),
        ((2 * SAMPLES, 3), 0, []),
        ((SAMPLES, SAMPLES, 5), -1, [Layout(axis=0), Layout(axis=1)]),
        ((SAMPLES, SAMPLES), 1, [Layout(axis=0)]),
    ],
)
def test_samples_may_lie_on_any_axis_of_their_number_but_that_of_features(
    shape, feature_axis, layouts
):
    assert list(layouts_module._candidates(torch.zeros(shape), feature_axis)) == layouts


@pytest.mark.parametrize("spread", [3.0, 0.1])
def test_the_noise_in_the_middle_has_the_spread_and_the_mean_of_the_batch(spread):
    images = 5 + spread * torch.randn(20, 4, 50, generator=torch.Generator().manual_seed(1))
    rows, other = small_batch(images)
    assert torch.equal(rows, images[:SAMPLES])
    noise = torch.randn((4, 50), generator=torch.Generator().manual_seed(0))
    expected = noise * rows.std() + rows.mean()
    torch.testing.assert_close(other[SAMPLES // 2], expected)
    short, _ = small_batch(images[:3])
    assert torch.equal(short, images[[0, 1, 2, 0, 1, 2, 0]])


@pytest.mark.parametrize("folded", ["major", "minor"])
@pytest.mark.parametrize("feature_axis", [-1, 1])
def test_folded_rows_are_averaged_over_their_windows(folded, feature_axis):
    """Three samples of two windows each, in either order; channels may come first or last."""
    apart = torch.randn(3, 2, 4, 5)
    whole = apart if folded == "major" else apart.transpose(0, 1)
    layout = Layout(axis=0 if folded == "major" else 1, folded=folded)
    pooled = layout.pooled(whole.flatten(0, 1), feature_axis, 3)
    expected = apart.mean((1, 3)) if feature_axis == 1 else apart.mean((1, 2))
    torch.testing.assert_close(pooled, expected)
    assert pooled.is_contiguous()


def test_samples_behind_the_features_come_first_in_what_is_pooled():
    """(P, D, B) averaged over P is (D, B), and is given as (B, D)."""
    rows = torch.randn(4, 5, 6)
    pooled = Layout(axis=2).pooled(rows, 1, 6)
    torch.testing.assert_close(pooled, rows.mean(0).T)
    assert pooled.is_contiguous()
