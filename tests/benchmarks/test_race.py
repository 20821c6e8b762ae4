"""The race: its arithmetic by hand, and a tiny track that comes out the same from its cache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from audits.references import Recipe
from benchmarks.race import __main__ as command
from benchmarks.race import data, distance, entrants, metrics, page, picture, racing, report
from benchmarks.race.store import Store
from benchmarks.race.tracks import TRACKS, Event, Track
from compliance.documents.policy import load_policy
from damp.catalogue import DEFAULT_PRESET, PRESETS
from damp.methods.catalogue import METHODS


def test_every_method_and_every_preset_takes_part() -> None:
    names = {entrant.name for entrant in entrants.ENTRANTS}
    assert set(METHODS) | set(PRESETS) | {"original", "renewed", "retrain"} <= names
    assert all(entrant.grid == ({},) for entrant in entrants.ENTRANTS if entrant.kind == "ours")
    assert len(METHODS) >= 20


def test_the_page_lists_every_method_with_its_source() -> None:
    page_text = (Path(__file__).parents[2] / "docs" / "race.md").read_text()
    for row in METHODS.values():
        (line,) = [each for each in page_text.splitlines() if each.startswith(f"| `{row.name}` |")]
        assert row.source in line
        assert f"| {row.reads} | {row.norms} |" in line


def test_the_default_is_a_policy_that_ships() -> None:
    assert {track.policy for track in TRACKS} == {"demo-v3", "default-v3"}
    assert all(load_policy(track.policy).kinds for track in TRACKS)


def test_a_track_of_which_the_cache_holds_nothing_stays_in_the_results(tmp_path: Path) -> None:
    results = Path(command.RESULTS / "race.json").read_text()
    content = json.loads(results)
    (kept,) = [track for track in content["tracks"] if track["name"] == "digits"]
    before = {**content, "tracks": [kept]}
    (tmp_path / "race-quick.json").write_text(json.dumps(before))
    empty = ["--quick", "--report", "--cache", str(tmp_path / "cache"), "--out", str(tmp_path)]
    command.main(empty)
    after = json.loads((tmp_path / "race-quick.json").read_text())
    assert after["tracks"] == [kept]
    assert after["not_run"] == []
    heading = "| method | " + " | ".join(kept["depths"]) + " |"
    assert heading in (tmp_path / "race-quick.md").read_text()


def test_a_setting_is_chosen_by_what_it_keeps_then_by_what_it_forgets() -> None:
    at_the_edge = {"lost": 0.005, "forget": 0.2}
    beyond = {"lost": 0.0051, "forget": 0.0}
    assert racing.chosen([{"lost": 0.0, "forget": 0.5}, at_the_edge, beyond]) == 1
    assert racing.chosen([{"lost": 0.0, "forget": 0.2}, {"lost": 0.001, "forget": 0.2}]) == 0


def test_knowledge_retention_reads_what_a_fresh_head_can_read() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 4
    features = np.eye(4)[labels] + 0.01 * rng.normal(size=(200, 4))
    assert metrics.knowledge_retention(features, labels, [2]) == (1.0, 1.0)
    silent = features.copy()
    silent[labels == 2] = features[labels == 1][:50]  # its images look like another class's
    forget, retain = metrics.knowledge_retention(silent, labels, [2])
    # what falls together can be read as one of both classes only
    assert forget + 3 * retain == pytest.approx(3.0, abs=0.15)


def test_information_is_all_of_the_label_where_a_reader_is_sure_and_none_where_it_guesses() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 2
    clear = 20.0 * labels[:, None] + rng.normal(size=(400, 1))
    assert metrics.information(clear, labels, [1]) == pytest.approx(
        np.log(2), abs=0.15
    )  # the reader is held back
    noise = rng.normal(size=(400, 1))
    assert metrics.information(noise, labels, [1]) < 0.02


def test_what_is_left_in_depth_is_a_share_of_what_the_original_knows() -> None:
    from audits.finding import RUN, Figure, Finding

    def figure(name: str, value: float, original: float) -> Figure:
        return Figure(
            name=name, label="", value=value, interval=(value, value), null=(1.0, 1.2, 0.8),
            original=original, difference=value - 1.0, standard_error=0.1, against="retrained",
        )  # fmt: skip

    finding = Finding(
        audit="linear_probe", question="", status=RUN, reason="", parameters={}, series={},
        measurements=(
            figure("linear_probe.dprime@head", 2.0, 3.0),
            figure("linear_probe.dprime@early", 1.1, 1.3),  # within two spreads: no share
        ),
    )  # fmt: skip
    assert distance.by_depth([finding]) == {"head": 0.5, "early": None}


def few_digits() -> dict[str, np.ndarray]:
    """Five digits, fifty rows of each to train on."""
    from sklearn.datasets import load_digits

    images, labels = load_digits().images, load_digits().target
    parts: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    chosen = [np.flatnonzero(labels == c) for c in range(5)]
    for part, (start, stop) in {"train": (0, 50), "choice": (50, 70), "test": (70, 130)}.items():
        rows = np.concatenate([each[start:stop] for each in chosen])
        parts[part] = ((images[rows] * 15.9).astype(np.uint8)[:, None], labels[rows])
    return data._parts(parts)


TINY = Track(
    name="few", title="few digits", data="few", net="cnn8",
    # not the policy in force: by that one sixty images of a class decide nothing
    recipe=Recipe(epochs=6, learning_rate=5e-3), policy="demo-v2",
    events=(Event(forget=(3,), seed=0),),
)  # fmt: skip
TAKEN = ("original", DEFAULT_PRESET, "bias_shift", "fine_tune", "retrain_half")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_track_runs_again_from_its_cache_to_the_same_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = tuple(entrant for entrant in entrants.ENTRANTS if entrant.name in TAKEN)
    monkeypatch.setitem(data.READERS, "few", few_digits)  # type: ignore[arg-type]
    monkeypatch.setattr(command, "TRACKS", (TINY,))
    for module in (command, report):
        monkeypatch.setattr(module, "ENTRANTS", taken)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)

    def run(out: str, *more: str) -> tuple[bytes, bytes]:
        folder = tmp_path / out
        command.main(["--cache", str(tmp_path / "cache"), "--out", str(folder), *more])
        return (folder / "race.json").read_bytes(), (folder / "race.md").read_bytes()

    first = run("one")
    models = sorted((tmp_path / "cache").rglob("*"))
    assert run("two") == first
    assert run("three", "--report") == first
    assert sorted((tmp_path / "cache").rglob("*")) == models  # nothing was made again
    content: dict[str, Any] = json.loads(first[0])
    (track,) = content["tracks"]
    methods = {method["name"]: method for method in track["methods"]}
    assert set(methods) == set(TAKEN)
    # the clean control and the planted one: retraining lies near, a shifted bias far
    assert methods["bias_shift"]["forget"] == 0.0
    assert methods["bias_shift"]["verdicts"] == {"FAILED": 1}
    assert track["shallow_passed"] == []
    assert len(methods["fine_tune"]["grid"]) == len(METHODS["fine_tune"].grid)
    assert methods["fine_tune"]["cost"]["backward"] == pytest.approx(3 * 200 / 250)
    assert "bias shift" in page.written(content)
    picture.draw(content, tmp_path / "one.svg")
    picture.draw(content, tmp_path / "two.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_what_is_kept_is_found_by_its_facts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.result("x", {"a": 1}) is None
    assert store.result("x", {"a": 1}, lambda: (1, 2)) == [1, 2]
    assert store.result("x", {"a": 1}, lambda: (9, 9)) == [1, 2]
    assert store.result("x", {"a": 2}) is None
