"""Work on rows in parts."""

import pytest
import torch

from damp import parts
from damp.gated_writing import find_gated_writing, patches_of
from damp.parts import in_parts, part_rows
from tests.damp.test_gated_writing import separability, written
from tests.damp.test_sum_writers import net, pictures

__all__ = ["net", "pictures"]

ROW = 3 * 4


@pytest.mark.parametrize("rows", [1, 2, 5, 7])
@pytest.mark.parametrize(("size", "expected"), [(1, 1), (2 * ROW, 2), (3 * ROW - 1, 2)])
def test_no_more_rows_are_worked_on_at_a_time_than_fit(rows, size, expected, monkeypatch):
    monkeypatch.setattr(parts, "PART", size)
    taken = []

    def work(part):
        taken.append(len(part))
        return 2 * part

    given = torch.arange(3.0 * rows).reshape(rows, 3)
    assert torch.equal(in_parts(work, given), 2 * given)
    assert max(taken) == min(expected, rows)
    assert sum(taken) == rows


def test_no_rows_are_one_part():
    assert in_parts(lambda part: part.sum(1), torch.ones(0, 3)).shape == (0,)
    assert part_rows(torch.ones(0, 3)) >= 1


def test_rows_of_some_columns_alone_count_by_these():
    columns = torch.ones(8, 100)[:, :3]
    assert part_rows(columns) == parts.PART // ROW


@pytest.mark.parametrize("which", [1, 2])
def test_what_is_written_does_not_depend_on_the_parts(net, pictures, which, monkeypatch):
    _, labels = pictures
    place, values, inputs = written(net, pictures, which)
    goals = 0.5 * separability(place, values, labels, [1])
    patches = patches_of(place, inputs)
    whole = find_gated_writing(place, values, patches, labels, [1], goals)
    monkeypatch.setattr(parts, "PART", 3 * inputs[0][0].numel() * inputs[0].element_size())
    assert torch.equal(patches_of(place, inputs).joint, patches.joint)
    in_few = find_gated_writing(place, values, patches, labels, [1], goals)
    torch.testing.assert_close(in_few.change, whole.change)
    torch.testing.assert_close(in_few.values, whole.values)
