"""The steps as Prefect tasks, remembered by their inputs.

A step that finished before the process died is not run again: its key is made of the event, the
attempt, the step, the package version and its inputs. What it left behind is checked byte by byte
when it is taken from memory; where a file has changed, the step runs again.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from prefect import Task
from prefect.context import TagsContext, TaskRunContext

from damp.version import __version__
from flows.state import facts, interrupts
from flows.state.errors import FactsError
from flows.state.facts import Json
from flows.state.files import is_intact
from flows.state.paths import Attempt, Home
from flows.steps import table
from flows.steps.step import Step

P = ParamSpec("P")
R = TypeVar("R")

__all__ = ["once"]


def _key(context: TaskRunContext, parameters: Json) -> str:
    content = json.dumps([context.task.name, __version__, parameters], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _task(step: Step[Any, Any]) -> Task[[Json, Json], Json]:
    """A step as a Prefect task from JSON to JSON, under the step's own name."""
    kinds = step.hints

    def run(where: Json, inputs: Json) -> Json:
        attempt = Attempt(Home(Path(where["home"])), where["event"], where["attempt"])
        decoded = {name: facts.decode(kinds[name], each) for name, each in inputs.items()}
        result: Json = facts.encode(step(attempt, **decoded))
        return result

    run.__qualname__ = step.name  # Prefect tells tasks apart by it
    return Task(
        run,
        name=step.name,
        task_run_name=step.name,
        description=step.__doc__,
        persist_result=True,
        result_serializer="json",
        cache_key_fn=_key,
    )


TASKS = {step: _task(step) for step in (*table.STEPS.values(), *table.OF_CLAIMS)}


def once(step: Step[P, R], attempt: Attempt, *args: P.args, **kwargs: P.kwargs) -> R:
    """The step's facts: from memory if its files are as it left them, else by running it.

    Only flow runs are looked for by their tags. On a step each tag would have Prefect ask the
    server for a place in a queue, most of what a step then costs.
    """
    task, kind = TASKS[step], step.hints["return"]
    given = inspect.signature(step.function).bind(attempt, *args, **kwargs).arguments
    where: Json = {
        "home": str(attempt.home.root),
        "event": attempt.event,
        "attempt": attempt.number,
    }
    inputs: Json = {name: facts.encode(each) for name, each in given.items() if each is not attempt}
    with TagsContext(current_tags=set()):
        result = _intact(attempt.home, kind, task(where, inputs))
        interrupts.check()
        if result is None:
            again = task.with_options(refresh_cache=True)
            result = facts.decode(kind, again(where, inputs))
    return cast(R, result)


def _intact(home: Home, kind: Any, remembered: Json) -> Any:
    """What a task has given, if it reads as facts now and each file has the bytes that it had."""
    try:
        result = facts.decode(kind, remembered)
    except FactsError:  # remembered by a damp whose steps left other facts
        return None
    return result if all(is_intact(home.root, file) for file in facts.artifacts(result)) else None
