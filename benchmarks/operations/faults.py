"""What kills and ways round the gate leave behind."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.operations.office import Facts, Office, served
from compliance.ledger import Ledger
from flows import journal
from flows.layout import Attempt
from tests.flows import postgres

VICTIMS = ("worker", "server", "database")
POINTS = [
    (victim, step, what)
    for what in ("began", "done")
    for victim in VICTIMS
    for step in journal.STEPS
]
"""Whom to kill and when: each of three at the begin and at the end of each of ten steps."""


def kills(folder: Path, before: Facts | None = None, minutes: float = math.inf) -> Facts:
    """kill -9 of the run, its servers, or their database, at each step of an event.

    Args:
        folder: For the state.
        before: Figures of a run that was cut: its kills are not made again, but added.
        minutes: After which no kill is begun any more.
    """
    office = Office(folder)
    with postgres.cluster() as database:
        prefect, mlflow, locks = (
            postgres.database(database.address, name) for name in ("prefect", "mlflow", "locks")
        )
        (office.home.root / "settings.toml").write_text(
            f'prefect_database_url = "postgresql+asyncpg://{prefect}"\n'
            f'mlflow_database_url = "postgresql+psycopg2://{mlflow}"\n'
            f'locks_url = "postgresql://{locks}"\n'
        )
        before = before or {"of": {}, "events": 0, "decided": 0, "problems": []}
        made = sum(before["of"].values())
        with served(office):
            office.damp("train", "--data", "digits", "--name", "digits")
            killing = Killing(office, database)
            killing.make(POINTS[made:], time.monotonic() + 60 * minutes)
            office.damp("up")
            killing.look_at_the_end()
        left = len(office.processes())
    if left:
        killing.problems.append(f"{left} processes outlived damp down")
    of = dict(Counter(before["of"]) + killing.of)
    return {
        "kills": sum(of.values()),
        "target": len(POINTS),
        "of": of,
        "at": "the begin and the end of each step",
        "events": before["events"] + len(killing.events),
        "decided": before["decided"] + sum(not each["pending"] for each in killing.told),
        "problems": before["problems"] + killing.problems,
    }


class Killing:
    """Kills on one state folder.

    Attributes:
        of: How many, by victim.
        events: That were killed at.
        told: What `damp status` says of them at the end.
        problems: What must not be, in words.
    """

    def __init__(self, office: Office, database: postgres.Cluster) -> None:
        self.office, self.database = office, database
        self.of = Counter[str]()
        self.events: list[str] = []
        self.told: list[Facts] = []
        self.problems: list[str] = []
        self._lines: list[bytes] = []
        self._up = True

    def make(self, points: list[tuple[str, str, str]], end: float) -> None:
        """Kill at those points, in order, until then; then let the events finish."""
        event, run, seen, last = "", None, 0, -1
        for victim, step, what in points:
            if time.monotonic() > end:
                break
            at = list(journal.STEPS).index(step)
            if at <= last or not event:  # the steps begin anew: with another event
                self._finish(run)
                event, run = self._submitted(), None
            last = at
            while True:
                if run is None or run.poll() is not None:
                    self._ended(run)
                    self._servers_are_up()
                    seen, run = len(self._notes(event)), self.office.start("run", "--event", event)
                if self._reached(run, event, seen, (step, what)):
                    break
                if not self._pending(event):
                    self.problems.append(f"{event} was decided before {step} {what}")
                    break
            self._kill(victim, run)
            self.of[victim] += 1
            self._ledger_kept(f"{victim}, {step} {what}")
        self._finish(run)

    def look_at_the_end(self) -> None:
        """All decided, each entry there once, a registry without problems."""
        self.told = self.office.events()
        for each in self.told:
            event = each["id"]
            if each["pending"]:
                self.problems.append(f"{event} is {each['state']}: {each['problem']}")
            kinds = Counter(
                (entry["kind"], entry["body"].get("attempt"))
                for entry in Ledger(self.office.home.ledger).of(event)
            )
            twice = [kind for (kind, _), count in kinds.items() if count > 1]
            self.problems += [f"{event}: more than one {kind}" for kind in twice]
        if problem := Ledger(self.office.home.ledger).verify().problem:
            self.problems.append(f"ledger: {problem}")
        found = json.loads(self.office.start("audit-registry", "--json").communicate()[0])
        self.problems += [problem for each in found for problem in each["problems"]]
        made = Counter(each["event"] for each in found if each["event"])
        self.problems += [f"{event} was registered twice" for event in made if made[event] > 1]

    def _submitted(self) -> str:
        self.events.append(self.office.submit(len(self.events), "digits"))
        return self.events[-1]

    def _notes(self, event: str) -> list[tuple[str, str]]:
        notes = journal.read(Attempt(self.office.home, event, 1))
        return [(note["step"], note["what"]) for note in notes]

    def _reached(
        self,
        run: subprocess.Popen[str],
        event: str,
        seen: int,
        point: tuple[str, str],
    ) -> bool:
        """Whether a running command comes to that point; False where it ends before."""
        while run.poll() is None:
            if point in self._notes(event)[seen:]:
                return True
            time.sleep(0.005)
        return False

    def _pending(self, event: str) -> bool:
        return any(each["pending"] for each in self.office.events() if each["id"] == event)

    def _servers_are_up(self) -> None:
        if not self._up:
            self.office.damp("up")
        self._up = True

    def _kill(self, victim: str, run: subprocess.Popen[str]) -> None:
        if victim == "worker":
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
        elif victim == "server":
            for name in ("prefect", "mlflow"):
                record = self.office.home.root / "services" / f"{name}.json"
                os.kill(json.loads(record.read_text())["pid"], signal.SIGKILL)
            self._up = False
        else:
            self.database.kill()
            self.database.start()

    def _ended(self, run: subprocess.Popen[str] | None) -> None:
        """A run that lost its server or database says so to people, or has gone on."""
        if run is None:
            return
        _, err = run.communicate()
        if "Traceback" in err:
            self.problems.append(f"a traceback: {err.strip().splitlines()[-1]}")

    def _finish(self, run: subprocess.Popen[str] | None) -> None:
        if not self.events:
            return
        self._ended(run)
        self._servers_are_up()
        self._ended(last := self.office.start("run", "--event", self.events[-1]))
        if last.returncode not in (0, 2):
            self.problems.append(f"{self.events[-1]}: the last run ended with {last.returncode}")
        self._ledger_kept("the last run")

    def _ledger_kept(self, when: str) -> None:
        """Every entry that was there still is."""
        lines = Ledger(self.office.home.ledger).lines()
        if lines[: len(self._lines)] != self._lines:
            self.problems.append(f"{when}: the ledger has lost entries")
        self._lines = lines


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
