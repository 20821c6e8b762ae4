"""Which classes share a second moment."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from damp import grouping


def use(name, features, groups=1):
    operator = SimpleNamespace(name=name, features=features, groups=groups)
    return SimpleNamespace(operator=operator)


@pytest.mark.parametrize(
    ("forget", "groups"),
    [
        ((1,), ((1,), (0, 2, 3))),
        ((3, 0), ((3, 0), (1, 2))),
        # a class beyond the head is refused elsewhere, and shares nothing here
        ((3, 4), ((3,), (0, 1, 2))),
        ((4,), ((0, 1, 2, 3),)),
        ((0, 1, 2, 3), ((0, 1, 2, 3),)),
    ],
)
def test_a_request_has_a_group_to_forget_and_one_of_the_others(forget, groups):
    chosen = grouping.for_request(forget)([use("a", 3), use("b", 9)], 4)
    assert chosen == {"a": groups, "b": groups}


def test_a_second_moment_takes_the_square_of_the_width_of_each_block_or_a_sketch():
    assert grouping.entries(use("a", 12)) == 144
    assert grouping.entries(use("a", 12, groups=3)) == 12 * 4
    assert grouping.entries(use("a", 100_000)) == 100_000 * grouping.SKETCH


@pytest.mark.parametrize(
    ("memory", "apart"),
    [
        # four classes of 8 bytes: 4 entries take 128, 9 take 288
        (128 + 128 + 288, "abc"),
        (128 + 128 + 287, "ac"),
        (255, "c"),  # of two that are as narrow the last one
        (127, ""),
    ],
)
def test_classes_are_kept_apart_in_the_narrowest_operators_as_far_as_memory_goes(memory, apart):
    uses = [use("a", 2), use("b", 3), use("c", 2)]
    chosen = grouping.for_any_request(memory)(uses, 4)
    single, shared = ((0,), (1,), (2,), (3,)), ((0, 1, 2, 3),)
    assert chosen == {name: single if name in apart else shared for name in "abc"}
    assert grouping.for_any_request()(uses, 4) == dict.fromkeys("abc", single)
