"""Do both ends of the ranges in pyproject.toml work? `make check-ranges` (needs a registry).

Each end gets an environment of its own: `lowest` takes the lowest version that pyproject.toml
admits of whatever it names, `highest` the newest of everything. In both, every module is imported
and the tests in `SMOKE` and `LONG` run: the mathematics, the audits, the record, one event with its
registry and data versions, a schedule that fires, and the wheel alone. Half an hour an end on two
cores, and 6 GB. The versions tried go into benchmarks/results and the table of
docs/dependencies.md.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks import machine

CHECKOUT = Path(__file__).parents[1]
PAGE = CHECKOUT / "docs" / "dependencies.md"
TABLE = re.compile(r"(?<=<!-- ranges -->\n).*(?=<!-- end of ranges -->)", flags=re.DOTALL)
RESULT = "compatibility"
"""Name of the result's file."""
ENDS = {"lowest": "lowest-direct", "highest": "highest"}
"""uv's name of the resolution that gives each end."""
SMOKE = (
    "tests/damp",
    "tests/audits",
    "tests/compliance",
    "tests/flows/orchestration/test_event.py",
    "tests/flows/registry",
    "tests/flows/data/test_versions.py",
    "tests/flows/servers/test_servers.py",
    "tests/flows/operations/test_doctor.py",
    "tests/test_wheel.py",
)
LONG = (
    "tests/test_wheel.py",
    "tests/flows/orchestration/test_faults.py::test_the_schedule_fires_and_decides_a_pending_request",
)
IMPORT_ALL = """
import importlib, pkgutil
for name in ("damp", "audits", "compliance", "flows"):
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, f"{name}."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)
"""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One end of all ranges, tried.

    Attributes:
        date: Of the trial, in UTC.
        python: Version of the interpreter.
        packages: Version of each direct dependency, by its name in pyproject.toml.
        holds: Whether every module could be imported and every test passed.
    """

    date: str
    python: str
    packages: dict[str, str]
    holds: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the ends that were asked for; 1 where one does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.compatibility")
    parser.add_argument(
        "ends", nargs="*", metavar="END", help=f"of {', '.join(ENDS)}; both if none"
    )
    parser.add_argument("--keep", action="store_true", help="leave the environments on disk")
    options = parser.parse_args(arguments)
    if unknown := set(options.ends) - set(ENDS):
        parser.error(f"no such end: {', '.join(sorted(unknown))}; there are {', '.join(ENDS)}")
    trials = read()
    for end in options.ends or ENDS:
        environment = CHECKOUT / f".venv-{end}"
        install(environment, ENDS[end])
        trials[end] = Trial(
            date=datetime.datetime.now(datetime.UTC).date().isoformat(),
            python=sys.version.split()[0],
            packages=versions(environment),
            holds=holds(environment),
        )
        if not options.keep:
            shutil.rmtree(environment)
        write(trials)
    return 0 if all(trials[end].holds for end in options.ends or ENDS) else 1


def direct_dependencies() -> list[str]:
    """Names in pyproject.toml, extras left out."""
    with (CHECKOUT / "pyproject.toml").open("rb") as file:
        texts = tomllib.load(file)["project"]["dependencies"]
    return [Requirement(text).name for text in texts]


def install(environment: Path, resolution: str) -> None:
    """A new environment with all extras at one end of their ranges, and this checkout."""
    wanted = environment / "requirements.txt"
    uv(None, "venv", "--quiet", "--seed", "--clear", "--python", sys.executable, environment)
    resolve = ("pip", "compile", "pyproject.toml", "--all-extras", "--no-header", "--quiet")
    uv(environment, *resolve, "--resolution", resolution, "--output-file", wanted)
    uv(environment, "pip", "install", "--quiet", "--requirements", wanted)
    uv(environment, "pip", "install", "--quiet", "--no-deps", "--editable", CHECKOUT)


def versions(environment: Path) -> dict[str, str]:
    """What is installed of what pyproject.toml names."""
    listed = uv(environment, "pip", "list", "--format", "json")
    installed = {each["name"]: each["version"] for each in json.loads(listed)}
    return {name: installed[canonicalize_name(name)] for name in direct_dependencies()}


def holds(environment: Path) -> bool:
    """Whether everything can be imported and the tests pass; their output goes to the terminal."""
    commands = (
        ("-c", IMPORT_ALL),
        ("-m", "pytest", "-q", "-m", "not long", *SMOKE),
        ("-m", "pytest", "-q", "-m", "long", "--timeout", "1800", *LONG),
    )
    ended_well = [run_in(environment, *command) for command in commands]
    return all(ended_well)


def run_in(environment: Path, *arguments: str) -> bool:
    """Whether the environment's Python ends well."""
    path = os.pathsep.join([str(environment / "bin"), os.environ["PATH"]])
    command = [str(environment / "bin" / "python"), *arguments]
    return subprocess.run(command, cwd=CHECKOUT, env=os.environ | {"PATH": path}).returncode == 0


def uv(environment: Path | None, *arguments: str | Path) -> str:
    """What uv prints; the one beside this interpreter, as the Makefile installs it."""
    own = Path(sys.executable).with_name("uv")
    program = str(own) if own.is_file() else "uv"
    command = [program, *map(str, arguments)]
    settings = {} if environment is None else {"VIRTUAL_ENV": str(environment)}
    return subprocess.run(
        command,
        cwd=CHECKOUT,
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def read() -> dict[str, Trial]:
    """Trials of each end that are on disk."""
    return {end: Trial(**facts) for end, facts in machine.load(RESULT).items()}


def write(trials: dict[str, Trial]) -> None:
    """Keep the trials, and show them on the page."""
    machine.save(RESULT, {end: asdict(trials[end]) for end in ENDS if end in trials})
    if set(trials) == set(ENDS):
        PAGE.write_text(TABLE.sub(lambda _: table(trials), PAGE.read_text()))


def table(trials: dict[str, Trial]) -> str:
    """Markdown: each package with the versions tried at both ends."""
    lowest, highest = trials["lowest"], trials["highest"]
    rows = [
        ("package", "lowest tried", "highest tried"),
        ("---", "---", "---"),
        *((name, lowest.packages[name], highest.packages[name]) for name in lowest.packages),
        ("Python", lowest.python, highest.python),
        ("date", lowest.date, highest.date),
        ("holds", *("yes" if end.holds else "no" for end in (lowest, highest))),
    ]
    return "".join(_line(row) for row in rows)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    sys.exit(main())
