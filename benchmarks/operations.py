"""What do schedules, locks, kills and clusters cost, and what do they leave?

    python -m benchmarks.operations [orchestration] [queue] [nightly] [kills] [calls] [gate]
                                    [spread] [statistics]

Each part works on state folders of its own, with real servers, and writes its figures into
benchmarks/results/operations.json, and as tables beside it; parts that were not asked for keep
theirs. KILLS says how often to kill (60), MODELS on how many models requests wait (5).
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psutil

from benchmarks.machine import RESULTS, described
from compliance.ledger import Ledger
from compliance.policy import load_policy
from flows import journal
from flows.layout import Attempt, Home
from tests.flows import postgres

Facts = dict[str, Any]

MODELS, REQUESTS = int(os.environ.get("MODELS", "5")), 4
"""Of the queue: models, and requests on each."""
KILLS = int(os.environ.get("KILLS", "60"))
DONE = "nothing: it was done"
TRAININGS = 6
"""Of the comparison of one worker with two."""


def main() -> None:
    """Measure the parts that are named, all by default."""
    wanted = sys.argv[1:] or list(PARTS)
    file = RESULTS / "operations.json"
    for name in wanted:
        with tempfile.TemporaryDirectory(prefix="damp-bench-") as folder:
            began = time.perf_counter()
            machine = described()
            figures = PARTS[name](Path(folder))
        found: Facts = json.loads(file.read_text()) if file.exists() else {}
        found[name] = figures | {
            "command": f"python -m benchmarks.operations {name}",
            "machine": machine,
            "seconds": round(time.perf_counter() - began, 1),
        }
        print(json.dumps({name: found[name]}, indent=2), flush=True)
        file.write_text(json.dumps(found, indent=2) + "\n")
        file.with_suffix(".md").write_text(page(found))


class Office:
    """A state folder and commands on it."""

    def __init__(self, folder: Path, **extra: str) -> None:
        self.folder, self.home = folder, Home(folder / "state")
        self.home.root.mkdir(parents=True)
        self.environment = os.environ | {
            "DAMP_HOME": str(self.home.root),
            "DAMP_KEYS": str(folder / "keys"),
            **extra,
        }
        quick = load_policy("demo-v1").model_copy(
            update={"name": "quick", "references": 3, "fallback": "none"}
        )
        (folder / "quick.yaml").write_text(quick.model_dump_json())
        self.damp("keys", "new")

    def start(self, *arguments: str | Path, code: str | None = None) -> subprocess.Popen[str]:
        how = ["-m", "flows"] if code is None else ["-c", code]
        return subprocess.Popen(
            [sys.executable, *how, *map(str, arguments)],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def damp(self, *arguments: str | Path, code: str | None = None) -> str:
        process = self.start(*arguments, code=code)
        out, err = process.communicate()
        if process.returncode not in (0, 2):
            raise SystemExit(f"{arguments} ended with {process.returncode}:\n{err}")
        return out

    def submit(self, forget: int, model: str) -> str:
        event = str(uuid.uuid4())
        content = {
            "apiVersion": "damp/v1",
            "kind": "ErasureRequest",
            "subject_request_id": event,
            "regulation": ["gdpr", "ccpa"][forget % 2],
            "submitted_time": "2026-09-20T08:00:00Z",
            "scope": {"type": "class", "selector": {"index": forget}},
            "model": {"registry": f"{model}@champion"},
            "data": {"name": "digits"},
            "recipe": "digits",
            "policy": "quick.yaml",
        }
        file = self.folder / f"{event}.yaml"
        file.write_text(json.dumps(content))
        self.damp("submit", file)
        return event

    def events(self) -> list[Facts]:
        found: list[Facts] = json.loads(self.damp("status", "--json"))
        return found

    def processes(self) -> list[int]:
        """What still runs for this state folder."""
        found = []
        for process in psutil.process_iter():
            try:
                told, status = process.environ(), process.status()
            except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
            mine = str(self.home.root) in (told.get("DAMP_HOME"), told.get("PREFECT_HOME", "")[:-8])
            if mine and status != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        return found


@contextmanager
def served(office: Office) -> Iterator[Office]:
    """The office with `damp up` running."""
    office.damp("up")
    try:
        yield office
    finally:
        office.damp("down")


PLAINLY = """
import json, sys, time
from pathlib import Path
from flows.layout import Home
from flows.settings import prepare_environment, settings
home = Home(settings().home)
prepare_environment(home.root)
from flows import addresses, commands, runner, services
event, how = sys.argv[1:]
from flows import audit, cut, plan, prepare, publish, record, retraining
import flows.event, mlflow, damp, sklearn.linear_model, torchvision
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
with commands.engine(home) as server:
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
from flows.layout import Home
from flows.settings import prepare_environment, settings
home = Home(settings().home)
prepare_environment(home.root)
from flows import commands
with commands.engine(home) as server:
    server.wait()
    from flows.schedule import compliance_run
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
    wanted = {
        office.submit(forget, f"model-{number}")
        for forget in range(REQUESTS)
        for number in range(MODELS)
    }
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


