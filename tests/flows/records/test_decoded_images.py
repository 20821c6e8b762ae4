"""Decoded images are listed among what still holds a class, can be deleted, and are made again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from compliance.documents.preprocessing import Preprocessing
from flows.data import digest_store, loaders
from flows.data.dataset import Dataset, DataSpec
from flows.operations import purge
from flows.records import inventory
from flows.state.paths import Home

SEEN = Preprocessing(resize=8, crop=8)


def photographs(folder: Path) -> Path:
    for label, name in enumerate(["anna", "bert"]):
        for number in range(4):
            pixels = np.random.default_rng(10 * label + number).integers(0, 256, (9, 12, 3))
            path = folder / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    return folder


def load(folder: Path) -> Dataset:
    loaders.load.cache_clear()
    return loaders.load(DataSpec(name=f"imagefolder:{folder}", preprocessing=SEEN))


def test_there_is_nothing_to_list_where_nothing_was_decoded(home: Home) -> None:
    assert list(inventory.decoded_images(home)) == []


def test_they_are_listed_deleted_and_made_again(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest_store, "SETTLED", -(1 << 60))
    folder = photographs(tmp_path / "photos")
    before = load(folder).train_inputs[:]
    images, digests = inventory.decoded_images(home)
    assert images.artefact == "decoded images"
    assert {path.name for path in images.files} == {"pixels", "done.json"}
    assert "1 caches" in images.location
    assert digests.artefact == "digests of image files"
    # no name of a class is kept anywhere
    assert not any("anna" in str(path) for path in home.root.rglob("*"))
    for path in (*images.files, *digests.files):
        assert purge._under(path, home.root.resolve())
        purge._remove(home, path)
    assert list(inventory.decoded_images(home)) == []
    assert torch.equal(load(folder).train_inputs[:], before)


def test_trainings_that_were_killed_are_listed_and_deleted(home: Home) -> None:
    assert list(inventory.unfinished_trainings(home)) == []
    states = [home.trainings / "base-1.pt", home.trainings / ".base-2.pt.aside"]
    for path in states:  # the second: killed while it was written
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"weights")
    (listed,) = inventory.unfinished_trainings(home)
    assert set(listed.files) == set(states)
    assert listed.location == "trainings, 2 files"
    for path in listed.files:
        purge._remove(home, path)
    assert list(inventory.unfinished_trainings(home)) == []


def test_models_of_a_study_that_is_not_over_are_listed_and_left_to_it(home: Home) -> None:
    assert list(inventory.models_of_studies(home)) == []
    file = home.qualifications / "0123" / "class-3-after-0" / "paper.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    (file.parent / "class-3-after-0.json").write_text("{}")
    (listed,) = inventory.models_of_studies(home)
    assert (listed.location, listed.files) == ("qualifications, 1 files", ())
    assert "damp qualify" in listed.note
