"""Which images copies are tuned on, and which they are asked about."""

from __future__ import annotations

import numpy as np
import pytest

from audits.tuning import Tuning

LABELS = np.arange(60) % 3


def tuning(**changes):
    given = {"labels": LABELS, "forget": (1,), "live": (0, 1, 2), "seed": 5}
    return Tuning(**{**given, **changes})


def test_the_defaults_are_those_of_the_audit():
    plain = tuning()
    numbers = (plain.shots, plain.draws, plain.steps, plain.queries, plain.learning_rate)
    assert numbers == (10, 2, (0, 4, 8, 12), 150, 1e-3)


@pytest.mark.parametrize(("queries", "count"), [(150, 20), (20, 20), (7, 7)])
def test_as_many_images_of_the_class_as_there_are_or_are_asked_for(queries, count):
    rows = tuning(queries=queries).rows()
    assert len(rows) == count
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert set(LABELS[rows]) == {1}
    two = tuning(forget=(1, 2), queries=queries).rows()
    assert [int((LABELS[two] == c).sum()) for c in (1, 2)] == [count, count]


def test_copies_are_tuned_on_images_of_every_class_drawn_apart():
    images = tuning(shots=4, draws=3).images()
    assert images.shape == (3, 3, 4)
    for place, c in enumerate((0, 1, 2)):
        assert (LABELS[images[:, place]] == c).all()
        for draw in images[:, place]:
            assert len(set(draw.tolist())) == 4
    assert images[0].tolist() != images[1].tolist()
    again, other = tuning(shots=4, draws=3), tuning(shots=4, draws=3, seed=6)
    assert np.array_equal(again.images(), images)
    assert not np.array_equal(other.images(), images)


@pytest.mark.parametrize(("shots", "reason"), [(19, ""), (20, "a class has 20 test rows")])
def test_one_image_more_than_is_tuned_on_must_be_left(shots, reason):
    assert tuning(shots=shots).impossible() == reason
    rare = np.where(np.arange(60) < 57, LABELS, 0)
    assert tuning(labels=rare, shots=19).impossible() == "a class has 19 test rows"
