"""The table of presets and the functions behind it."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import get_args

import pytest
import torch
from torch import nn

import damp
from damp import low_rank_update
from damp.catalogue import DEFAULT_PRESET, PRESETS, REPAIR_PASSES, Repair
from damp.presets import PLANNERS


class Counted(list):
    """Batches that count how often they are read."""

    def __init__(self, batches):
        super().__init__(batches)
        self.passes = 0

    def __iter__(self):
        self.passes += 1
        return super().__iter__()


def test_every_row_has_its_function_and_every_function_its_row():
    assert list(PLANNERS) == list(PRESETS)
    for name, planner in PLANNERS.items():
        assert PRESETS[name].name == name
        assert f"{planner.__module__}:{planner.__name__}" == PRESETS[name].planner
        assert list(inspect.signature(planner).parameters) == ["case", "settings"]


def test_one_preset_is_the_default_everywhere():
    assert [name for name, row in PRESETS.items() if row.default] == [DEFAULT_PRESET]
    for function in (damp.forget, damp.costs):
        assert inspect.signature(function).parameters["preset"].default == DEFAULT_PRESET


def test_rows_name_repairs_and_presets_that_exist():
    assert set(REPAIR_PASSES) == set(get_args(Repair))
    for row in PRESETS.values():
        # each at most once, and in the order in which `forget` does them
        assert list(row.repairs) == [repair for repair in REPAIR_PASSES if repair in row.repairs]
        assert row.superseded_by is None or row.superseded_by in PRESETS
        assert row.stand_in is None or PRESETS[row.stand_in].stand_in is None
        assert row.summary[0].islower() or row.summary.startswith("DAMP")
        assert not row.summary.endswith(".")


def test_the_low_rank_update_takes_a_pass_and_two_for_each_round():
    assert REPAIR_PASSES["low_rank_update"] == 1 + 2 * low_rank_update.ROUNDS


@pytest.mark.parametrize("preset", PRESETS)
def test_an_edit_repairs_what_its_row_says_in_no_more_passes(cnn, batches, preset):
    counted = Counted(batches)
    edited = damp.forget(cnn(), counted, forget=1, preset=preset)
    # the cnn's head reads a flattened map, so that another preset stands in for `natural`
    row = PRESETS[edited.stand_in or preset]
    assert row.name == (PRESETS[preset].stand_in or preset)
    done = {
        "recalibrate": bool(edited.recalibrated),
        "low_rank_update": edited.rewritten is not None,
        "head_refit": edited.mended is not None,
        "natural_update": edited.natural is not None,
    }
    left = " ".join(skipped.reason for skipped in edited.skipped)
    for repair, happened in done.items():
        if repair not in row.repairs:
            assert not happened, repair
        else:
            assert happened or repair.replace("_", " ").replace("low rank", "low-rank") in left
    # whoever stands in adds the passes of its own repairs
    more = 0 if row.name == preset else row.passes - 1
    assert 1 <= counted.passes <= PRESETS[preset].passes + more


@pytest.mark.parametrize("preset", [name for name, row in PRESETS.items() if not row.takes_gain])
def test_a_preset_without_a_gain_refuses_one(preset):
    batches = [(torch.randn(6, 4), torch.arange(6) % 3)]
    with pytest.raises(damp.errors.BadOption, match=f"{preset}' takes no gain"):
        damp.forget(nn.Linear(4, 3), batches, forget=1, preset=preset, gain=2.0)


def test_the_table_is_read_without_torch():
    code = "import sys, damp.catalogue; print({'torch', 'numpy'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
