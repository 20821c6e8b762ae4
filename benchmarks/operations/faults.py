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
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import psutil

from benchmarks.operations.office import Facts, Office
from benchmarks.robustness import cross_origin, hostile_folders, many_events
from compliance.ledger import Ledger
from flows.servers import auth, processes
from flows.state import journal
from flows.state.paths import Attempt
from flows.state.settings import prepare_environment, settings
from flows.steps.table import STEPS
from tests.flows import postgres

PASSES = (
    *(("worker", "began"), ("worker", "done"), ("server", "done"), ("database", "done")),
    *(("server", "began"), ("database", "began")),
)
POINTS = [(victim, step, what) for victim, what in PASSES for step in STEPS]
"""Whom to kill and when: each of three at the begin and at the end of each of ten steps. The ends
come early, so that a run that is cut has killed after signing and after registration too."""


def kills(folder: Path, before: Facts | None = None, minutes: float = math.inf) -> Facts:
    """kill -9 of the run, its servers, or their database, at each step of an event.

    Args:
        folder: For the state.
        before: Figures of a run that was cut: its kills are not made again, but added.
        minutes: After which no kill is begun any more.
    """
    office = Office(folder)
    before = before or {"points": 0, "of": {}, "events": 0, "decided": 0, "problems": []}
    with postgres.cluster() as database:
        prefect, mlflow, locks = (
            postgres.database(database.address, name) for name in ("prefect", "mlflow", "locks")
        )
        ports = [processes.free_port() for _ in range(2)]
        (office.home.root / "settings.toml").write_text(
            f'prefect_database_url = "postgresql+asyncpg://{prefect}"\n'
            f'mlflow_database_url = "postgresql+psycopg2://{mlflow}"\n'
            f'locks_url = "postgresql://{locks}"\n'
        )

        def up() -> None:
            office.damp("up", "--prefect-port", str(ports[0]), "--mlflow-port", str(ports[1]))

        up()
        try:
            office.damp("train", "--data", "digits", "--name", "digits")
            _become(office, f"http://127.0.0.1:{ports[0]}/api")
            killing = Killing(office, database, up)
            killing.make(POINTS[before["points"] :], time.monotonic() + 60 * minutes)
            killing.look_at_the_end()
        finally:
            office.damp("down")
    killing.problems += [f"outlived damp down: {command}" for command in _left(office)]
    of = dict(Counter(before["of"]) + killing.of)
    points = before["points"] + killing.points
    return {
        "points": points,
        "target": len(POINTS),
        "points_are": "begin and end of each of ten steps, for each of three victims",
        "passes_over_ten_steps": [
            f"{victim} at {what}: {min(max(points - 10 * number, 0), 10)}"
            for number, (victim, what) in enumerate(PASSES)
        ],
        "kills": sum(of.values()),
        "of": of,
        "events": before["events"] + len(killing.events),
        "decided": before["decided"] + sum(not each["pending"] for each in killing.statuses),
        "problems": before["problems"] + killing.problems,
    }


def _left(office: Office) -> list[str]:
    """Commands of what still runs, once what was about to end has had its time."""
    for _ in range(30):
        if not office.processes():
            break
        time.sleep(1)
    return [" ".join(psutil.Process(pid).cmdline()) for pid in office.processes()]


def _become(office: Office, prefect: str) -> None:
    """Let this process be one of the office's, as its children will be."""
    password = auth.auth_string(office.home.root)
    own = {"PREFECT_API_URL": prefect, "PREFECT_API_AUTH_STRING": password}
    os.environ |= office.environment | own
    settings.cache_clear()
    prepare_environment(office.home.root)
    many_events.warm_up()


class Run:
    """`damp run` in a child of this process, which has imported everything already.

    Attributes:
        pid: Of the child, which leads a session of its own.
        code: How it ended, negative by a signal; None while it goes on.
    """

    def __init__(self, event: str, log: Path) -> None:
        self.code: int | None = None
        self._log = log
        log.write_bytes(b"")
        self.pid = many_events.start(lambda: _damp_run(event), log)

    def goes_on(self) -> bool:
        """Whether it has not ended."""
        if self.code is None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if done else None
        return self.code is None

    def wait(self) -> None:
        """Until it has ended."""
        if self.code is None:
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self) -> None:
        """It and what it has started."""
        os.killpg(self.pid, signal.SIGKILL)
        self.wait()

    def said(self) -> str:
        """What it has told people."""
        return self._log.read_text(errors="replace")


def _damp_run(event: str) -> int:
    from flows import __main__

    os.setsid()
    sys.argv = ["damp", "run", "--event", event]
    try:
        __main__.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


