"""What the state folder keeps to save time and may hold a class: made again when needed."""

from __future__ import annotations

import json
from collections.abc import Iterator

from flows.records.artefacts import Artefact
from flows.state.paths import Home


def shadow_models(home: Home, version: str) -> Iterator[Artefact]:
    """Models trained on halves of this data version, the class's rows among them."""
    trained = {
        path: json.loads(path.with_suffix(".json").read_bytes())["data"]
        for path in sorted(home.shadows.glob("*.safetensors"))
        if path.with_suffix(".json").exists()
    }
    if files := tuple(path for path, data in trained.items() if data == version):
        yield Artefact(
            artefact="shadow models",
            location=f"{home.relative(home.shadows)}, {len(files)} files",
            note="Trained to calibrate attacks on membership, each on half of all rows, the "
            "forgotten ones too; made again when they are needed. `damp purge` deletes them.",
            files=files,
        )


def decoded_images(home: Home) -> Iterator[Artefact]:
    """Images at a model's size, the class's among them, and digests of the files they are from."""
    kept = sorted(home.images.glob("*/*"))
    # where the disk has no room, a note says that all images can be decoded: it holds none
    if files := tuple(path for path in kept if path.is_file() and path.name != "decoded.json"):
        yield Artefact(
            artefact="decoded images",
            location=f"{home.relative(home.images)}, {len({f.parent for f in files})} caches",
            note="Copies of images at a model's size, made again when they are needed, from the "
            "files that are there then. `damp purge` deletes them.",
            files=files,
        )
    if digests := tuple(sorted(home.digests.glob("*.json"))):
        yield Artefact(
            artefact="digests of image files",
            location=home.relative(home.digests),
            note="Without names; they save reading every file again. `damp purge` deletes them.",
            files=digests,
        )


def unfinished_trainings(home: Home) -> Iterator[Artefact]:
    """States of trainings that were killed, each with weights that were learned from rows."""
    if files := tuple(path for path in sorted(home.trainings.glob("*")) if path.is_file()):
        yield Artefact(
            artefact="trainings that are not over",
            location=f"{home.relative(home.trainings)}, {len(files)} files",
            note="Weights on the way, of a base model, a retrained or a shadow model: which rows "
            "they were learned from, the files do not say. The same command goes on from them. "
            "`damp purge` deletes them; a training that runs meanwhile writes its own anew.",
            files=files,
        )


def models_of_studies(home: Home) -> Iterator[Artefact]:
    """What a study of `damp qualify` that is not over has pinned, cut and disguised.

    Listed and not deleted: the study goes on from them, and deletes them where it ends.
    """
    if files := sorted(home.qualifications.rglob("*.safetensors")):
        yield Artefact(
            artefact="models of a study that is not over",
            location=f"{home.relative(home.qualifications)}, {len(files)} files",
            note="The model that is studied, cuts of it and models that must fail, which hold "
            "classes. `damp qualify STUDY` goes on and deletes them at its end.",
            files=(),
        )
