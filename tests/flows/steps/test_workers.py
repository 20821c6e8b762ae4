"""`DAMP_WORKERS` bounds the processes that train beside one another."""

from __future__ import annotations

import os

import pytest

from flows.state.settings import overridden
from flows.steps import references


@pytest.mark.parametrize(("given", "wanted"), [("1", 1), ("3", 3), ("0", os.cpu_count() or 1)])
def test_the_setting_counts_and_none_is_one_per_core(given: str, wanted: int) -> None:
    with overridden("DAMP_WORKERS", given):
        assert references._workers() == wanted