class Killing:
    """Kills on one state folder.

    Attributes:
        points: That were come to.
        of: Kills by victim.
        events: That were killed at.
        statuses: What `damp status` says of them at the end.
        problems: What must not be, in words.
    """

    def __init__(self, office: Office, database: postgres.Cluster, up: Callable[[], None]) -> None:
        self.office, self.database, self._start_servers = office, database, up
        self.points = 0
        self.of = Counter[str]()
        self.events: list[str] = []
        self.statuses: list[Facts] = []
        self.problems: list[str] = []
        self._lines: list[bytes] = []

    def make(self, points: list[tuple[str, str, str]], end: float) -> None:
        """Kill at those points, in order, until then; then let the events finish."""
        run: Run | None = None
        notes_before, last = 0, len(STEPS)
        for victim, step, what in points:
            if time.monotonic() > end:
                break
            at = list(STEPS).index(step)
            # the steps begin anew, or the run went on to its end while its servers came back
            if at <= last or self._is_past(run, step):
                self._finish(run)
                run = None
                self.events.append(self.office.submit(len(self.events), "digits"))
            last = at
            if run is None or not run.goes_on():
                self._ended(run)
                notes_before, run = len(self._notes()), self._run()
            if not self._reached(run, notes_before, (step, what)):
                self._ended(run)  # as it lost its server or database: the next one comes there
                notes_before, run = len(self._notes()), self._run()
                if not self._reached(run, notes_before, (step, what)):
                    self.problems.append(f"{self.events[-1]} does not come to {step} {what}")
            self.of[victim] += self._kill(victim, run)
            self.points += 1
            self._ledger_kept(f"{victim}, {step} {what}")
            sys.stderr.write(f"{victim}, {step} {what}\n")
        self._finish(run)

    def look_at_the_end(self) -> None:
        """All decided, each entry there once, a registry without problems."""
        self.statuses = self.office.events()
        for each in self.statuses:
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
        content = json.loads(self.office.start("audit-registry", "--json").communicate()[0])
        self.problems += [problem for each in content for problem in each["problems"]]
        registrations = Counter(each["event"] for each in content if each["event"])
        self.problems += [
            f"{event} was registered twice" for event in registrations if registrations[event] > 1
        ]

    def _run(self) -> Run:
        return Run(self.events[-1], self.office.folder / "run.log")

    def _notes(self) -> list[tuple[str, str]]:
        notes = journal.read(Attempt(self.office.home, self.events[-1], 1))
        return [(note["step"], note["what"]) for note in notes]

    def _is_past(self, run: Run | None, step: str) -> bool:
        """Whether a run has ended that finished the step: no other will come there."""
        return run is not None and not run.goes_on() and (step, "done") in self._notes()

    def _reached(self, run: Run, notes_before: int, point: tuple[str, str]) -> bool:
        """Whether a running command comes to that point; False where it ends before."""
        while run.goes_on():
            if point in self._notes()[notes_before:]:
                return True
            time.sleep(0.005)
        return point in self._notes()[notes_before:]  # it was done a moment later

    def _kill(self, victim: str, run: Run) -> bool:
        """Whether it still lived: a run may have ended on the heels of its last step.

        Servers and database are started again at once, as whoever looks after them would.
        """
        if victim == "worker":
            alive = run.goes_on()
            if alive:
                run.kill()
            return alive
        if victim == "server":
            for name in ("prefect", "mlflow"):
                record = self.office.home.root / "services" / f"{name}.json"
                os.kill(json.loads(record.read_text())["pid"], signal.SIGKILL)
            self._start_servers()
        else:
            self.database.kill()
            self.database.start()
        return True

    def _ended(self, run: Run | None) -> None:
        """A run that lost its server or database says so to people, or has gone on."""
        if run is None:
            return
        run.wait()
        if "Traceback" in run.said():
            self.problems.append(f"a traceback: {run.said()[-1500:]}")

    def _finish(self, run: Run | None) -> None:
        if not self.events:
            return
        self._ended(run)
        self._ended(last := self._run())
        if last.code not in (0, 2):
            self.problems.append(f"{self.events[-1]}: the last run ended with {last.code}")
        self._ledger_kept("the last run")

    def _ledger_kept(self, when: str) -> None:
        """Every entry that was there still is."""
        lines = Ledger(self.office.home.ledger).lines()
        if lines[: len(self._lines)] != self._lines:
            self.problems.append(f"{when}: the ledger has lost entries")
        self._lines = lines


def calls(folder: Path) -> Facts:
    """Killed before and after each call that changes the registry; the next run completes it."""
    kept = _tests(
        folder, "tests/flows/registry/test_registration.py", "registration_that_was_killed"
    )
    return kept | {"target": "never an alias without a valid PASSED; the rest is mended"}


def gate(folder: Path) -> Facts:
    """Ways round the gate: each is named by the scan, and its promotion refused."""
    kept = _tests(folder, "tests/flows/registry/test_gate.py", "way_round")
    return kept | {"target": "40, all named, promotion refused"}


def folders(folder: Path) -> Facts:
    """Folders of strangers, with everything that is run by whoever is careless there."""
    kept = _tests(folder, "tests/flows/test_hostile_folders.py", "all_kinds or prefect_reads")
    return kept | {
        "kinds": len(hostile_folders.KINDS),
        "kinds_are": list(hostile_folders.KINDS),
        "target": "0 executions of 20 kinds",
    }


def claims(folder: Path) -> Facts:
    """Claims that name code: at each of their doors, by each command that reads them."""
    which = "unless_it_was_allowed or any_callable or class_decides or before_anybody_was_asked"
    kept = _tests(folder, "tests/flows/orchestration/test_claim.py", which)
    return kept | {"target": "0 executions"}


def origins(folder: Path) -> Facts:
    """Requests of another origin, host or user, and a hostile page in Chromium."""
    os.environ["DAMP_REQUIRE_BROWSER"] = "1"
    which = "who_may_not_ask or another_origin or do_much"
    kept = _tests(folder, "tests/flows/servers/test_guard.py", which)
    return kept | {
        "tries_of_one_page_in_the_browser": cross_origin.tries(3),
        "target": "10 of a real browser, all refused",
    }


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
