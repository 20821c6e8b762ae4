"""Attack what reads foreign files, what signs and what must survive a kill; count what went wrong.

    python -m benchmarks.robustness [--kills N] [--rounds N] [--minutes M] [--more] [PART ...]

Each part works on state folders of its own and writes its figures into
benchmarks/results/robustness.json; parts that were not asked for keep theirs, so that they can be
run one by one. `--minutes` begins no kill and no race later than that, `--more` adds kills and
races to those that are counted there, with other draws; the figures say how many there are of how
many there should be. `--quick` takes a twentieth of every count and writes nothing. All draws are
seeded. The Markdown page beside it is made from the figures.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.robustness import (
    contention,
    counting,
    crafted_models,
    documents,
    envelopes,
    fuzzing,
    kills,
    ledgers,
    many_events,
    page,
    races,
    speed,
)
from compliance.ledger import Ledger
from compliance.signing import load_trust
from flows.intake import requests
from flows.records import reports
from flows.state import keyring
from flows.state.paths import Attempt, Home
from flows.state.settings import prepare_environment

Facts = dict[str, Any]
Part = Callable[["Desk", Path, float], Facts]
"""Takes the desk, a new folder and the share of the counts; gives its figures."""

SEED = 20261124
POLICIES = Path(str(files("compliance"))) / "policies"
MUTATIONS, PICTURES, INSIDE = 1000, 500, 5000
KILLS, ROUNDS, REPLAYS, CONTENDERS = 300, 50, 100, 50
RESULT = "robustness"


class Desk:
    """A real event, made when the first part asks for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._attempt: Attempt | None = None

    @property
    def attempt(self) -> Attempt:
        """The event's first attempt: PASSED, signed, in the ledger."""
        if self._attempt is None:
            home = state(self.folder / "desk")
            setup = many_events.prepare(home, models=1, requests=1)
            (event,) = setup["events"]["m0"]
            many_events.warm_up()
            with many_events.server(home):
                pid = many_events.start(
                    lambda: many_events.run(home, event), many_events.log_of(home)
                )
                _, status = os.waitpid(pid, 0)
            if os.waitstatus_to_exitcode(status) not in (0, 2):
                raise SystemExit(many_events.log_of(home).read_text()[-4000:])
            self._attempt = Attempt(home, event, 1)
        enter(self._attempt.home)
        return self._attempt


def state(root: Path) -> Home:
    """A new state folder, which the next part works in."""
    root.mkdir(parents=True)
    home = Home(root)
    enter(home)
    return home


def enter(home: Home) -> None:
    """Let MLflow, Prefect and the keys of this process be those of a state folder."""
    os.environ |= {"DAMP_HOME": str(home.root), "DAMP_KEYS": str(home.root / "owner-keys")}
    prepare_environment(home.root)


def models(_: Desk, folder: Path, share: float) -> Facts:
    """Crafted model files, paths that are no file, and mutations of a good file."""
    crafted, mutated = watch(folder / "crafted"), watch(folder / "mutated")
    fuzzing.crafted_model_files(crafted)
    fuzzing.mutated_models(mutated, round(MUTATIONS * share), SEED)
    good = len(crafted_models.good())
    return {"good_file_bytes": good, "crafted": crafted.to_json(), "mutated": mutated.to_json()}


def data(_: Desk, folder: Path, share: float) -> Facts:
    """Crafted folders of images, and mutated pictures of six formats."""
    crafted, mutated = watch(folder / "crafted"), watch(folder / "mutated")
    fuzzing.crafted_folders(crafted)
    fuzzing.mutated_pictures(mutated, round(PICTURES * share), SEED)
    return {"crafted": crafted.to_json(), "mutated": mutated.to_json()}


def papers(desk: Desk, folder: Path, share: float) -> Facts:
    """Requests, policies, statements, trust files, ledgers, checkpoints, proofs: mutations."""
    attempt, count = desk.attempt, round(MUTATIONS * share)
    home = attempt.home
    key, trust = keyring.signing_key(home, "executor"), load_trust(home.trust)
    request = home.request(attempt.event)
    kinds = documents.all_of(
        request.read_text(),
        POLICIES / f"{many_events.POLICY}.yaml",
        attempt.statement,
        home.trust,
        home.ledger,
    )
    kinds += documents.of_the_ledger(home.ledger, key, trust)
    by_name: Facts = {}
    for kind in kinds:
        watching = watch(folder / kind.name)
        fuzzing.mutated_documents(watching, [kind], count, SEED)
        by_name[kind.name] = watching.to_json()
    (read,) = (kind.read for kind in kinds if kind.name == "statement")
    watching = watch(folder / "signed")
    fuzzing.signed_statements(watching, attempt.statement, key, read, count, SEED)
    by_name["statement_signed_anew"] = watching.to_json()
    return by_name


def brought(_: Desk, folder: Path, share: float) -> Facts:
    """Claims, recipes, settings, configurations of networks, plans of replays: mutations."""
    by_name: Facts = {}
    for kind in documents.of_people():
        watching = watch(folder / kind.name)
        fuzzing.mutated_documents(watching, [kind], round(MUTATIONS * share), SEED)
        by_name[kind.name] = watching.to_json()
    return by_name


def bits(desk: Desk, _: Path, share: float) -> Facts:
    """Every bit of a small envelope, and one bit of thousands of bytes of a real one."""
    home = desk.attempt.home
    trust, key = load_trust(home.trust), keyring.signing_key(home, "executor")
    real = desk.attempt.statement.read_bytes()
    by_name = {"small": envelopes.every_bit(envelopes.tiny(key), trust)}
    by_name["real"] = envelopes.many_bytes(real, trust, SEED, round(INSIDE * share))
    return by_name | {"real_bytes": len(real)}


