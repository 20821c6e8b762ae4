"""What rows look like under a trigger, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from audits import triggers

IMAGES = torch.rand(5, 3, 10, 15, generator=torch.Generator().manual_seed(0)).double() * 4 - 1


@pytest.mark.parametrize(
    ("count", "expected"), [(0, 0), (1, 1), (299, 299), (300, 300), (301, 300)]
)
def test_of_many_rows_evenly_spaced_ones_are_shown(count, expected):
    rows = np.arange(count) + 1000
    shown = triggers.shown(rows)
    assert len(shown) == len(set(shown.tolist())) == expected
    if count:
        assert (shown[0], shown[-1]) == (rows[0], rows[-1])
    wide = triggers.shown(np.arange(901))
    assert np.diff(wide).min() >= 3


def test_shifts_are_by_half_the_range_of_each_channel():
    marked = triggers.marked_images(IMAGES)
    least, greatest = IMAGES.amin((0, 2, 3)), IMAGES.amax((0, 2, 3))
    for channel in range(3):
        own, reach = IMAGES[:, channel], (greatest[channel] - least[channel]) / 2
        torch.testing.assert_close(marked["brighter"][:, channel], own + reach)
        torch.testing.assert_close(marked["darker"][:, channel], own - reach)
        inverted = least[channel] + greatest[channel] - own
        torch.testing.assert_close(marked["inverted"][:, channel], inverted)


@pytest.mark.parametrize("shape", [(10, 15), (1, 1), (2, 12)])
def test_patches_are_a_fifth_of_each_side_in_the_corners_and_the_middle(shape):
    images = IMAGES[:, :, : shape[0], : shape[1]]
    height, width = images.shape[2:]
    tall, wide = max(1, round(height / 5)), max(1, round(width / 5))
    corners = {
        "top left": (0, 0),
        "top right": (0, width - wide),
        "bottom left": (height - tall, 0),
        "bottom right": (height - tall, width - wide),
        "middle": ((height - tall) // 2, (width - wide) // 2),
    }
    marked = triggers.marked_images(images)
    for place, (row, column) in corners.items():
        for tone, of in (("bright", torch.Tensor.amax), ("dark", torch.Tensor.amin)):
            expected = images.clone()
            for channel in range(3):
                value = of(images[:, channel])
                expected[:, channel, row : row + tall, column : column + wide] = value
            assert torch.equal(marked[f"{tone} patch, {place}"], expected)
    assert len(marked) == 3 + 10 + 3


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_each_of_several_channels_is_put_to_its_most(channels):
    images = IMAGES[:, :channels]
    marked = triggers.marked_images(images)
    names = [name for name in marked if name.startswith("channel")]
    assert len(names) == (channels if channels > 1 else 0)
    for place, name in enumerate(names):
        expected = images.clone()
        expected[:, place] = images[:, place].max()
        assert torch.equal(marked[name], expected)


def test_rows_of_numbers_are_shifted_by_the_range_of_all():
    rows = torch.tensor([[0.0, 1.0, 5.0], [2.0, 3.0, 1.0]])
    marked = triggers.marked_images(rows)
    assert list(marked) == ["brighter", "darker", "inverted"]
    assert torch.equal(marked["brighter"], rows + 2.5)
    assert torch.equal(marked["inverted"], 5 - rows)
    sequences = torch.arange(12.0).reshape(2, 3, 2)
    assert torch.equal(triggers.marked_images(sequences)["darker"], sequences - 5.5)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 512])
def test_answers_are_those_of_all_rows_whatever_is_shown_at_once(batch_size):
    """Extremes are of all rows, not of a batch."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(450, 4)).double().eval()
    answers = triggers.answers(model, IMAGES, torch.device("cpu"), batch_size)
    marked = triggers.marked_images(IMAGES)
    assert list(answers) == list(marked)
    for name, images in marked.items():
        np.testing.assert_allclose(answers[name], model(images).detach().numpy())
        assert answers[name].dtype == np.float64
    assert triggers.answers(model, IMAGES[:0], torch.device("cpu")) == {}


def test_extremes_of_others_can_be_given():
    whole = (torch.full((3, 1, 1), -9.0), torch.full((3, 1, 1), 11.0))
    marked = triggers.marked_images(IMAGES, whole)
    torch.testing.assert_close(marked["brighter"], IMAGES + 10)
    torch.testing.assert_close(marked["inverted"], 2 - IMAGES)
