"""Unlearning packages of the registry, run as they come on the first event of a track.

    python -m benchmarks.race.peers          # in an environment of its own that has them installed

None is a dependency: each is imported by its name, and what cannot be imported or run is in the
table with its message. Their own defaults, no grid; judged as the entrants of the race are.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, DataLoader, TensorDataset

from benchmarks.machine import RESULTS
from benchmarks.race import data, distance
from benchmarks.race.__main__ import CACHE
from benchmarks.race.exam import Exam, as_findings, asked, facts_of
from benchmarks.race.page import table
from benchmarks.race.racing import Race
from benchmarks.race.store import Store
from benchmarks.race.tracks import TRACKS
from compliance.verdict import judge

SIZE = 64
"""Rows of the loaders' batches."""
STRATEGIES = (
    *("gradient_ascent", "negative_gradient", "fisher_forgetting", "saliency_unlearning", "scrub"),
    *("amnesiac", "neuron_pruning", "sparse_aware", "layer_freezing"),
)
"""Of erasus: those that are for any network and any image."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Loaders:
    """What such packages are given."""

    forget: DataLoader[tuple[Tensor, ...]]
    retain: DataLoader[tuple[Tensor, ...]]


Call = Callable[[nn.Module, Loaders], nn.Module]


def _erasus(strategy: str) -> Call:
    def call(model: nn.Module, loaders: Loaders) -> nn.Module:
        unlearner = import_module("erasus").ErasusUnlearner(model=model, strategy=strategy)
        result: nn.Module = unlearner.fit(loaders.forget, loaders.retain).model
        return result

    return call


def _verril(model: nn.Module, loaders: Loaders) -> nn.Module:
    result: nn.Module = import_module("verril_learn").surgical_unlearn(
        model, loaders.forget, loaders.retain
    )
    return result


def _torchunlearn(method: str, **settings: float) -> Call:
    def call(model: nn.Module, loaders: Loaders) -> nn.Module:
        package = import_module("torchunlearn")
        easy = import_module("torchunlearn.unlearn.easymode")
        classes = int(max(labels.max() for _, labels in loaders.retain)) + 1
        with TemporaryDirectory() as folder:
            entry = easy.Unlearn(
                package.RobModel(model, n_classes=classes),
                None,
                {"Retain": loaders.retain, "Forget": loaders.forget},
                {"Test": loaders.retain},
                folder,
            )
            result: nn.Module = getattr(entry, method)(**settings).model
        return result

    return call


def _supreme(model: nn.Module, loaders: Loaders) -> nn.Module:
    """Its SSD with the constants of its paper's class-wise runs."""
    function = import_module("supreme.methods.unlearning_methods.ssd").ssd
    fabric = import_module("lightning.fabric").Fabric(accelerator="cpu", devices=1)
    forget, retain = _threes(loaders.forget), _threes(loaders.retain)
    result: nn.Module = function(
        fabric, 0, False, model, DataLoader(forget, batch_size=SIZE),
        DataLoader(ConcatDataset([retain, forget]), batch_size=SIZE),
        dampening_constant=1, selection_weighting=10,
    )  # fmt: skip
    inner: nn.Module = getattr(result, "module", result)
    return inner


def _threes(loader: DataLoader[tuple[Tensor, ...]]) -> TensorDataset:
    """Images, and their classes twice: that package reads batches of three."""
    parts = [torch.cat(column) for column in zip(*loader, strict=True)]
    return TensorDataset(parts[0], parts[1], parts[1])


PEERS: Mapping[str, Mapping[str, Call]] = {
    "erasus": {strategy: _erasus(strategy) for strategy in STRATEGIES},
    "verril-learn": {"surgical_unlearn": _verril},
    "torchunlearn": {
        "finetune": _torchunlearn("finetune", epoch=5, lr=1e-3),
        "neggrad": _torchunlearn("neggrad", epoch=5, lr=1e-3),
        "fisher_forget": _torchunlearn("fisher_forget"),
    },
    "supreme-unlearning": {"ssd": _supreme},
}


