"""Versions equal DVC's own, successors lack exactly the forgotten rows, nothing is done twice."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from flows.data import digest_store, dvc_workspace, file_digests, shards, versions
from flows.data.dataset import Dataset
from flows.state.errors import DataVersionError
from flows.state.paths import Home
from flows.state.settings import settings


def small(seed: int = 0, name: str = "module.path:small") -> Dataset:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(60) % 5
    return Dataset(
        name=name,
        train_inputs=torch.rand(60, 1, 4, 4, generator=generator),
        train_labels=labels[torch.randperm(60, generator=generator)],
        test_inputs=torch.rand(20, 1, 4, 4, generator=generator),
        test_labels=torch.arange(20) % 5,
        classes=5,
        description="sixty rows of noise",
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def pair(home: Home) -> tuple[versions.DataVersion, versions.DataVersion]:
    return versions.before_and_after(small(), [3], home)


@pytest.fixture
def no_dvc(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        pytest.fail("DVC was started")

    monkeypatch.setattr(dvc_workspace, "_dvc", refuse)


def recorded_by_dvc(folder: Path) -> str:
    return str(YAML(typ="safe").load(folder.with_name(f"{folder.name}.dvc"))["outs"][0]["md5"])


def dvc(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=folder,
        env=dvc_workspace._environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows_in(folder: Path, part: str) -> dict[int, tuple[np.ndarray, int]]:
    """Every row that the shards hold, by its number."""
    rows = {}
    for path in folder.glob(f"{part}-*.npz"):
        with np.load(path, allow_pickle=False) as shard:
            for row, inputs, label in zip(
                shard["rows"], shard["inputs"], shard["labels"], strict=True
            ):
                rows[int(row)] = (inputs, int(label))
    return rows


def test_the_versions_are_the_ones_that_dvc_records(pair: tuple) -> None:
    before, after = pair
    assert before.version == recorded_by_dvc(before.path)
    assert after.version == recorded_by_dvc(after.path)
    assert before.version != after.version
    assert len(before.version) == 36


def test_dvc_finds_its_workspace_up_to_date(home: Home, pair: tuple) -> None:
    assert "up to date" in dvc(dvc_workspace.workspace(home), "status")


def test_the_digest_in_plain_python_is_dvcs_for_any_names(tmp_path: Path) -> None:
    names = ["b", "a/b", "a b", "a-b/c", "Zoë/ü.png", "zz/10", "zz/9", "a.b"]
    entries = []
    for name in names:
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
        entries.append({"md5": hashlib.md5(name.encode()).hexdigest(), "relpath": name})  # noqa: S324
    random.Random(0).shuffle(entries)
    dvc(tmp_path, "init", "--no-scm", "-q")
    dvc(tmp_path, "add", "-q", "images")

    assert file_digests.dir_digest(entries) == recorded_by_dvc(tmp_path / "images")


def test_the_shards_hold_every_row_and_its_number(pair: tuple) -> None:
    dataset, rows = small(), rows_in(pair[0].path, "train")
    assert sorted(rows) == list(range(60))
    for row, (inputs, label) in rows.items():
        np.testing.assert_array_equal(inputs, dataset.train_inputs[row].numpy())
        assert label == dataset.train_labels[row]
    assert len(rows_in(pair[0].path, "test")) == 20


def test_the_successor_lacks_the_forgotten_training_rows_and_nothing_else(pair: tuple) -> None:
    before, after = pair
    labels = small().train_labels
    kept = {row for row in range(60) if labels[row] != 3}
    assert set(rows_in(after.path, "train")) == kept
    assert set(rows_in(after.path, "test")) == set(rows_in(before.path, "test"))
    assert (before.rows, after.rows, after.without) == (60, 48, (3,))


def test_the_successor_takes_no_space(pair: tuple) -> None:
    before, after = pair
    for path in after.path.iterdir():
        assert os.path.samefile(path, before.path / path.name)


def test_the_manifest_says_what_the_successor_is_made_of(home: Home, pair: tuple) -> None:
    before, after = pair
    manifest = json.loads(versions.manifest(home, after, before).read_text())
    kept = [row for row in range(60) if small().train_labels[row] != 3]
    rows = hashlib.sha256("".join(f"{row}\n" for row in kept).encode()).hexdigest()
    assert manifest["base"] == before.version
    assert manifest["version"] == after.version
    assert (manifest["forget"], manifest["forgotten"], manifest["retained"]) == ([3], 12, 48)
    assert manifest["retainedRows"] == rows


@pytest.mark.usefixtures("no_dvc")
def test_a_second_call_starts_nothing_of_dvc(home: Home, pair: tuple) -> None:
    assert versions.before_and_after(small(), [3, 3], home) == pair
    assert versions.version(small(), home) == pair[0]


def test_the_next_event_starts_where_the_last_one_ended(home: Home, pair: tuple) -> None:
    before, after = versions.before_and_after(small(), [1], home, retired=[3])
    assert before == pair[1]
    assert after.without == (1, 3)
    manifest = json.loads(versions.manifest(home, after, before).read_text())
    assert (manifest["base"], manifest["forget"]) == (pair[1].version, [1])


def test_what_a_kill_or_a_hand_left_behind_is_repaired(home: Home) -> None:
    wanted = versions.version(small(seed=1), home)
    shard = wanted.path / "train-000.npz"
    shard.chmod(0o644)
    shard.unlink()
    shard.write_bytes(b"half")
    (wanted.path / "stray").touch()
    leftover = wanted.path.with_name(f".{wanted.path.name}.aside")
    leftover.mkdir()
    (leftover / "train-000.npz").write_bytes(b"half")
    note = dvc_workspace.note(wanted.path)
    note.write_bytes(note.read_bytes()[:20])

    assert versions.version(small(seed=1), home) == wanted
    assert sorted(rows_in(wanted.path, "train")) == list(range(60))
    assert recorded_by_dvc(wanted.path) == wanted.version
    assert not leftover.exists()


def test_a_stage_that_damp_runs_in_is_not_told_to_dvc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_STAGE", "train")
    monkeypatch.setenv("DVC_ROOT", "/elsewhere")
    environment = dvc_workspace._environment(tmp_path)
    assert not {"DVC_STAGE", "DVC_ROOT"} & environment.keys()
    assert environment["DVC_NO_ANALYTICS"] == "1"


def test_what_dvc_refuses_is_told_with_its_reason(home: Home, pair: tuple) -> None:
    with pytest.raises(DataVersionError, match=r"DVC refused.*nowhere.*does not exist"):
        dvc_workspace.add(home, [dvc_workspace.workspace(home) / "nowhere"])


def test_the_successor_is_pushed_and_the_forgotten_rows_are_not(
    home: Home, pair: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = pair
    monkeypatch.setenv("DAMP_DVC_REMOTE", str(tmp_path / "remote"))
    settings.cache_clear()
    dvc_workspace.push(home, after.path)
    there = {path.parent.name + path.name for path in (tmp_path / "remote").rglob("*/*")}
    kept = {digest_store.md5_of(file) for file in after.path.iterdir()}
    gone = {digest_store.md5_of(file) for file in before.path.iterdir()} - kept
    assert kept <= there
    assert gone
    assert not gone & there

    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("DAMP_DVC_REMOTE", str(tmp_path / "file" / "remote"))
    settings.cache_clear()
    with pytest.raises(DataVersionError, match=r"DVC refused `dvc .*push"):
        dvc_workspace.push(home, after.path)
    monkeypatch.delenv("DAMP_DVC_REMOTE")
    settings.cache_clear()
    dvc_workspace.push(home, after.path)  # no remote was named: nothing is asked of DVC


def test_a_version_depends_on_every_value_and_on_the_order(home: Home) -> None:
    def digest(dataset: Dataset) -> str:
        content = [(part, label, shards.md5(b)) for part, label, b in shards.shards(dataset)]
        return hashlib.sha256(repr(content).encode()).hexdigest()

    one = small()
    changed = replace(one, train_inputs=one.train_inputs.clone())
    changed.train_inputs[17, 0, 2, 2] += 1e-6
    turned = replace(
        one, train_inputs=one.train_inputs.flip(0), train_labels=one.train_labels.flip(0)
    )
    assert digest(one) == digest(small())
    assert len({digest(one), digest(changed), digest(turned)}) == 3


def test_a_shard_does_not_know_when_or_how_it_was_written() -> None:
    _, _, shard = next(shards.shards(small()))
    strided = small()
    strided = replace(
        strided, train_inputs=strided.train_inputs.contiguous(memory_format=torch.channels_last)
    )
    assert next(shards.shards(strided))[2] == shard
    with np.load(io.BytesIO(shard), allow_pickle=False) as content:
        assert sorted(content) == ["inputs", "labels", "rows"]


@pytest.mark.parametrize(
    ("forget", "retired", "reason"),
    [
        ([], [], "no class at all"),
        ([7], [], r"classes \[7\]"),
        ([3], [3], r"classes \[3\]"),
        ([0, 1, 2, 3, 4], [], "no training row left"),
    ],
)
def test_there_must_be_something_to_forget_and_something_to_keep(
    home: Home, forget: list[int], retired: list[int], reason: str
) -> None:
    with pytest.raises(DataVersionError, match=reason):
        versions.before_and_after(small(), forget, home, retired=retired)


def image_folder(root: Path) -> Dataset:
    files = []
    for part in ("train", "test"):
        for label, wanted in enumerate(("cat", "dog", "eel")):
            for number in range(3):
                path = root / part / wanted / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(f"{part}{wanted}{number}".encode())
                files.append((path.relative_to(root).as_posix(), part, label))
    labels = torch.arange(3).repeat_interleave(3)
    pixels = torch.rand(9, 1, 2, 2)
    return replace(
        small(name=f"imagefolder:{root}"),
        train_inputs=pixels,
        train_labels=labels,
        test_inputs=pixels,
        test_labels=labels,
        classes=3,
        files=tuple(files),
        folder=root,
    )


@pytest.mark.usefixtures("no_dvc")
def test_images_on_disk_are_hashed_where_they_lie(tmp_path: Path) -> None:
    home, dataset = Home(tmp_path / "home"), image_folder(tmp_path / "images")
    before, after = versions.before_and_after(dataset, [1], home)
    assert before.path == after.path == tmp_path / "images"
    assert before.revision is None
    assert (before.rows, after.rows) == (9, 6)
    assert not list((home.root / "data").glob("*/"))

    (tmp_path / "images" / "train" / "eel" / "0.png").write_bytes(b"other")
    assert versions.version(dataset, home).version != before.version


@pytest.mark.usefixtures("no_dvc")
def test_an_image_that_is_gone_is_named(tmp_path: Path) -> None:
    dataset = image_folder(tmp_path / "images")
    (tmp_path / "images" / "test" / "eel" / "2.png").unlink()
    with pytest.raises(DataVersionError, match=r"eel/2\.png"):
        versions.version(dataset, Home(tmp_path / "home"))


def test_versions_of_image_folders_are_dvcs_and_carry_the_commit(tmp_path: Path) -> None:
    dataset = image_folder(tmp_path / "images")
    shutil.copytree(tmp_path / "images", tmp_path / "less")
    shutil.rmtree(tmp_path / "less" / "train" / "dog")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=n@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    dvc(tmp_path, "init", "-q")
    dvc(tmp_path, "add", "-q", "images", "less")
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "data"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)

    before, after = versions.before_and_after(dataset, [1], Home(tmp_path / "home"))
    assert before.version == recorded_by_dvc(tmp_path / "images")
    assert before.revision == after.revision == head.stdout.strip()
    assert after.version == recorded_by_dvc(tmp_path / "less")


def test_several_at_once_make_one_version(home: Home) -> None:
    results: list[versions.DataVersion] = []
    threads = [
        threading.Thread(target=lambda: results.append(versions.version(small(seed=2), home)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert len({version.version for version in results}) == 1
