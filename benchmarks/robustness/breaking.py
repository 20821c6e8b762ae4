"""Break each defence once, and see the test that docs/threats.md names for it fail.

    python -m benchmarks.robustness.breaking [NAME ...]

Works on a copy of the repository: one line is replaced by one that defends nothing, the named test
is run there, and must fail; on the unbroken copy it must pass. The result is
benchmarks/results/defences.json; those that are named are tried anew, the others keep their result.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import RESULTS
from benchmarks.robustness.defences import DEFENCES, Defence

ROOT = Path(__file__).parents[2]
ROOMS = ("damp", "audits", "compliance", "flows", "tests", "benchmarks", "docs")
RESULT = RESULTS / "defences.json"
FILES = ("pyproject.toml", "CHANGELOG.md", "README.md", "requirements.lock")


def copy(folder: Path) -> Path:
    """The repository without its environment, its history and its results."""
    for name in ROOMS:
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
        )
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    return folder


def passes(folder: Path, *tests: str) -> bool:
    """Whether all of these tests pass on the copy."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    if done.returncode not in (0, 1):
        raise SystemExit(
            f"{', '.join(tests)} could not be run:\n{done.stdout[-2000:]}{done.stderr[-1000:]}"
        )
    if done.returncode == 0 and re.search(r"\d+ skipped", done.stdout):
        raise SystemExit(f"Of {', '.join(tests)} some were skipped: they show nothing here.")
    return done.returncode == 0


def table(defences: Sequence[Defence]) -> str:
    """What is broken how and which test notices, as the table of docs/threats.md."""
    lines = ["| defence | in | broken by | noticed by |", "|---|---|---|---|"]
    for one in defences:
        removed = _code(one.broken) if one.broken.strip() else "nothing"
        change = f"{_code(one.whole)} → {removed}"
        lines.append(f"| {one.name} | `{one.file}` | {change} | `{one.test}` |")
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    shown = " ".join(text.split()).replace("|", "\\|")
    return f"`` {shown} ``" if "`" in shown else f"`{shown}`"


def attempt(folder: Path, defence: Defence, sound: dict[str, bool]) -> dict[str, Any]:
    """Break, test, mend. `sound` says which tests pass on the unbroken copy."""
    file = folder / defence.file
    whole = file.read_text(encoding="utf-8")
    if whole.count(defence.whole) != 1:
        raise SystemExit(f"{defence.name}: {defence.file} holds {defence.whole!r} not once.")
    file.write_text(whole.replace(defence.whole, defence.broken), encoding="utf-8")
    try:
        caught = not passes(folder, defence.test)
    finally:
        file.write_text(whole, encoding="utf-8")
    return {
        "defence": defence.name,
        "file": defence.file,
        "broken": f"{defence.whole.strip()} -> {defence.broken.strip() or '(removed)'}",
        "test": defence.test,
        "passes_when_whole": sound[defence.test],
        "fails_when_broken": caught,
    }


def main(names: Sequence[str]) -> None:
    """All of them, or those named."""
    figures = {outcome["defence"]: outcome for outcome in _stored()}
    chosen = [defence for defence in DEFENCES if not names or defence.name in names]
    missed = False
    with tempfile.TemporaryDirectory(prefix="damp-breaking-") as folder:
        place = copy(Path(folder))
        sound = _sound(place, sorted({defence.test for defence in chosen}))
        for defence in chosen:
            outcome = attempt(place, defence, sound)
            figures[defence.name] = outcome
            missed |= not caught(outcome)
            print(
                f"{'caught' if caught(outcome) else 'NOT CAUGHT'}  {defence.name}: {defence.test}",
                flush=True,
            )
            _keep([figures[d.name] for d in DEFENCES if d.name in figures])
    if missed:
        raise SystemExit(1)


def _sound(place: Path, tests: list[str]) -> dict[str, bool]:
    """Which tests pass on the whole: all in one run, or one by one where some do not."""
    if passes(place, *tests):
        return dict.fromkeys(tests, True)
    return {test: passes(place, test) for test in tests}


def caught(outcome: dict[str, Any]) -> bool:
    """Whether the test passes on the whole and fails on the broken."""
    return bool(outcome["passes_when_whole"] and outcome["fails_when_broken"])


def _stored() -> list[dict[str, Any]]:
    outcomes: list[dict[str, Any]] = (
        json.loads(RESULT.read_text())["each"] if RESULT.exists() else []
    )
    return outcomes


def _keep(each: list[dict[str, Any]]) -> None:
    content = {
        "command": "python -m benchmarks.robustness.breaking",
        "defences": len(each),
        "caught": sum(map(caught, each)),
        "each": each,
    }
    RESULT.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