def main() -> None:
    """Write race-peers.json and race-peers.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.race.peers", description=__doc__)
    parser.add_argument("--track", default="digits", choices=[track.name for track in TRACKS])
    parser.add_argument("--cache", type=Path, default=CACHE)
    given = parser.parse_args()
    torch.set_num_threads(1)
    track = next(track for track in TRACKS if track.name == given.track)
    store = Store(given.cache.absolute())
    rows = data.load(track.data, store.folder)
    race = Race(track=track, event=track.events[0], rows=rows, store=store)
    lines = list(_lines(race))
    content = {"command": "python -m benchmarks.race.peers", "track": track.title, "peers": lines}
    (RESULTS / "race-peers.json").write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
    (RESULTS / "race-peers.md").write_text(_page(content))
    print(f"Results: {RESULTS / 'race-peers.json'} and race-peers.md")


def _lines(race: Race) -> Iterator[dict[str, Any]]:
    exam = Exam(race)
    kept = store_controls(race)
    for package, calls in PEERS.items():
        try:
            version = metadata.version(package)
        except metadata.PackageNotFoundError:
            yield {"package": package, "version": "", "call": "", "problem": "not installed"}
            continue
        for name, call in calls.items():
            line: dict[str, Any] = {"package": package, "version": version, "call": name}
            try:
                yield line | _judged(race, exam, kept, call, f"{package} {name}")
            except Exception as problem:  # noqa: BLE001 - whatever foreign code raises is the row
                words = " ".join(str(problem).split())[:160]
                yield line | {"problem": f"{type(problem).__name__}: {words}"}
            print(package, name, flush=True)


def store_controls(race: Race) -> dict[str, Any]:
    """Findings on the controls, which the race has made."""
    kept: dict[str, Any] | None = race.store.result(
        "findings", facts_of(race, asked(race.track.policy), None)
    )
    if kept is None:
        raise SystemExit(f"Run `python -m benchmarks.race --track {race.track.name}` first.")
    return kept


def _judged(
    race: Race, exam: Exam, kept: Mapping[str, Any], call: Call, name: str
) -> dict[str, Any]:
    inputs, labels = race.rows.train
    gone = torch.isin(labels, torch.tensor(race.event.forget))
    order = torch.Generator().manual_seed(race.event.seed)

    def loader(rows: Tensor) -> DataLoader[tuple[Tensor, ...]]:
        pairs = TensorDataset(inputs[rows], labels[rows])
        return DataLoader(pairs, batch_size=SIZE, shuffle=True, generator=order)

    torch.manual_seed(race.event.seed)
    began = time.process_time()
    with torch.enable_grad():
        model = call(
            copy.deepcopy(race.original()), Loaders(forget=loader(gone), retain=loader(~gone))
        ).eval()
    seconds = time.process_time() - began
    findings = as_findings(exam.candidate(model, name)["findings"])
    figures = {f.name: f for finding in findings for f in finding.measurements}
    controls = {each: as_findings(content) for each, content in kept["findings"].items()}
    verdict = judge(findings, controls, exam.policy, impossible=kept["impossible"])
    retain = figures["accuracy.retain"]
    return {
        "lost": round(float(retain.original or 0.0) - retain.value, 6),
        "forget": figures["accuracy.forget_before_retiring"].value,
        "distance": round(fmean(distance.by_row(findings, exam.policy).values()), 4),
        "verdict": verdict.result,
        "seconds": round(seconds, 1),
    }


def _page(content: Mapping[str, Any]) -> str:
    head = ("package", "version", "call", "distance", "kept, points", "forget", "verdict", "CPU s")
    lines = [
        (one["package"], one["version"], one["call"], "", "", "", one["problem"], "")
        if "problem" in one
        else (
            one["package"], one["version"], one["call"], f"{one['distance']:.2f}",
            f"{-100 * one['lost']:+.2f}", f"{one['forget']:.3f}", one["verdict"],
            f"{one['seconds']:.1f}",
        )
        for one in content["peers"]
    ]  # fmt: skip
    return (
        f"# Packages of the registry, as they come\n\nMade by `{content['command']}` on "
        f"{content['track']}, the first event; their own defaults, no choice of settings.\n\n"
        + table(head, lines)
    )


if __name__ == "__main__":
    main()
