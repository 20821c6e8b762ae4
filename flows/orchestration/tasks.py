"""The ten steps as Prefect tasks: one call each, remembered by their inputs.

A step that finished before the process died is not run again: its key is made of the event, the
attempt, the step, the package version and its inputs. What it left behind is checked byte by byte
when it is taken from memory; where a file has changed, the step runs again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

from prefect import task
from prefect.context import TagsContext, TaskRunContext

from damp.version import __version__
from flows.state import interrupts
from flows.state.files import Artifact, is_intact
from flows.state.paths import Home
from flows.steps import audit, conclude, edit, plan, prepare
from flows.steps import references as retraining
from flows.steps import register as publish

Facts = dict[str, Any]


def _key(context: TaskRunContext, parameters: dict[str, Any]) -> str:
    told = json.dumps([context.task.name, __version__, parameters], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def step(function: Callable[..., Facts]) -> Any:
    """A function of this package as a Prefect task that remembers what it found."""
    remembered = task(
        name=function.__name__,
        task_run_name=function.__name__,
        persist_result=True,
        result_serializer="json",
        cache_key_fn=_key,
    )
    return remembered(function)


accept = step(prepare.accept)
version_data = step(prepare.version_data)
pin_model = step(prepare.pin_model)
references = step(retraining.references)
register_plan = step(plan.register_plan)
cut_class = step(edit.cut)
audit_all = step(audit.audit)
record_event = step(conclude.record)
register = step(publish.register)
close = step(publish.close)


def once(step: Any, **inputs: Any) -> Facts:
    """The step's facts: from memory if its files are as it left them, else by running it.

    Only flow runs are looked for by their tags. On a step each tag would have Prefect ask the
    server for a place in a queue, most of what a step then costs.
    """
    with TagsContext(current_tags=set()):
        return _once(step, inputs)


def _once(step: Any, inputs: Facts) -> Facts:
    facts: Facts = step(**inputs)
    interrupts.check()
    home = Home.of(inputs["where"])
    if all(is_intact(home.root, artifact) for artifact in _artifacts(facts)):
        return facts
    again: Facts = step.with_options(refresh_cache=True)(**inputs)
    return again


def _artifacts(facts: Any) -> Iterator[Artifact]:
    """Every `{path, sha256}` in a step's facts."""
    if isinstance(facts, dict):
        if facts.keys() == {"path", "sha256"}:
            yield Artifact(**facts)
        else:
            for value in facts.values():
                yield from _artifacts(value)
    elif isinstance(facts, list):
        for value in facts:
            yield from _artifacts(value)