def ledger(_: Desk, folder: Path, __: float) -> Facts:
    """Edits, deletions, reorderings, truncations of a ledger, at every index."""
    return ledgers.attacked(folder / "ledger.jsonl")


def verify(desk: Desk, folder: Path, _: float) -> Facts:
    """The wall time of `damp verify`."""
    return speed.measured(desk.attempt, folder)


def report(desk: Desk, _: Path, __: float) -> Facts:
    """The real event's report: size, scripts, addresses, and whether it can be made again."""
    attempt = desk.attempt
    filed = attempt.report.read_bytes()
    return page.described(filed) | {
        "made_again_byte_by_byte": reports.render(attempt, "html", filed=True) == filed
    }


def replays(desk: Desk, _: Path, share: float) -> Facts:
    """The same request, handed in again and again."""
    attempt, count = desk.attempt, round(REPLAYS * share)
    home = attempt.home
    before = home.ledger.read_bytes()
    file = home.root / "requests" / f"{attempt.event}.yaml"
    new = sum(requests.submit(home, file).new for _ in range(count))
    receipts = Ledger(home.ledger).of(attempt.event, "request_received")
    unchanged = home.ledger.read_bytes() == before
    by_name = {"replays": count, "taken_as_new": new, "receipts": len(receipts)}
    return by_name | {"ledger_unchanged": unchanged}


def killed(
    _: Desk,
    folder: Path,
    share: float,
    *,
    count: int = KILLS,
    before: int = 0,
    minutes: float = math.inf,
) -> Facts:
    """SIGKILL at random moments of real events; `before` that many were made in other runs."""
    home, seed = state(folder / "kills"), SEED + before
    return kills.loop(home, round(count * share), seed, minutes).to_json()


def raced(
    _: Desk, folder: Path, share: float, *, count: int = ROUNDS, minutes: float = math.inf
) -> Facts:
    """Eight processes on one model."""
    return races.loop(state(folder / "races"), max(1, round(count * share)), minutes).to_json()


def contended(_: Desk, folder: Path, share: float) -> Facts:
    """Fifty processes at once on the trust file, and on the ledger with requests."""
    home = state(folder / "contention")
    return contention.loop(home, max(4, round(CONTENDERS * share))).to_json()


PARTS: dict[str, Part] = {
    "models": models,
    "data": data,
    "papers": papers,
    "brought": brought,
    "bits": bits,
    "ledger": ledger,
    "verify": verify,
    "report": report,
    "replays": replays,
    "kills": killed,
    "races": raced,
    "contention": contended,
}


def watch(folder: Path) -> fuzzing.Watch:
    """A watch over a new folder."""
    folder.mkdir(parents=True)
    return fuzzing.Watch(folder=folder)


def main() -> None:
    """The parts that are named, all by default."""
    asked = argparse.ArgumentParser(prog="python -m benchmarks.robustness")
    asked.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    asked.add_argument("--quick", action="store_true", help="a twentieth; nothing is written")
    asked.add_argument("--kills", type=int, default=KILLS, help="how many [default: %(default)s]")
    asked.add_argument("--rounds", type=int, default=ROUNDS, help="of races, [%(default)s]")
    asked.add_argument("--more", action="store_true", help="add kills and races to those counted")
    asked.add_argument("--minutes", type=float, default=math.inf, help="of kills or of races")
    chosen = asked.parse_args()
    if unknown := set(chosen.parts) - set(PARTS):
        asked.error(f"no part is called {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="damp-robustness-") as place:
        desk = Desk(Path(place))
        for name in chosen.parts or PARTS:
            again = chosen.more and name in ("kills", "races")
            before = machine.load(RESULT).get(name) if again else None
            part = PARTS[name]
            if name == "kills":
                done = before["kills"] if before else 0
                part = partial(killed, count=chosen.kills, before=done, minutes=chosen.minutes)
            elif name == "races":
                part = partial(raced, count=chosen.rounds, minutes=chosen.minutes)
            figures = _run(name, part, desk, Path(place) / f"part-{name}", quick=chosen.quick)
            figures = figures if before is None else counting.added(before, figures)
            if name in TARGETS:
                figures |= _bounded(figures, *TARGETS[name])
            print(json.dumps({name: figures}, indent=1), flush=True)
            if not chosen.quick:
                machine.keep(RESULT, name, figures, order=PARTS, page=page.markdown)


TARGETS = {"kills": ("kills", KILLS), "races": ("rounds", ROUNDS)}
"""What is counted, and how many there should be."""


def _bounded(figures: Facts, what: str, target: int) -> Facts:
    """How many there should be, and the rate of failures that those made leave possible."""
    failed = min(len(figures["problems"]), figures[what] - 1)
    rate = counting.bound(figures[what], failed)
    return {"target": target, "failures_below_percent_at_95_confidence": round(100 * rate, 2)}


def _run(name: str, part: Part, desk: Desk, folder: Path, *, quick: bool) -> Facts:
    folder.mkdir()
    load, began = os.getloadavg()[0], time.perf_counter()
    figures = part(desk, folder, 0.05 if quick else 1)
    plain = re.sub(re.escape(str(folder.parent)), "FOLDER", json.dumps(figures))
    return json.loads(plain) | {
        "command": f"python -m benchmarks.robustness {name}",
        "seed": SEED,
        "machine": machine.described() | {"load_at_start": round(load, 1)},
        "seconds": round(time.perf_counter() - began, 1),
    }


if __name__ == "__main__":
    main()
