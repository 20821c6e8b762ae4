"""One change, run against the tests of its module."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.mutants import own_tests, plugin
from benchmarks.mutants.mutation import Mutation

KILLED, ALIVE, TIMED_OUT, UNTESTED = "killed", "alive", "timed out", "untested"
LONGEST = 300.0
"""Seconds of processor time after which a test run counts as hanging: loops may never end."""
FAILED, NO_TESTS = 1, 5
"""Exit codes of pytest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What became of a mutant.

    Attributes:
        key: Module and number.
        module: From the root.
        line: Of the change.
        kind: Of the change.
        before: The source as it stands.
        after: The source changed.
        outcome: "killed", "alive", "timed out", or "untested" where the module has no tests.
        by: The test that noticed, or "" where none did.
        seconds: That it took.
        content: Digest of the module and its tests: another one is tried again.
    """

    key: str
    module: str
    line: int
    kind: str
    before: str
    after: str
    outcome: str
    by: str
    seconds: float
    content: str


def key_of(module: Path, mutation: Mutation) -> str:
    """How a mutant is named, here and in `plugin.VARIABLE`."""
    return f"{module.as_posix()}:{mutation.index}"


def content_of(module: Path) -> str:
    """Digest of a module and of the tests that it is tried against."""
    told = hashlib.sha256()
    for file in (module, *own_tests.of(module)):
        told.update((own_tests.ROOT / file).read_bytes())
    return told.hexdigest()[:16]


def tried(module: Path, mutation: Mutation) -> Trial:
    """Run the module's tests with the change in place.

    Raises:
        RuntimeError: pytest could not run at all.
    """
    began = time.monotonic()
    tests = own_tests.of(module)
    outcome, by = _run(tests, key_of(module, mutation)) if tests else (UNTESTED, "")
    return Trial(
        key=key_of(module, mutation),
        module=module.as_posix(),
        line=mutation.line,
        kind=mutation.kind,
        before=mutation.before,
        after=mutation.after,
        outcome=outcome,
        by=by,
        seconds=round(time.monotonic() - began, 1),
        content=content_of(module),
    )


def passes(module: Path) -> bool:
    """Whether the tests pass without any change: else they can tell nothing."""
    tests = own_tests.of(module)
    return not tests or _run(tests, None)[0] == ALIVE


def _run(tests: Sequence[Path], mutant: str | None) -> tuple[str, str]:
    """Outcome, and the first test that failed."""
    command = [
        *(sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--tb=no", "-p"),
        *("benchmarks.mutants.plugin", "-p", "no:cacheprovider", "-m", "not long"),
        *(str(test) for test in tests),
    ]
    environment = os.environ | ({plugin.VARIABLE: mutant} if mutant else {})
    limit = f'ulimit -t {LONGEST:.0f}; exec "$@"'
    done = subprocess.run(
        ["bash", "-c", limit, "bash", *command],  # processor time: a busy machine kills nobody
        cwd=own_tests.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode < 0 or done.returncode > 128:
        return TIMED_OUT, ""
    if done.returncode == 0:
        return ALIVE, ""
    if done.returncode == NO_TESTS:
        return UNTESTED, ""
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    # 2 and 4: a test file that cannot even be imported notices too
    if done.returncode == FAILED or failed or mutant:
        return KILLED, failed[0].split(" - ")[0] if failed else "import"
    raise RuntimeError(f"pytest could not run: {done.stdout[-400:]}{done.stderr[-400:]}")
