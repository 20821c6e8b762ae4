"""What kills and ways round the gate leave behind."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.operations.office import Facts, Office, served
from compliance.ledger import Ledger
from tests.flows import postgres

KILLS = int(os.environ.get("KILLS", "60"))


DONE = "nothing: it was done"


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
