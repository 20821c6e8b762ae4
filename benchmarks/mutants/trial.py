"""One change, run against the tests of its module."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.mutants import own_tests, warm
from benchmarks.mutants.mutation import Mutation

KILLED, ALIVE, TIMED_OUT, UNTESTED = "killed", "alive", "timed out", "untested"
LONGEST = 300.0
"""Seconds of processor time after which a test run counts as hanging: loops may never end."""
FAILED, NO_SUCH_TEST, NO_TESTS = 1, 4, 5
"""Exit codes of pytest."""
QUICK = "not slow and not long"
"""Marks of the tests that are run: what only a slow one notices counts as alive."""
OPTIONS = (
    *("-x", "-q", "--no-header", "--tb=no"),
    *("-p", "no:cacheprovider", "-p", "no:xdist"),
    # pytest would import what it is asked to collect in a way of its own, past the plugin
    "--assert=plain",
)


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
        seconds: Processor time that it took.
        content: What `content_of` says: where that has changed since, it is tried again.
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


def content_of(module: Path, by: str = "") -> str:
    """Digest of all that an outcome rests on: another one is tried again.

    Args:
        module: From the root.
        by: The test that noticed, as `Trial` has it. Then its own source counts and no other
            test's, as one that is added beside it takes nothing back.
    """
    digest = hashlib.sha256((own_tests.ROOT / module).read_bytes())
    path, _, test = by.partition(" ")[2].partition("::")
    if test:
        digest.update(_source_of(own_tests.ROOT / path, test))
    else:
        for file in own_tests.of(module):
            digest.update((own_tests.ROOT / file).read_bytes())
    return digest.hexdigest()[:16]


def _source_of(file: Path, test: str) -> bytes:
    """A test function with its parameters; all of the file where it is none of its functions."""
    name = test.partition("[")[0]
    content = file.read_bytes() if file.exists() else b""
    functions = (n for n in ast.walk(ast.parse(content)) if isinstance(n, ast.FunctionDef))
    return next((ast.unparse(n).encode() for n in functions if n.name == name), content)


def tried(module: Path, mutation: Mutation, *, first: str = "") -> Trial:
    """Run the module's quick tests with the change in place, until one notices.

    Args:
        module: From the root.
        mutation: The change.
        first: The test that noticed it before, if any did: it is asked before all others.
    Raises:
        RuntimeError: pytest could not run at all, or what noticed fails without the change too.
    """
    tests = own_tests.of(module)
    outcome, by, seconds = UNTESTED, "", 0.0
    again = [first] if any(first.startswith(f"{test}::") for test in tests) else []
    for chosen in [again] * bool(again) + [[*map(str, tests)]]:
        outcome, by, spent = _run(chosen, key_of(module, mutation), so_far=outcome)
        seconds += spent
        if outcome in (KILLED, TIMED_OUT):
            break
    return Trial(
        key=key_of(module, mutation),
        module=module.as_posix(),
        line=mutation.line,
        kind=mutation.kind,
        before=mutation.before,
        after=mutation.after,
        outcome=outcome,
        by=by,
        seconds=round(seconds, 1),
        content=content_of(module, by),
    )


def _run(tests: Sequence[str], mutant: str, *, so_far: str) -> tuple[str, str, float]:
    """Outcome, the first test that failed, and processor time.

    Args:
        so_far: The outcome, which stands where there is no quick test.
    """
    done = warm.run([*OPTIONS, "-m", QUICK, *tests], mutant=mutant, limit=LONGEST)
    if done.code < 0:
        return TIMED_OUT, "", done.seconds
    if done.code == 0:
        return ALIVE, "", done.seconds
    if done.code == NO_TESTS or (done.code == NO_SUCH_TEST and "::" in tests[0]):
        return so_far, "", done.seconds
    failed = [line for line in done.output.splitlines() if line.startswith(("FAILED", "ERROR"))]
    by = failed[0].split(" - ")[0] if failed else "import"
    words = by.split(" ", 1)
    _must_pass(words[1] if done.code == FAILED and len(words) > 1 else "", tuple(tests))
    return KILLED, by, done.seconds


@cache
def _must_pass(test: str, tests: tuple[str, ...]) -> None:
    """A test that fails without any change says nothing about one.

    Args:
        test: What noticed; "" for the import of the files.
        tests: The files.
    """
    asked = [test] if test else ["--collect-only", *tests]
    done = warm.run([*OPTIONS, *asked], mutant=None, limit=LONGEST)
    if done.code not in (0, NO_TESTS):
        raise RuntimeError(
            f"{test or tests} fails without any change: fix it.\n{done.output[-2000:]}"
        )
