"""What the flow costs over its functions, and what a queue and a night come to."""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from benchmarks.operations.office import Facts, Office, served
from flows.intake import requests
from flows.state import journal
from flows.state.paths import Attempt

MODELS, REQUESTS = 5, 4
"""Of the queue: models, and requests on each."""
POLICY = "demo-v3"
"""Of the queue: its attempts are made as the demo makes them."""


PLAINLY = """
import json, sys, time
from pathlib import Path
from flows.state.paths import Home
from flows.state.settings import prepare_environment, settings
home = Home(settings().home)
prepare_environment(home.root)
from flows.servers import endpoints as addresses, local_services as services
from flows.orchestration import engine
from flows.orchestration import runner
event, how = sys.argv[1:]
from flows.state.paths import Attempt
from flows.steps.audit import audit
from flows.steps.conclude import conclude
from flows.steps.edit import edit
from flows.steps.plan import register_plan
from flows.steps.prepare import accept, pin_model, version_data
from flows.steps.references import train_references
from flows.steps.register import close, register
import flows.orchestration.event, mlflow, damp, sklearn.linear_model, torchvision
from compliance import render_html
def plainly(at):
    accepted = accept(at)
    data = version_data(at, accepted)
    model = pin_model(at, accepted, data)
    references = train_references(at, accepted, data, model)
    plan = register_plan(at, accepted, data, model, references)
    edited = edit(at, accepted, data, model, references)
    findings = audit(at, data, model, references, plan, edited)
    record = conclude(at, accepted, data, model, plan, edited, findings)
    registration = register(at, accepted, data, model, edited, record)
    close(at, accepted, record, registration)
with engine.connected(home) as server:
    server.wait()
    began = time.perf_counter()
    if how == "flow":
        runner.run_event(home, event)
    else:
        plainly(Attempt(home, event, 1))
    print(json.dumps(time.perf_counter() - began))
"""


def orchestration(folder: Path) -> Facts:
    """One event through the flow, against its ten functions called plainly, server up."""
    office = Office(folder)
    office.damp("train", "--data", "digits", "--name", "warm")
    (base,) = office.home.models.glob("*.safetensors")
    rows: dict[str, list[float]] = {"flow": [], "plain": []}
    with served(office):
        office.submit(3, "warm")
        office.damp("run")  # references and MLflow's tables are there from now on
        for number in range(3):
            for how, seconds in rows.items():
                name = f"{how}-{number}"
                home = office.home.models / f"{name}-seed-0.safetensors"
                shutil.copy(base, home)
                office.damp("train", "--data", "digits", "--name", name)
                event = office.submit(3, name)
                printed = office.damp(event, how, code=PLAINLY)
                seconds.append(json.loads(printed.splitlines()[-1]))
    middle = {how: statistics.median(seconds) for how, seconds in rows.items()}
    return {
        "flow_seconds": [round(s, 2) for s in rows["flow"]],
        "plain_seconds": [round(s, 2) for s in rows["plain"]],
        "orchestration_seconds": round(middle["flow"] - middle["plain"], 2),
        "target_seconds": 5,
    }


RUN_ALL = """
import json, sys, time
from flows.state.paths import Home
from flows.state.settings import prepare_environment, settings
home = Home(settings().home)
prepare_environment(home.root)
from flows.orchestration import engine
with engine.connected(home) as server:
    server.wait()
    from flows.orchestration.schedule import compliance_run
    began = time.perf_counter()
    decided = compliance_run(str(home.root))
    print(json.dumps([time.perf_counter() - began, decided]))
"""


def queue(folder: Path) -> Facts:
    """Twenty pending requests on five models in one scheduled run."""
    office = Office(folder)
    for number in range(MODELS):
        seed = ("--seed", str(number))
        office.damp("train", "--data", "digits", "--name", f"model-{number}", *seed)
    wanted = office.submit_all(
        [(forget, f"model-{number}") for forget in range(REQUESTS) for number in range(MODELS)],
        policy=POLICY,
    )
    due = {event["id"]: event["due"] for event in office.events()}
    with served(office):
        wall, decided = json.loads(office.damp(code=RUN_ALL).splitlines()[-1])
    every = office.events()
    work = sum(
        note.get("seconds", 0.0)
        for event in every
        for attempt in range(1, event["attempt"] + 1)
        for note in journal.read(Attempt(office.home, event["id"], attempt))
    )
    order = [row["event"] for row in decided]
    actions = [_next_action(event) for event in every]
    return {
        "policy": POLICY,
        "requests": len(wanted),
        "attempts": sum(event["attempt"] for event in every),
        "decided": sum(not event["pending"] for event in every),
        "with_a_computed_next_step": sum(action != "" for action in actions),
        "next_steps": Counter(actions),
        "outcomes": Counter(row["outcome"] for row in decided),
        "passed_by": Counter(event["method"] for event in every if event["verdict"] == "PASSED"),
        "deadlines_first": [due[event] for event in order] == sorted(due.values()),
        "wall_seconds": round(wall, 1),
        "work_seconds": round(work, 1),
        "wall_over_work": round(wall / work, 3),
        "target": 1.15,
    }


def _next_action(event: Facts) -> str:
    """What the first step of an event's `next` is about that can be taken; "" at a dead end.

    What decided and how many samples are lacking says why, and is nothing to do.
    """
    kinds = [step["kind"] for step in event["next"]]
    return next((kind for kind in kinds if kind not in ("decided", "samples", "predicted")), "")


def nightly(folder: Path) -> Facts:
    """A process that serves schedules; requests come in, nobody types, all are decided."""
    office = Office(folder)
    office.damp("train", "--data", "digits", "--name", "digits")
    serving = office.start("serve", "--every", "20s")
    try:
        events = [office.submit(forget, "digits") for forget in range(2)]
        _until(lambda: not requests.pending(office.home), serving)
        events.append(office.submit(2, "digits"))  # after the first run: the schedule must fire
        _until(lambda: not requests.pending(office.home), serving)
    finally:
        os.killpg(serving.pid, signal.SIGINT)
        _, err = serving.communicate()
    every = office.events()
    return {
        "requests": len(events),
        "decided": sum(not event["pending"] for event in every),
        "verdicts": Counter(event["verdict"] for event in every),
        "exit_code_after_ctrl_c": serving.returncode,
        "last_words": err.strip().splitlines()[-1:],
        "processes_left": len(office.processes()),
    }


def _until(holds: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not holds():
        if process.poll() is not None:
            raise SystemExit(f"damp serve ended with {process.returncode}")
        time.sleep(2)
