"""Many processes at the same moment on the same file: keys, requests of one id and of many.

Each starts when the last one stands ready. Whatever a process was told it did must be there.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.robustness import many_events
from compliance.ledger import Ledger, states, verify
from compliance.signing import load_trust
from flows.intake import requests
from flows.intake.model_checks import LENIENT
from flows.models import architectures, weights
from flows.state import keyring
from flows.state.errors import is_refusal
from flows.state.paths import Home

DONE, REFUSED = 0, 1


@dataclass
class Contended:
    """Counts.

    Attributes:
        keys_added: Processes that made a key.
        keys_ended: Processes that revoked one.
        submitted: Processes that submitted a request, over all three rounds.
        lost: Keys and events of which a process was told that they are there, and are not.
        problems: What must not be, in words.
    """

    keys_added: int = 0
    keys_ended: int = 0
    submitted: int = 0
    lost: int = 0
    problems: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The counts."""
        return asdict(self)


def loop(home: Home, processes: int) -> Contended:
    """So many key changes, then three rounds of so many submits, each all at once."""
    counted = Contended()
    many_events.warm_up()
    key_changes(home, processes, counted)
    _submits(home, processes, counted)
    check = verify(home.ledger)
    if check.broken is not None:
        counted.problems.append(f"ledger: {check.problem}")
    return counted


def key_changes(home: Home, processes: int, counted: Contended) -> None:
    """Half of the processes make a key, half revoke one of those there were."""
    ending = [keyring.new(home, role="reviewer", days=9).keyid for _ in range(processes // 2)]
    time.sleep(1)  # a key cannot end in the second in which it was made
    codes = _together(
        home,
        [
            *[lambda keyid=keyid: keyring.revoke(home, keyid, since=None) for keyid in ending],
            *[lambda: keyring.new(home, role="executor", days=9)] * (processes - len(ending)),
        ],
    )
    counted.keys_ended += len(ending)
    counted.keys_added += processes - len(ending)
    if codes != Counter({DONE: processes}):
        counted.problems.append(f"keys: exit codes {dict(codes)}")
    trusted = load_trust(home.trust).keys
    added = [key for key in trusted.values() if key.role == "executor"]
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    lasting = [keyid for keyid in ending if trusted[keyid].covers(tomorrow)]
    counted.lost += processes - len(ending) - len(added) + len(lasting)


def _submits(home: Home, processes: int, counted: Contended) -> None:
    """One id with one content, one id with two contents, and as many ids as processes."""
    folder = home.root.parent / "requests"
    net = architectures.build("damp:cnn", 10, (1, 8, 8))
    weights.save_weights(net, folder / "model.safetensors", {})
    one, two = (many_events.identity(name, 0) for name in ("one", "two"))
    many = [many_events.identity("many", number) for number in range(processes)]
    half = processes // 2
    rounds = {
        "one id": ([(one, 3)] * processes, {one}, processes),
        "two contents": ([(two, 3)] * half + [(two, 4)] * half, {two}, half),
        "many ids": ([(event, 3) for event in many], set(many), processes),
    }
    for name, (filed, events, accepted) in rounds.items():
        files = [_file(folder, event, forget) for event, forget in filed]
        codes = _together(
            home, [lambda file=file: requests.submit(home, file, LENIENT) for file in files]
        )
        counted.submitted += len(files)
        wanted = Counter({DONE: accepted, REFUSED: len(files) - accepted})
        if codes != +wanted:
            counted.problems.append(f"{name}: exit codes {dict(codes)}, not {dict(+wanted)}")
        received = states.events(Ledger(home.ledger).entries())
        counted.lost += len(events - received.keys())
        counted.problems += [p for event in events for p in _unusable(home, event)]


def _unusable(home: Home, event: str) -> list[str]:
    """Why an event cannot be carried out, if it cannot."""
    receipts = Ledger(home.ledger).of(event, "request_received")
    problems = [] if len(receipts) == 1 else [f"{event}: {len(receipts)} receipts"]
    try:
        requests.request_of(home, event)
        requests.origin_of(home, event)
    except Exception as error:  # noqa: BLE001 - any of them is one
        problems.append(f"{event}: {error}")
    return problems


def _file(folder: Path, event: str, forget: int) -> Path:
    file = folder / f"{event}-{forget}.yaml"
    if not file.exists():
        text = requests.template(
            identity=event,
            forget=(forget,),
            model="model.safetensors",
            architecture="damp:cnn",
            data="digits",
            data_root=None,
            recipe="digits",
            policy=many_events.POLICY,
            regulation="gdpr",
            preset="mixture",
        )
        file.write_text(text)
    return file


def _together(home: Home, works: Sequence[Callable[[], Any]]) -> Counter[int]:
    """Exit codes of processes that all start at once; a refusal is 1."""
    gate, door = os.pipe()
    children = [_waiting(home, work, gate, door) for work in works]
    os.close(gate)
    os.close(door)  # now all start
    return Counter(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children)


def _waiting(home: Home, work: Callable[[], Any], gate: int, door: int) -> int:
    """A child that works once the door is closed by everybody."""

    def guarded() -> int:
        os.close(door)
        os.read(gate, 1)  # returns when the last writer is gone
        try:
            work()
        except Exception as error:
            if not is_refusal(error):
                raise
            return REFUSED
        return DONE

    return many_events.start(guarded, many_events.log_of(home))
