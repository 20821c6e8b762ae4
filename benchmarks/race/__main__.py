"""Run what is not there yet, then write benchmarks/results/race.json, race.md and the picture."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import RESULTS
from benchmarks.race import data, page, picture, racing, report
from benchmarks.race.entrants import ENTRANTS, Entrant
from benchmarks.race.exam import Exam, asked, facts_of
from benchmarks.race.racing import Race
from benchmarks.race.store import Store
from benchmarks.race.tracks import QUICK, TRACKS, Track
from benchmarks.race.trainings import reference_seeds, trained
from damp.catalogue import DEFAULT_PRESET

CACHE = Path(".cache/race")
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked for."""

    tracks: tuple[Track, ...]
    cache: Path
    minutes: float | None
    out: Path
    name: str


class TimeIsUpError(Exception):
    """The minutes that were given have passed; what is there is kept."""


class Progress:
    """How far a run is, and how long the rest will take at this pace."""

    def __init__(self, steps: int, minutes: float | None) -> None:
        self.left, self.done, self.minutes = steps, 0, minutes
        self.began = time.monotonic()

    def step(self, text: str, *, worked: bool = True) -> None:
        """One step is there; raises `TimeIsUpError` where the minutes have passed."""
        self.left -= 1
        self.done += worked
        spent = time.monotonic() - self.began
        if worked:
            rest = spent / self.done * self.left / 60
            print(f"{spent:6.0f} s, {rest:4.0f} min left  {text}", flush=True)
        if self.minutes is not None and spent > 60 * self.minutes:
            raise TimeIsUpError


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.race", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="8x8 digits alone, one class")
    parser.add_argument(
        "--track", action="append", metavar="NAME", choices=[track.name for track in TRACKS],
        help="repeatable; the others stay as they are: " + ", ".join(t.name for t in TRACKS),
    )  # fmt: skip
    parser.add_argument("--minutes", type=float, help="stop after the step that ends then")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of what is kept")
    parser.add_argument("--report", action="store_true", help="write what is there")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of race.json and race.md")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    tracks = QUICK if given.quick else TRACKS
    options = Options(
        tracks=tuple(t for t in tracks if not given.track or t.name in given.track),
        cache=given.cache.absolute(),
        minutes=given.minutes,
        out=given.out,
        name="race-quick" if given.quick else "race",
    )
    if not given.report:
        try:
            run(options)
        except TimeIsUpError:
            print("The time is up: what is there is kept, and written now.")
    write(options, tracks)


def run(options: Options) -> None:
    """Everything that is missing: the first events of all tracks, then the second ones."""
    store = Store(options.cache)
    turns = [
        (track, number)
        for number in range(max(len(track.events) for track in options.tracks))
        for track in options.tracks
        if number < len(track.events)
    ]
    steps = sum(1 + len(ENTRANTS) + len(reference_seeds()) for track, _ in turns)
    progress = Progress(steps, options.minutes)
    for track, number in turns:
        rows = data.load(track.data, options.cache)
        race = Race(track=track, event=track.events[number], rows=rows, store=store)
        for text, worked in _event(race):
            progress.step(f"{track.name}, {race.event.name}: {text}", worked=worked)


def _event(race: Race) -> Iterator[tuple[str, bool]]:
    """The steps of an event: trainings, methods with their grids, audits."""
    for seed in reference_seeds():
        began = time.process_time()
        trained(race.track, race.rows, race.store, seed=seed, exclude=race.event.forget)
        yield f"retrained {seed}", time.process_time() - began > 1
    exam, ask = Exam(race), asked(race.track.policy)
    default = next(entrant for entrant in ENTRANTS if entrant.name == DEFAULT_PRESET)
    first = race.run(default, {}).model
    if first is None:
        raise RuntimeError(f"The default preset cannot be run on {race.track.name}.")
    race.store.result("findings", facts_of(race, ask, None), lambda: exam.controls(first))
    yield "controls", True
    for entrant in ENTRANTS:
        began = time.process_time()
        _race(race, exam, ask, entrant)
        yield entrant.title, time.process_time() - began > 0.5


def _race(race: Race, exam: Exam, ask: Sequence[str], entrant: Entrant) -> None:
    """Choose settings where nobody has, run the chosen one here, and audit what came out."""
    first = Race(track=race.track, event=race.track.events[0], rows=race.rows, store=race.store)
    notes = race.store.result(
        "tried",
        {**first.facts, **report.tried_facts(entrant)},
        lambda: racing.tried(race, entrant),
    )
    place = racing.chosen(notes)
    if place is None:
        return
    settings = notes[place]["settings"]
    done = race.run(entrant, settings)
    candidate = {"entrant": entrant.key, "settings": settings}
    race.store.result(
        "findings",
        facts_of(race, ask, candidate),
        lambda: (
            exam.candidate(done.model, entrant.name)
            if done.model is not None
            else {"problem": done.problem}
        ),
    )


def write(options: Options, tracks: Sequence[Track]) -> None:
    """Results of every track that is there, whichever were run now.

    A track of which this cache holds nothing stays as the results have it.
    """
    store = Store(options.cache)
    before = written_before(options.out / f"{options.name}.json")
    results = [
        report.track_report(t, data.load(t.data, options.cache), store) or before.get(t.name)
        for t in tracks
    ]
    content = {
        "command": f"python -m benchmarks.race{' --quick' if options.name != 'race' else ''}",
        "what": "distance to retrained models, kept accuracy and cost of methods of forgetting",
        "tracks": [track for track in results if track],
        "not_run": [t.title for t, result in zip(tracks, results, strict=True) if not result],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{options.name}.json"
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
    (options.out / f"{options.name}.md").write_text(page.written(content))
    print(f"Results: {path} and {path.with_suffix('.md')}")
    if options.name == "race" and options.out == RESULTS:
        picture.draw(content, ROOT / "docs" / "race.svg")
        print("Picture: docs/race.svg. What it says: docs/race.md")


def written_before(path: Path) -> dict[str, dict[str, Any]]:
    """Tracks of a results file by name; none where there is no file."""
    if not path.exists():
        return {}
    return {track["name"]: track for track in json.loads(path.read_text())["tracks"]}


if __name__ == "__main__":
    main()