def kills(folder: Path) -> Facts:
    """kill -9 of the run, its server, or their database, at a random moment, again and again."""
    office = Office(folder)
    with postgres.cluster() as database:
        prefect, locks = (postgres.database(database.address, n) for n in ("prefect", "locks"))
        (office.home.root / "settings.toml").write_text(
            f'prefect_database_url = "postgresql+asyncpg://{prefect}"\n'
            f'locks_url = "postgresql://{locks}"\n'
        )
        return _kill_again_and_again(office, database)


def _kill_again_and_again(office: Office, database: postgres.Cluster) -> Facts:
    office.damp("train", "--data", "digits", "--name", "digits")
    chance = random.Random(7)  # noqa: S311 - no secret: the same kills at every run
    died, events = Counter[str](), list[str]()
    forgets = iter(range(1, 9))
    event = ""
    with served(office):
        while sum(died.values()) < KILLS:
            if not event or not _of(office, event)["pending"]:
                forget = next(forgets, None)
                if forget is None:
                    break
                event = office.submit(forget, "digits")
                events.append(event)
            died[_killed(office, database, chance)] += 1
        office.damp("up")
        office.damp("run")
    repeated = {event: _repeated(office, event) for event in events}
    return {
        "kills": sum(count for victim, count in died.items() if victim != DONE),
        "target": 60,
        "of": died,
        "events": len(events),
        "decided": sum(not each["pending"] for each in office.events()),
        "entries_that_are_there_twice": sum(repeated.values()),
        "ledger": Ledger(office.home.ledger).verify().problem or "holds",
        "registry_problems": _registry_problems(office),
        "processes_left_after_down": len(office.processes()),
    }


def _registry_problems(office: Office) -> list[str]:
    found = json.loads(office.start("audit-registry", "--json").communicate()[0])
    return [problem for each in found for problem in each["problems"]]


def _of(office: Office, event: str) -> Facts:
    return next(each for each in office.events() if each["id"] == event)


def _killed(office: Office, database: postgres.Cluster, chance: random.Random) -> str:
    """Start a run, and kill it, its server or their database somewhere on its way."""
    office.damp("up")
    run = office.start("run")
    deadline = time.monotonic() + chance.uniform(4, 60)
    while time.monotonic() < deadline and run.poll() is None:
        time.sleep(0.05)
    victim = DONE if run.poll() is not None else chance.choice(["worker", "server", "database"])
    if victim == "worker":
        os.killpg(run.pid, signal.SIGKILL)
    elif victim == "server":
        told = json.loads((office.home.root / "services" / "prefect.json").read_text())
        os.kill(told["pid"], signal.SIGKILL)
    elif victim == "database":
        database.kill()
        database.start()
    run.communicate()
    return victim


