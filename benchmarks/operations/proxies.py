"""What a proxy in the environment costs a whole event, where nobody answers at its address."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.operations.office import Facts

NAMES = ("http_proxy", "https_proxy", "all_proxy")
DEAD = "http://127.0.0.1:9"
"""A port that refuses."""
SILENT = "http://192.0.2.1:9"
"""An address for documentation: a connection to it waits until it is given up."""


def proxies(folder: Path) -> Facts:
    """`damp demo`, a whole event with its servers, without a proxy and with dead ones."""
    plain = {n: v for n, v in os.environ.items() if n.lower() not in (*NAMES, "no_proxy")}
    cases: dict[str, dict[str, str]] = {"none": {}}
    for name, address in (("dead", DEAD), ("silent", SILENT)):
        cases[name] = {form: address for each in NAMES for form in (each, each.upper())}
    told = {case: _demo(folder / case, plain | given) for case, given in cases.items()}
    beyond = {case: told[case]["seconds"] - told["none"]["seconds"] for case in ("dead", "silent")}
    return {
        "event": "damp demo, from an empty state folder",
        "without": told["none"],
        "with_a_port_that_refuses": told["dead"],
        "with_an_address_that_is_silent": told["silent"],
        "seconds_beyond": {case: round(seconds, 1) for case, seconds in beyond.items()},
        "target": "under 20 s, which had been 300 s and a wrong remedy",
    }


def _demo(home: Path, environment: Mapping[str, str]) -> Facts:
    before, began = _processor(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "flows", "--home", str(home), "demo", "--json"],
        env=dict(environment) | {"DAMP_KEYS": str(home.parent / "keys")},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    if done.returncode not in (0, 2):
        raise SystemExit(f"damp demo ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return {
        "seconds": round(seconds, 1),
        "processor_seconds": round(_processor() - before, 1),
        "verdict": json.loads(done.stdout)["verdict"],
    }


def _processor() -> float:
    """Seconds of the processor that children which have ended took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
