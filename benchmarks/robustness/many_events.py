"""A state folder with many small events that are alike, and child processes that carry them out.

The events are real ones, on scikit-learn's digits, each on a registered model of its own with the
same weights. References and activations are made once and found again by their content, so that an
event takes seconds. Children are forked from a process that has imported everything.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.state.paths import Home

Facts = dict[str, Any]

FORGET = 3
POLICY = "demo-v1"


def identity(model: str, number: int) -> str:
    """Id of the request number so and so on a model: the same each time."""
    return str(uuid.UUID(int=uuid.uuid5(uuid.NAMESPACE_OID, f"{model} {number}").int, version=4))


def log_of(home: Home) -> Path:
    """Where children say what they have to say."""
    return home.root / "children.log"


def prepare(home: Home, models: int, requests: int) -> Facts:
    """Register models and file requests on each, in a process of its own; what is expected.

    Returns:
        `events`: ids by model name; `after`: digest of the model that every event must lead to.
    """
    asked = json.dumps({"models": models, "requests": requests})
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.robustness.many_events", str(home.root), asked],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"DAMP_HOME": str(home.root)},
    )
    if done.returncode:
        raise SystemExit(f"the events could not be prepared:\n{done.stderr[-3000:]}")
    content: Facts = json.loads(done.stdout.splitlines()[-1])
    return content


def _prepare(home: Home, models: int, requests: int) -> Facts:
    """In the process that `prepare` starts: MLflow's connections must not be inherited."""
    from flows.intake import requests as intake
    from flows.operations import train_base
    from flows.registry import registration
    from flows.state import keyring
    from flows.state.files import write_atomically

    keyring.ensure_demo_key(home)
    base = train_base.base_model(
        home,
        name="m0",
        data="digits",
        data_root=None,
        recipe="digits",
        architecture=None,
        seed=0,
    )
    resolved = registration.resolve(home, "m0@champion")
    events: dict[str, list[str]] = {}
    for index in range(models):
        name = f"m{index}"
        registration.register_base(
            home,
            name=name,
            weights=Path(base.weights),
            architecture=resolved.architecture,
            classes=resolved.classes,
            input_shape=resolved.input_shape,
            data_version=resolved.data_version,
            data_name="digits",
        )
        events[name] = [identity(name, number) for number in range(requests)]
        for event in events[name]:
            file = home.root / "requests" / f"{event}.yaml"
            write_atomically(file, _request(event, name).encode())
            intake.submit(home, file)
    return {"events": events}


def _request(event: str, model: str) -> str:
    from flows.intake import requests as intake

    return intake.template(
        identity=event,
        submitted=datetime.now(UTC),
        forget=(FORGET,),
        model=f"{model}@champion",
        architecture=None,
        data="digits",
        data_root=None,
        recipe="digits",
        policy=POLICY,
        regulation="other",
        preset="mixture",
    )


@contextmanager
def server(home: Home) -> Iterator[None]:
    """A Prefect server for all children."""
    from flows.servers import auth, private_prefect

    with private_prefect.prefect_server(home.root) as running:
        running.wait(600)  # others may be at work
        os.environ["PREFECT_API_URL"] = running.api_url
        os.environ["PREFECT_API_AUTH_STRING"] = auth.auth_string(home.root)
        yield


def warm_up() -> None:
    """Import what an event needs, so that children start at once."""
    import mlflow  # noqa: F401
    import sklearn.linear_model  # noqa: F401
    import torch

    import compliance.report.render
    import flows.orchestration.event
    import flows.orchestration.runner  # noqa: F401

    torch.set_num_threads(1)
    _ = compliance.report.render


def start(work: Callable[[], int], log: Path) -> int:
    """Fork a child that does the work and ends with its exit code; its pid.

    What it says goes to the end of `log`.
    """
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        code = work()
    except BaseException:  # noqa: BLE001 - the parent's stack must not unwind twice
        traceback.print_exc()
    finally:
        os._exit(code)


def run(home: Home, event: str) -> int:
    """Carry an event out, in a child; its exit code as the command line has it."""
    from flows.orchestration.runner import run_event
    from flows.state.errors import is_refusal

    try:
        closed = run_event(home, event)
    except Exception as error:  # noqa: BLE001 - the exit code tells, the log why
        traceback.print_exc()
        return int(getattr(error, "exit_code", 1)) if is_refusal(error) else 70
    return 0 if closed.verdict == "PASSED" else 2


def registered(home: Home) -> Facts:
    """What the registry holds, read in a process of its own: versions and champion by model."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.robustness.many_events", str(home.root), "registered"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"DAMP_HOME": str(home.root)},
    )
    content: Facts = json.loads(done.stdout.splitlines()[-1])
    for model in content.values():  # JSON has no numbers as keys
        model["versions"] = {int(number): tags for number, tags in model["versions"].items()}
    return content


def _registered(home: Home) -> Facts:
    from flows.registry import CHAMPION, open_registry

    with open_registry(home) as registry:
        return {
            model.name: {
                "champion": model.aliases.get(CHAMPION),
                "versions": {v.number: dict(v.raw_tags) for v in registry.versions(model.name)},
            }
            for model in registry.models()
        }


def main() -> None:
    """What `prepare` and `registered` have done elsewhere."""
    from flows.state.settings import prepare_environment

    home = Home(Path(sys.argv[1]))
    prepare_environment(home.root)
    if sys.argv[2] == "registered":
        output = _registered(home)
    else:
        output = _prepare(home, **json.loads(sys.argv[2]))
    sys.stdout.write(f"\n{json.dumps(output)}\n")


if __name__ == "__main__":
    main()
