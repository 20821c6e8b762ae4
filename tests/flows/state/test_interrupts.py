"""Ctrl-C and SIGTERM end every command with 130 and one line, wherever they come."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from flows.servers import processes
from tests.flows.running import eventually, interruptible

AT_IMPORT = """
import os, signal, sys
number, module = int(sys.argv.pop(1)), sys.argv.pop(1)
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            os.kill(os.getpid(), number)
sys.meta_path.insert(0, Interrupting())
from flows import __main__
__main__.main()
"""


@pytest.mark.parametrize("module", ["click", "flows.cli.app", "flows.records.status"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_during_imports_is_told_in_one_line(
    number: signal.Signals, module: str, tmp_path: Path
) -> None:
    home = ["--home", str(tmp_path), "status"]
    process = subprocess.run(
        [sys.executable, "-c", AT_IMPORT, str(int(number)), module, *home],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=interruptible,
    )
    said = "error: interrupted. Nothing is lost: the same command goes on.\n"
    assert (process.returncode, process.stderr.lstrip("\n")) == (
        130,
        said,
    )  # click ends the line of ^C


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_what_others_swallow_is_raised_again(name: str) -> None:
    code = (
        "import os, signal\n"
        "from flows.state import interrupts\n"
        "interrupts.catch_signals()\n"
        "interrupts.check()\n"
        f"try:\n    os.kill(os.getpid(), signal.{name})\n"
        "except KeyboardInterrupt:\n    print('swallowed', flush=True)\n"
        "try:\n    interrupts.check()\n"
        "except KeyboardInterrupt:\n    print('raised again', flush=True)\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=interruptible,
    )
    assert process.stdout == "swallowed\nraised again\n"


def test_a_job_that_a_shell_runs_in_the_background_goes_on_ignoring_ctrl_c() -> None:
    code = (
        "import os, signal\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from flows.state import interrupts\n"
        "interrupts.catch_signals()\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "interrupts.check()\n"
        "print('goes on')\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout == "goes on\n"


FAMILY = """
import subprocess, sys, time
sleeping = [sys.executable, "-c", "import time; time.sleep(600)"]
child = subprocess.Popen(sleeping, stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
time.sleep(600)
"""


def test_a_session_is_ended_though_its_leader_was_killed() -> None:
    leader = subprocess.Popen(
        [sys.executable, "-c", FAMILY], stdout=subprocess.PIPE, start_new_session=True
    )
    assert leader.stdout is not None
    child = processes.Identity.of(int(leader.stdout.readline()))
    first = processes.Identity.of(leader.pid)
    leader.kill()
    leader.communicate()  # all its output: its child has none
    assert processes.find(child) is not None
    processes.end_session(replace(first, started=first.started + 3600))  # another, younger one
    assert processes.find(child) is not None
    processes.end_session(first)
    assert eventually(lambda: processes.find(child) is None)
