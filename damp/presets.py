"""The presets' mathematics beside their table: from statistics of one operator to a plan.

`damp.catalogue` lists the presets; here each row's function is attached.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

from damp.catalogue import PRESETS, PresetInfo
from damp.plans import Case, OperatorPlan, PlanSettings
from damp.statistics import Statistics

Planner = Callable[[Case, PlanSettings], OperatorPlan | str]
"""From one block of features to what is taken away, or the reason why nothing is."""


def _planner(row: PresetInfo) -> Planner:
    module, _, function = row.planner.partition(":")
    planner: Planner = getattr(import_module(module), function)
    return planner


PLANNERS: Mapping[str, Planner] = {name: _planner(row) for name, row in PRESETS.items()}


def plan_block(
    preset: str, statistics: Statistics, forget: Sequence[int], settings: PlanSettings
) -> OperatorPlan | str:
    """The plan for the readers of one block of features, or the reason why they stay as they are.

    Args:
        preset: Name in `damp.catalogue.PRESETS`.
        statistics: Of one block.
        forget: Classes to forget; those without samples do not count.
        settings: What the preset may depend on.
    """
    cut = tuple(label for label in forget if label in statistics.present)
    if not cut:
        return "there is no class to forget"
    # without any spread no metric exists in which retain samples are round
    if not statistics.varies(statistics.others(cut)):
        return "the samples to keep are all alike at its input"
    return PLANNERS[preset](Case.from_statistics(statistics, cut), settings)


def plan_operator(
    preset: str, statistics: Statistics, forget: Sequence[int], settings: PlanSettings
) -> list[OperatorPlan | str]:
    """The plan for each block of an operator's features."""
    # blocks share no feature, so each has prototypes, a metric and strengths of its own
    return [
        plan_block(preset, statistics.block(place), forget, settings)
        for place in range(statistics.blocks)
    ]
