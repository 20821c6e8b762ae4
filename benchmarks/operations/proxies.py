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
"""A port that refuses; tests/flows/servers/test_servers.py tries an address that is silent."""


def proxies(folder: Path) -> Facts:
    """`damp demo`, a whole event with its servers, without a proxy and with a dead one."""
    plain = {n: v for n, v in os.environ.items() if n.lower() not in (*NAMES, "no_proxy")}
    dead = {form: DEAD for each in NAMES for form in (each, each.upper())}
    without = _demo(folder / "without", plain)
    proxied = _demo(folder / "dead", plain | dead)
    return {
        "event": "damp demo, from an empty state folder",
        "without": without,
        "with_a_dead_port": proxied,
        "seconds_beyond": round(proxied["seconds"] - without["seconds"], 1),
        "target": "under 20 s beyond; it had been 300 s and a wrong remedy",
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
