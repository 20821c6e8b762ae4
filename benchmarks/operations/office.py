"""A state folder with real servers, and commands on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from compliance.documents.policy import load_policy
from flows.state.paths import Home
from tests.flows.running import interruptible

Facts = dict[str, Any]
ONCE = "once.yaml"
"""A policy of one attempt: what takes the time is damp, not how often a policy tries."""


SUBMIT_ALL = """
import sys
from pathlib import Path
from flows.state.settings import prepared; from flows.intake import requests as intake
home = prepared()
for file in sys.argv[1:]:
    intake.submit(home, Path(file))
"""


class Office:
    """A state folder and commands on it."""

    def __init__(self, folder: Path, **extra: str) -> None:
        self.folder, self.home = folder, Home(folder / "state")
        self.home.root.mkdir(parents=True)
        self.environment = os.environ | {
            "DAMP_HOME": str(self.home.root),
            "DAMP_KEYS": str(folder / "keys"),
            **extra,
        }
        policy = load_policy("demo-v1").model_copy(update={"name": "once", "fallback": "none"})
        (folder / ONCE).write_text(policy.model_dump_json())
        self.damp("keys", "new")

    def start(self, *arguments: str | Path, code: str | None = None) -> subprocess.Popen[str]:
        how = ["-m", "flows"] if code is None else ["-c", code]
        return subprocess.Popen(
            [sys.executable, *how, *map(str, arguments)],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=interruptible,
        )

    def damp(self, *arguments: str | Path, code: str | None = None) -> str:
        process = self.start(*arguments, code=code)
        out, err = process.communicate()
        if process.returncode not in (0, 2):
            raise SystemExit(f"{arguments} ended with {process.returncode}:\n{err}")
        return out

    def submit(self, forget: int, model: str) -> str:
        """The id of a new request, handed in."""
        (event,) = self.submit_all([(forget, model)])
        return event

    def submit_all(self, wanted: Sequence[tuple[int, str]], policy: str = ONCE) -> list[str]:
        """Ids of requests to forget a class of a model each, handed in by one process."""
        events = [self._written(forget, model, policy) for forget, model in wanted]
        self.damp(*(self._request(event) for event in events), code=SUBMIT_ALL)
        return events

    def _request(self, event: str) -> Path:
        return self.folder / f"{event}.yaml"

    def _written(self, forget: int, model: str, policy: str) -> str:
        event = str(uuid.uuid4())
        content = {
            "apiVersion": "damp/v1",
            "kind": "ErasureRequest",
            "subject_request_id": event,
            "regulation": ["gdpr", "ccpa"][forget % 2],
            "submitted_time": datetime.now(UTC).isoformat(),
            "scope": {"type": "class", "selector": {"index": forget}},
            "model": {"registry": f"{model}@champion"},
            "data": {"name": "digits"},
            "recipe": "digits",
            "policy": policy,
        }
        self._request(event).write_text(json.dumps(content))
        return event

    def events(self) -> list[Facts]:
        content: list[Facts] = json.loads(self.damp("status", "--json"))
        return content

    def processes(self) -> list[int]:
        """What still runs for this state folder."""
        rows = []
        for process in psutil.process_iter():
            try:
                environment, status = process.environ(), process.status()
            except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
            mine = str(self.home.root) in (
                environment.get("DAMP_HOME"),
                environment.get("PREFECT_HOME", "")[:-8],
            )
            if mine and status != psutil.STATUS_ZOMBIE:
                rows.append(process.pid)
        return rows


@contextmanager
def served(office: Office) -> Iterator[Office]:
    """The office with `damp up` running."""
    office.damp("up")
    try:
        yield office
    finally:
        office.damp("down")
