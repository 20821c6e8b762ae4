"""Rows that nobody could have prepared for: which, and moved how."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from audits import fresh

LABELS = torch.tensor([0] * 30 + [1] * 20 + [2] * 10 + [3] * 1)


def counts(**settings):
    rows = fresh.choose(LABELS, (1,), seed=0, **settings)
    assert rows.tolist() == sorted(set(rows.tolist()))
    return [int((LABELS[rows] == c).sum()) for c in range(4)]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [30, 20, 10, 1]),
        ({"own": 5}, [30, 5, 10, 1]),
        ({"others": 24}, [8, 20, 8, 1]),
        ({"others": 25}, [8, 20, 8, 1]),
        ({"others": 26}, [9, 20, 9, 1]),
        ({"others": 0}, [2, 20, 2, 1]),
        ({"own": 7, "others": 9}, [3, 7, 3, 1]),
    ],
)
def test_rows_of_the_class_and_evenly_of_the_others(settings, expected):
    """A third of the others each, two at least, and never more than there are."""
    assert counts(**settings) == expected


def test_by_default_two_hundred_of_the_class_and_four_hundred_of_the_others():
    labels = torch.arange(3).repeat(1000)
    rows = fresh.choose(labels, (2,), seed=0)
    assert [int((labels[rows] == c).sum()) for c in range(3)] == [200, 200, 200]
    alone = fresh.choose(torch.zeros(900, dtype=torch.long), (0,), seed=0, own=3)
    assert len(alone) == 3


def test_the_seed_alone_chooses():
    one, again, other = (fresh.choose(LABELS, (1,), seed=s, own=5, others=9) for s in (1, 1, 2))
    assert one.tolist() == again.tolist()
    assert one.tolist() != other.tolist()


def interpolated(image, down, right):
    """An image read so many pixels further down and right, bilinear, its edge repeated."""
    height, width = image.shape
    moved = np.empty((height, width))
    for r in range(height):
        for c in range(width):
            y, x = r + down, c + right
            top, left = int(np.floor(y)), int(np.floor(x))
            parts = 0.0
            for i, wy in ((top, 1 - (y - top)), (top + 1, y - top)):
                for j, wx in ((left, 1 - (x - left)), (left + 1, x - left)):
                    row, column = min(max(i, 0), height - 1), min(max(j, 0), width - 1)
                    parts += wy * wx * image[row, column]
            moved[r, c] = parts
    return moved


def test_images_are_moved_by_a_part_of_a_pixel_along_each_axis():
    images = torch.rand(3, 2, 5, 7, generator=torch.Generator().manual_seed(0)).double()
    drawn = torch.rand(3, 2, generator=torch.Generator().manual_seed(9)).double()
    moved = fresh._shifted(images.float(), torch.Generator().manual_seed(9))
    for number in range(3):
        # uniform between half a pixel either way: along the width, then along the height
        right, down = (2 * drawn[number] - 1) * 0.5
        for channel in range(2):
            expected = interpolated(images[number, channel].numpy(), float(down), float(right))
            np.testing.assert_allclose(moved[number, channel].numpy(), expected, atol=1e-5)


def test_noise_is_a_twentieth_of_the_spread():
    images = 3 * torch.randn(200, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    perturbed = fresh.perturbed(images, seed=4)
    generator = torch.Generator().manual_seed(4)
    moved = fresh._shifted(images, generator)
    noise = torch.randn(moved.shape, generator=generator)
    torch.testing.assert_close(perturbed, moved + 0.05 * float(images.std()) * noise)
    rows = torch.randn(50, 8, generator=generator)
    other = fresh.perturbed(rows, seed=4)
    noise = torch.randn(rows.shape, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(other, rows + 0.05 * float(rows.std()) * noise)
    flat = fresh.perturbed(torch.ones(50, 8), seed=4)
    torch.testing.assert_close(flat, 1 + 0.05 * noise)
