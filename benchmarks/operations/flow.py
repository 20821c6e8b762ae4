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
from flows.steps import audit, edit as cut, plan
from flows.steps import prepare, register as publish, conclude as record, references as retraining
import flows.orchestration.event, mlflow, damp, sklearn.linear_model, torchvision
from compliance import render_html
def plainly(where):
    accepted = prepare.accept(where)
    data = prepare.version_data(where, accepted)
    model = prepare.pin_model(where, accepted, data)
    judges = retraining.references(where, accepted, data, model)
    planned = plan.register_plan(where, accepted, data, model, judges)
    edit = cut.cut(where, accepted, data, model, judges)
    found = audit.audit(where, data, model, judges, planned, edit)
    told = record.record(where, accepted, data, model, planned, edit, found)
    made = publish.register(where, accepted, data, model, edit, told)
    publish.close(where, accepted, told, made)
with engine.connected(home) as server:
    server.wait()
    began = time.perf_counter()
    if how == "flow":
        runner.run_event(home, event)
    else:
        plainly({"home": str(home.root), "event": event, "attempt": 1})
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
                told = office.damp(event, how, code=PLAINLY)
                seconds.append(json.loads(told.splitlines()[-1]))
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
        [(forget, f"model-{number}") for forget in range(REQUESTS) for number in range(MODELS)]
    )
    due = {event["id"]: event["due"] for event in office.events()}
    with served(office):
        wall, decided = json.loads(office.damp(code=RUN_ALL).splitlines()[-1])
    work = sum(
        note.get("seconds", 0.0)
        for event in wanted
        for note in journal.read(Attempt(office.home, event, 1))
    )
    order = [row["event"] for row in decided]
    return {
        "requests": len(wanted),
        "decided": sum(not event["pending"] for event in office.events()),
        "outcomes": Counter(row["outcome"] for row in decided),
        "deadlines_first": [due[event] for event in order] == sorted(due.values()),
        "wall_seconds": round(wall, 1),
        "work_seconds": round(work, 1),
        "wall_over_work": round(wall / work, 3),
        "target": 1.15,
    }


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
    told = office.events()
    return {
        "requests": len(events),
        "decided": sum(not event["pending"] for event in told),
        "verdicts": Counter(event["verdict"] for event in told),
        "exit_code_after_ctrl_c": serving.returncode,
        "last_words": err.strip().splitlines()[-1:],
        "processes_left": len(office.processes()),
    }


def _until(holds: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not holds():
        if process.poll() is not None:
            raise SystemExit(f"damp serve ended with {process.returncode}")
        time.sleep(2)
