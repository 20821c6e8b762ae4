"""Attack what reads foreign files, what signs and what must survive a kill; count what went wrong.

    python -m benchmarks.robustness [--quick] [PART ...]

Each part works on state folders of its own and writes its figures into
benchmarks/results/robustness.json; parts that were not asked for keep theirs. `--quick` takes a
twentieth of every count and writes nothing. All draws are seeded. The Markdown page beside it is
made from the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from benchmarks.machine import RESULTS, described
from benchmarks.robustness import (
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
from compliance.trust import load_trust
from flows import intake, keyring, reporting
from flows.layout import Attempt, Home
from flows.settings import prepare_environment

Facts = dict[str, Any]

SEED = 20261124
POLICIES = Path(str(files("compliance"))) / "policies"
MUTATIONS, PICTURES = 1000, 500
KILLS, ROUNDS, REPLAYS = 300, 50, 100
RESULT = RESULTS / "robustness.json"


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
            told = many_events.prepare(home, models=1, requests=1)
            (event,) = told["events"]["m0"]
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
    told: Facts = {}
    for kind in kinds:
        watching = watch(folder / kind.name)
        fuzzing.mutated_documents(watching, [kind], count, SEED)
        told[kind.name] = watching.to_json()
    (read,) = (kind.read for kind in kinds if kind.name == "statement")
    watching = watch(folder / "signed")
    fuzzing.signed_statements(watching, attempt.statement, key, read, count, SEED)
    told["statement_signed_anew"] = watching.to_json()
    return told


def bits(desk: Desk, _: Path, share: float) -> Facts:
    """Every bit of a small envelope, and one bit of every byte of a real one."""
    home = desk.attempt.home
    trust, key = load_trust(home.trust), keyring.signing_key(home, "executor")
    real = desk.attempt.statement.read_bytes()
    told = {"small": envelopes.every_bit(envelopes.tiny(key), trust)}
    if share == 1:
        told["real"] = envelopes.every_byte(real, trust, SEED)
    return told | {"real_bytes": len(real)}


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
        "made_again_byte_by_byte": reporting.render(attempt, "html", filed=True) == filed
    }


def replays(desk: Desk, _: Path, share: float) -> Facts:
    """The same request, handed in again and again."""
    attempt, count = desk.attempt, round(REPLAYS * share)
    home = attempt.home
    before = home.ledger.read_bytes()
    file = home.root / "requests" / f"{attempt.event}.yaml"
    new = sum(intake.submit(home, file)["new"] for _ in range(count))
    receipts = Ledger(home.ledger).of(attempt.event, "request_received")
    unchanged = home.ledger.read_bytes() == before
    told = {"replays": count, "taken_as_new": new, "receipts": len(receipts)}
    return told | {"ledger_unchanged": unchanged}


def killed(_: Desk, folder: Path, share: float) -> Facts:
    """SIGKILL at random moments of real events."""
    return kills.loop(state(folder / "kills"), round(KILLS * share), SEED).to_json()


def raced(_: Desk, folder: Path, share: float) -> Facts:
    """Eight processes on one model."""
    return races.loop(state(folder / "races"), max(1, round(ROUNDS * share))).to_json()


PARTS: dict[str, Callable[[Desk, Path, float], Facts]] = {
    "models": models,
    "data": data,
    "papers": papers,
    "bits": bits,
    "ledger": ledger,
    "verify": verify,
    "report": report,
    "replays": replays,
    "kills": killed,
    "races": raced,
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
    chosen = asked.parse_args()
    if unknown := set(chosen.parts) - set(PARTS):
        asked.error(f"no part is called {', '.join(sorted(unknown))}")
    found: Facts = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    with tempfile.TemporaryDirectory(prefix="damp-robustness-") as place:
        desk = Desk(Path(place))
        for name in chosen.parts or PARTS:
            found[name] = _run(name, desk, Path(place) / f"part-{name}", quick=chosen.quick)
            print(json.dumps({name: found[name]}, indent=1), flush=True)
            if not chosen.quick:
                RESULT.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
                (RESULTS / "robustness.md").write_text(page.markdown(found))


def _run(name: str, desk: Desk, folder: Path, *, quick: bool) -> Facts:
    folder.mkdir()
    load, began = os.getloadavg()[0], time.perf_counter()
    told = PARTS[name](desk, folder, 0.05 if quick else 1)
    plain = re.sub(re.escape(str(folder.parent)), "FOLDER", json.dumps(told))
    return json.loads(plain) | {
        "command": f"python -m benchmarks.robustness {name}",
        "seed": SEED,
        "machine": described() | {"load_at_start": round(load, 1)},
        "seconds": round(time.perf_counter() - began, 1),
    }


if __name__ == "__main__":
    main()
