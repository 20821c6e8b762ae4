"""The demo's training, surgery and audits, called plainly: the floor under its orchestration."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.state.paths import Home
from flows.state.settings import prepare_environment

Facts = dict[str, Any]


def main() -> None:
    """Print seconds per part as JSON."""
    home = Home(Path(sys.argv[1]))
    prepare_environment(home.root)
    from flows.cli import demo
    from flows.operations import train_base
    from flows.steps import audit, plan, prepare, references
    from flows.steps import edit as cut

    seconds: dict[str, float] = {}

    def timed(name: str, call: Callable[..., Facts], **arguments: Any) -> Facts:
        began = time.perf_counter()
        done = call(**arguments)
        seconds[name] = time.perf_counter() - began
        return done

    timed("base training", train_base.trained, data="digits", data_root=None, recipe=None, seed=0)
    demo.prepare(home, demo.DIGIT)
    where = {"home": str(home.root), "event": demo.event_id(demo.DIGIT), "attempt": 1}
    accepted = prepare.accept(where)
    data = prepare.version_data(where, accepted)
    model = prepare.pin_model(where, accepted, data)
    known = {"where": where, "data": data, "model": model}
    judges = timed("references", references.references, accepted=accepted, **known)
    registered = timed(
        "yardstick", plan.register_plan, accepted=accepted, references=judges, **known
    )
    edit = timed("surgery", cut.cut, accepted=accepted, references=judges, **known)
    timed("audits", audit.audit, references=judges, plan=registered, edit=edit, **known)
    sys.stdout.write(json.dumps(seconds) + "\n")


if __name__ == "__main__":
    main()