def _repeated(office: Office, event: str) -> int:
    """Ledger entries of one kind and attempt beyond the first."""
    seen = Counter(
        (entry["kind"], entry["body"].get("attempt"))
        for entry in Ledger(office.home.ledger).of(event)
    )
    return sum(count - 1 for count in seen.values())


SPREAD = """
import json, sys, time
from pathlib import Path
from flows.layout import Home
from flows.settings import prepare_environment, settings
home = Home(settings().home)
prepare_environment(home.root)
from flows import commands, fanout, retraining
from flows.datasets import DataSpec
from damp.version import __version__
def jobs(first, count):
    model = {"architecture": "damp:cnn", "retired": []}
    data = {"classes": 10, "before": {"version": "bench"}, "spec": {"name": "digits", "root": None}}
    accepted = {"recipe": "digits", "forget": [3]}
    return [retraining.job(home, accepted, data, model, first + n) for n in range(count)]
workers, count = int(sys.argv[1]), int(sys.argv[2])
from prefect import flow, task
step = task(name="train", persist_result=False)(retraining.train_one)
with commands.engine(home) as server:
    server.wait()
    @flow(task_runner=fanout.runner(workers), validate_parameters=False)
    def spread():
        [f.result() for f in [step.submit(j) for j in jobs(0, workers)]]  # imports, start-up
        began = time.perf_counter()
        [f.result() for f in [step.submit(j) for j in jobs(100, count)]]
        return time.perf_counter() - began
    print(json.dumps(spread()))
"""


def spread(folder: Path) -> Facts:
    """References on one worker and on two, start-up apart."""
    found: Facts = {"trainings": TRAININGS, "target": 1.6}
    for kind in ("dask", "ray"):
        seconds = {}
        for workers in (1, 2):
            extra = {"DAMP_RUNNER": kind, "DAMP_WORKERS": str(workers)}
            office = Office(folder / f"{kind}-{workers}", **extra)
            told = office.damp(str(workers), str(TRAININGS), code=SPREAD)
            seconds[workers] = json.loads(told.splitlines()[-1])
        found[kind] = {
            "one_worker_seconds": round(seconds[1], 1),
            "two_workers_seconds": round(seconds[2], 1),
            "speed_up": round(seconds[1] / seconds[2], 2),
        }
    return found


def nightly(folder: Path) -> Facts:
    """A process that serves schedules; requests come in, nobody types, all are decided."""
    office = Office(folder)
    office.damp("train", "--data", "digits", "--name", "digits")
    serving = office.start("serve", "--every", "20s")
    try:
        events = [office.submit(forget, "digits") for forget in range(2)]
        _until(lambda: not any(event["pending"] for event in office.events()), serving)
        events.append(office.submit(2, "digits"))  # after the first run: the schedule must fire
        _until(lambda: not any(event["pending"] for event in office.events()), serving)
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


def calls(folder: Path) -> Facts:
    """Killed before and after each call that changes the registry; the next run completes it."""
    kept = _tests(folder, "tests/flows/test_registry.py", "registration_that_was_killed")
    return kept | {"target": "never an alias without a valid PASSED; the rest is mended"}


def gate(folder: Path) -> Facts:
    """Ways round the gate: each is named by the scan, and its promotion refused."""
    kept = _tests(folder, "tests/flows/test_gate.py", "way_round")
    return kept | {"target": "20, all named, promotion refused"}


def _tests(folder: Path, file: str, which: str) -> Facts:
    """Tests whose cases are what is counted here."""
    out = folder / "cases.xml"
    command = [sys.executable, "-m", "pytest", "-q", "--timeout", "1800", file]
    done = subprocess.run(
        [*command, "-k", which, f"--junitxml={out}"], capture_output=True, text=True, check=False
    )
    suite = ElementTree.parse(out).getroot()[0]  # noqa: S314 - written a moment ago
    names = [str(case.get("name")) for case in suite.iter("testcase")]
    if not names or any(case.find("error") is not None for case in suite.iter("testcase")):
        raise SystemExit(f"{file} could not begin:\n{done.stdout[-3000:]}")
    bad = [str(case.get("name")) for case in suite.iter("testcase") if len(case)]
    return {
        "cases": len(names),
        "held": len(names) - len(bad),
        "not_held": bad,
        "names": [name.partition("[")[2].rstrip("]") for name in names],
        "cases_are": f"{file} -k {which}",
        "exit_code": done.returncode,
    }


