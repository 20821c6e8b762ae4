"""One event at a time on one lineage, between real processes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from flows.state import locks
from flows.state.errors import BusyError, StoreError
from flows.state.paths import Home

Refusal = Callable[..., AbstractContextManager[None]]
HOLD = """
import subprocess, sys, time
from pathlib import Path
from flows.state import locks
from flows.state.paths import Home
with locks.lineage(Home(Path(sys.argv[1])), sys.argv[2]):
    child = subprocess.Popen(["sleep", "60"])  # as Prefect's server is one
    print(child.pid, flush=True)
    time.sleep(60)
"""


@contextmanager
def held(home: Home, name: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock, with a child that outlives it."""
    command = [sys.executable, "-c", HOLD, str(home.root), name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        child = holder.stdout.readline().strip()
        try:
            yield holder
        finally:
            holder.kill()
            subprocess.run(["kill", "-9", child], check=True)


def test_a_second_process_is_told_that_the_model_is_busy(home: Home, refused: Refusal) -> None:
    with (
        held(home, "digits"),
        refused(BusyError, "model 'digits'", "damp status", "then run this one"),
        locks.lineage(home, "digits"),
    ):
        pytest.fail("two events on one model")


def test_busy_has_an_exit_code_of_its_own() -> None:
    assert BusyError("").exit_code == 4


def test_another_lineage_is_free(home: Home) -> None:
    with held(home, "digits"), locks.lineage(home, "faces"):
        pass


def test_the_lock_is_free_after_kill_9_even_while_a_child_lives_on(home: Home) -> None:
    with held(home, "digits") as holder:
        holder.kill()
        holder.wait(timeout=10)
        began = time.monotonic()
        with locks.lineage(home, "digits"):
            assert time.monotonic() - began < 1


def test_the_lock_is_given_back_after_an_error(home: Home) -> None:
    with pytest.raises(KeyError), locks.lineage(home, "digits"):
        raise KeyError
    with locks.lineage(home, "digits"):
        pass


def test_one_process_cannot_take_it_twice(home: Home) -> None:
    with locks.lineage(home, "digits"), pytest.raises(BusyError), locks.lineage(home, "digits"):
        pytest.fail("two events on one model")


def test_a_name_with_slashes_and_dots_stays_inside_the_folder(home: Home) -> None:
    with locks.lineage(home, "../../weights/../x.safetensors"):
        assert len(list(home.locks.iterdir())) == 1


def test_a_read_only_state_folder_is_not_mistaken_for_a_busy_model(
    read_only_disk: Path, refused: Refusal
) -> None:
    frozen = Home(read_only_disk / "state")
    with (
        refused(StoreError, str(frozen.locks), "Read-only file system", "writable"),
        locks.lineage(frozen, "digits"),
    ):
        pytest.fail("locked nothing")


def test_a_lock_folder_that_turned_read_only_is_not_mistaken_for_a_busy_model(
    tiny_disk: Path, refused: Refusal
) -> None:
    frozen = Home(tiny_disk)
    frozen.locks.mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    with (
        refused(StoreError, str(frozen.locks), "Read-only file system", "writable"),
        locks.lineage(frozen, "digits"),
    ):
        pytest.fail("locked nothing")


def test_a_file_in_the_way_of_the_state_folder_is_named(
    below_a_file: Path, refused: Refusal
) -> None:
    with (
        refused(StoreError, str(below_a_file), "Not a directory", "--home"),
        locks.lineage(Home(below_a_file), "digits"),
    ):
        pytest.fail("locked nothing")
