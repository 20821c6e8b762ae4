"""The demo's training, surgery and audits, called plainly: the floor under its orchestration."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from flows.state.paths import Attempt, Home
from flows.state.settings import prepare_environment

T = TypeVar("T")


def main() -> None:
    """Print seconds per part as JSON."""
    home = Home(Path(sys.argv[1]))
    prepare_environment(home.root)
    from flows.cli import demo
    from flows.operations import train_base
    from flows.steps.audit import audit
    from flows.steps.edit import edit
    from flows.steps.plan import register_plan
    from flows.steps.prepare import accept, pin_model, version_data
    from flows.steps.references import train_references

    seconds: dict[str, float] = {}

    def timed(name: str, call: Callable[..., T], *arguments: Any, **settings: Any) -> T:
        start = time.perf_counter()
        result = call(*arguments, **settings)
        seconds[name] = time.perf_counter() - start
        return result

    timed("base training", train_base.trained, data="digits", data_root=None, recipe=None, seed=0)
    demo.prepare(home, demo.DIGIT)
    at = Attempt(home, demo.event_id(demo.DIGIT), 1)
    accepted = accept(at)
    data = version_data(at, accepted)
    model = pin_model(at, accepted, data)
    references = timed("references", train_references, at, accepted, data, model)
    plan = timed("yardstick", register_plan, at, accepted, data, model, references)
    edited = timed("surgery", edit, at, accepted, data, model, references)
    timed("audits", audit, at, data, model, references, plan, edited)
    sys.stdout.write(json.dumps(seconds) + "\n")


if __name__ == "__main__":
    main()