WORKERS = 4


def statistics_pass(folder: Path) -> Facts:
    """The statistics of four shards, by four processes, against one process and one pass."""
    office = Office(folder)
    office.damp("train", "--data", "digits", "--name", "digits")
    (base,) = office.home.models.glob("*.safetensors")
    jobs = [(str(base), part) for part in range(WORKERS)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=WORKERS, mp_context=context) as pool:
        spread = list(pool.map(_measured, jobs))
    alone = [_measured(job) for job in jobs]
    edits = {
        "four_processes": _edit(str(base), spread),
        "one_process": _edit(str(base), alone),
        "one_pass": _edit(str(base), None),
    }
    first, second, whole = edits.values()
    return {
        "workers": WORKERS,
        "processes": len({pid for _, _, pid in spread}),
        "weights": sum(value.numel() for value in first.values()),
        "same_bits_as_the_shards_in_one_process": _differ(first, second) == 0.0,
        "largest_difference_to_one_pass": _differ(first, whole),
        "target": "bit for bit where the reduction order is fixed",
    }


def _network(base: str) -> tuple[Any, list[tuple[Any, Any]]]:
    from flows import datasets, measured, models

    dataset = datasets.load(datasets.DataSpec(name="digits", root=None))
    shape = dataset.input_shape
    network, _ = models.load_weights(
        Path(base), architecture="damp:cnn", classes=10, input_shape=shape
    )
    return network, measured.batches(dataset)


def _measured(job: tuple[str, int]) -> tuple[Any, Any, int]:
    """The statistics of every fourth batch, as they would travel: tensors and text."""
    import torch

    import damp

    torch.set_num_threads(1)
    network, batches = _network(job[0])
    found = damp.measure(network, batches[job[1] :: WORKERS])
    tensors, text = found.to_tensors()
    return {name: value.numpy() for name, value in tensors.items()}, text, os.getpid()


def _edit(base: str, shards: list[tuple[Any, Any, int]] | None) -> dict[str, Any]:
    import torch

    import damp

    network, batches = _network(base)
    total = None
    for arrays, text, _ in shards or []:
        tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        found = damp.Measurement.from_tensors(tensors, text)
        total = found if total is None else total.plus(found)
    edited = damp.forget(network, batches, forget=[3], measured=total)
    weights: dict[str, Any] = edited.unretired.state_dict()
    return weights


def _differ(one: dict[str, Any], other: dict[str, Any]) -> float:
    gaps = [(value.double() - other[name].double()).abs().max() for name, value in one.items()]
    return float(max(gaps))


def page(found: Facts) -> str:
    """The figures as a page, a table for each part."""
    told = ["# What operations cost", ""]
    for name, figures in found.items():
        told += [f"## {name}", "", "| figure | value |", "|---|---|"]
        rows = figures | {"machine": ", ".join(f"{k} {v}" for k, v in figures["machine"].items())}
        told += [f"| {key.replace('_', ' ')} | {_cell(value)} |" for key, value in rows.items()]
        told.append("")
    return "\n".join(told)


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_cell(each)}" for key, each in value.items())
    if isinstance(value, list):
        return ", ".join(_cell(each) for each in value) or "none"
    return str(value).replace("|", "\\|").replace("\n", " ")


PARTS: dict[str, Callable[[Path], Facts]] = {
    "orchestration": orchestration,
    "queue": queue,
    "nightly": nightly,
    "kills": kills,
    "calls": calls,
    "gate": gate,
    "spread": spread,
    "statistics": statistics_pass,
}

if __name__ == "__main__":
    main()
