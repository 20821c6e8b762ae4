"""Make an image classifier forget whole classes, in closed form.

    edited = damp.forget(model, batches, forget=3)
    edited.model          # ready for use, output 3 retired
    edited.operators      # what was done to which layer
    edited.skipped        # what was left alone, and why

    measured = damp.measure(model, batches)    # one pass for every later request
    damp.costs(measured)                       # what would forgetting each class cost?
    damp.forget(model, batches, forget=3, measured=measured)    # saves the first pass

`damp.catalogue` lists the presets, `damp.operators` says which layers can be cut, `damp.errors`
draws the tree of what can go wrong. Tensors go in and come out: no paths, no clock, no logging.
Names are imported when first used, so that `import damp` alone costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from damp.version import __version__

if TYPE_CHECKING:
    from damp import errors, operators
    from damp.aftercare import RetiredOutputs
    from damp.costing import Cost, OperatorCost, costs
    from damp.edited import EditedModel, OperatorEdit
    from damp.errors import DampError
    from damp.measurement import Measurement
    from damp.measuring import measure
    from damp.operators import Skipped, head
    from damp.surgery import forget

__all__ = [
    "Cost",
    "DampError",
    "EditedModel",
    "Measurement",
    "OperatorCost",
    "OperatorEdit",
    "RetiredOutputs",
    "Skipped",
    "__version__",
    "costs",
    "errors",
    "forget",
    "head",
    "measure",
    "operators",
]

_HOMES = {
    "Cost": "costing",
    "DampError": "errors",
    "EditedModel": "edited",
    "Measurement": "measurement",
    "OperatorCost": "costing",
    "OperatorEdit": "edited",
    "RetiredOutputs": "aftercare",
    "Skipped": "operators",
    "costs": "costing",
    "forget": "surgery",
    "head": "operators",
    "measure": "measuring",
}


def __getattr__(name: str) -> object:
    if name in ("errors", "operators"):
        return import_module(f"damp.{name}")
    if name in _HOMES:
        return getattr(import_module(f"damp.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'damp' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
