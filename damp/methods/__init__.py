"""Methods of others, written anew from their papers, and the one interface for all of them.

    from damp import methods

    job = methods.Job(model=net, inputs=images, labels=labels, forget=(3,), build=make_net)
    done = methods.run("scrub", job, {"rate": 1e-3})
    done.model, done.passes

job.py is what a method is given, catalogue.py the table, running.py runs a row of it, presets.py
puts `damp.forget` behind the same interface, entry_points.py reads a team's own methods. passes.py
counts rows, training.py is the loop that methods share, errors.py what they refuse. The methods
themselves are in `closed` and `trained`. Names are imported when first used, so that the table
alone costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from damp.methods.catalogue import METHODS, MethodInfo
    from damp.methods.errors import BadJob, BadSetting
    from damp.methods.job import Job
    from damp.methods.passes import Passes, counting
    from damp.methods.running import Forgotten, Method, forgotten, run

__all__ = [
    "METHODS",
    "BadJob",
    "BadSetting",
    "Forgotten",
    "Job",
    "Method",
    "MethodInfo",
    "Passes",
    "counting",
    "forgotten",
    "run",
]

_HOMES = {
    "METHODS": "catalogue",
    "MethodInfo": "catalogue",
    "BadJob": "errors",
    "BadSetting": "errors",
    "Job": "job",
    "Passes": "passes",
    "counting": "passes",
    "Forgotten": "running",
    "Method": "running",
    "forgotten": "running",
    "run": "running",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"damp.methods.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'damp.methods' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
