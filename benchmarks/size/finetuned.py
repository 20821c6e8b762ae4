"""A fine-tuned ResNet-18 on 20 classes of Tiny ImageNet: a whole event through the commands."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.size.common import PREPROCESSING, SHARED, Counts, Figures, folder

ARCHIVE = SHARED / "tiny-imagenet-20.tar.xz"
FORGET = "n01443537"
"""Goldfish."""
LEARNED_BEFORE = 10
"""The last classes, which the start was trained on: the class to be forgotten is none of them."""
SEEN = PREPROCESSING | {"resize": [64, 64], "crop": None}
RECIPE = """\
apiVersion: damp/v1
kind: Recipe
architecture: torchvision:resnet18
start: pretrained.safetensors
epochs: {epochs}
batch_size: 64
optimizer: sgd
learning_rate: 0.02
weight_decay: 0.0005
schedule: cosine
precision: bfloat16
augmentation: {{flip: true, crop: 4}}
"""
REFERENCES = 5
SHOWN = (
    *("accuracy.forget_before_retiring", "accuracy.retain", "linear_probe.dprime@penultimate"),
    *("few_shot.5@penultimate", "remainder.all", "similarity.cka@penultimate"),
)


def finetuned(counts: Counts, count: int) -> Figures:
    """Minutes of each command of an event on a fine-tuned model, its references apart.

    The start is trained here, on ten other classes from random weights. Base model and references
    are trained from it with augmentation; 80% of the 550 images of a class are trained on. The
    policy is demo-v3 with five references.

    Args:
        counts: `finetuned` holds the epochs of the start and of the models.
        count: Images of a class at most; 0 for all.
    """
    place, (before, epochs) = folder(), counts.finetuned
    steps = _Steps(place)
    images = steps.do("unpacking", lambda: _unpacked(place / "photos", count))
    steps.do("start, by damp's training code", lambda: _start(place, before))
    (place / "seen.yaml").write_text(json.dumps(SEEN))
    (place / "recipe.yaml").write_text(RECIPE.format(epochs=epochs))
    _policy(place / "policy.yaml")

    def damp(*words: str, right: Sequence[int] = (0,)) -> str:
        """What a command prints; its minutes are kept under its name."""
        output: str = steps.do(f"damp {words[0]}", lambda: _printed(place, words, right))
        return output

    data = ("--data", "imagefolder:photos", "--recipe", "recipe.yaml")
    damp("keys", "new", "--role", "executor")
    base = json.loads(damp("train", *data, "--name", "tiny", "--preprocessing", "seen.yaml", JSON))
    request = damp(
        *("request", "--forget", FORGET, "--model", "tiny@champion", *data),
        *("--policy", "policy.yaml", "--regulation", "gdpr"),
    )
    (place / "request.yaml").write_text(request)
    damp("submit", "request.yaml", "--go-on", "--accept-low-accuracy")
    damp("references", "request.yaml")
    damp("run", right=(0, 2))
    (event,) = json.loads(damp("status", JSON))
    return {
        "images": images,
        "epochs": {"start": before, "base model and references": epochs},
        "references": REFERENCES,
        "test_accuracy": round(base["test_accuracy"], 3),
        "minutes": steps.minutes(),
        "verdict": event["verdict"],
        "reasons": event["reasons"],
        "attempts": _attempts(place, event["id"]),
    }


JSON = "--json"


class _Steps:
    """What is done in a folder, with minutes; done in the same folder again, it is done already."""

    def __init__(self, place: Path) -> None:
        self.file = place / "steps.json"
        self.done: Figures = json.loads(self.file.read_text()) if self.file.exists() else {}

    def do(self, name: str, work: Callable[[], Any]) -> Any:
        """Its result, which JSON can hold."""
        if name not in self.done:
            start, processor = time.monotonic(), _processor()
            result = work()
            minutes = {
                "wall": round((time.monotonic() - start) / 60, 2),
                "processor": round((_processor() - processor) / 60, 2),
            }
            self.done[name] = {"result": result, "minutes": minutes}
            self.file.write_text(json.dumps(self.done))
        return self.done[name]["result"]

    def minutes(self) -> Figures:
        """Of each."""
        return {name: done["minutes"] for name, done in self.done.items()}


def _processor() -> float:
    """Seconds of this process and of all that it waited for."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in both)


def _unpacked(place: Path, count: int) -> int:
    """Images of the archive, published training and validation images together, by class."""
    held: dict[str, list[bytes]] = {}
    validation: dict[str, bytes] = {}
    notes = ""
    with tarfile.open(ARCHIVE) as packed:
        for member in packed:
            file = packed.extractfile(member) if member.isfile() else None
            if file is None:
                continue
            if member.name.endswith("val_annotations.txt"):
                notes = file.read().decode()
            elif member.name.endswith(".JPEG") and "/train/" in member.name:
                held.setdefault(member.name.split("/")[2], []).append(file.read())
            elif member.name.endswith(".JPEG"):
                validation[Path(member.name).name] = file.read()
    for line in notes.splitlines():
        name, wnid = line.split("\t")[:2]
        if name in validation and wnid in held:
            held[wnid].append(validation[name])
    kept = {wnid: images[: count or None] for wnid, images in held.items()}
    for wnid, images in kept.items():
        (place / wnid).mkdir(parents=True)
        for number, image in enumerate(images):
            (place / wnid / f"{number:04}.jpg").write_bytes(image)
    return sum(map(len, kept.values()))


def _start(place: Path, epochs: int) -> None:
    """Train the start on other classes and save it."""
    import torch
    from safetensors.torch import save_file

    from audits.augmentation import Augmentation
    from audits.references import Recipe
    from compliance.documents.preprocessing import Preprocessing
    from flows.data import loaders
    from flows.data.dataset import DataSpec
    from flows.models import trainings

    torch.set_num_threads(1)
    seen = Preprocessing.model_validate(SEEN)
    spec = DataSpec(name=f"imagefolder:{place / 'photos'}", preprocessing=seen)
    dataset = loaders.load(spec)
    first = dataset.classes - LEARNED_BEFORE
    rows = torch.nonzero(dataset.train_labels >= first).flatten()
    network = trainings.run(
        trainings.Regime(
            recipe=Recipe(
                epochs=epochs,
                learning_rate=5e-3,
                precision="bfloat16",
                augmentation=Augmentation(flip=True, crop=4),
            )
        ),
        architecture="torchvision:resnet18",
        classes=LEARNED_BEFORE,
        input_shape=dataset.input_shape,
        inputs=dataset.train_inputs.index_select(0, rows),
        labels=dataset.train_labels[rows] - first,
        seed=0,
    )
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(weights, place / "pretrained.safetensors")


def _policy(file: Path) -> None:
    """demo-v3 with fewer references, under a name of its own."""
    import compliance

    text = (Path(compliance.__file__).parent / "policies" / "demo-v3.yaml").read_text()
    text = text.replace("name: demo-v3", "name: finetuned")
    file.write_text(text.replace("references: 7", f"references: {REFERENCES}"))


def _printed(place: Path, words: Sequence[str], right: Sequence[int]) -> str:
    """What a command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "flows", *words],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode not in right:
        raise SystemExit(f"damp {' '.join(words)} ended with {done.returncode}: {done.stdout}")
    return done.stdout


def _attempts(place: Path, event: str) -> list[Figures]:
    """Of each attempt what its statement says."""
    from compliance.signing import decoded
    from flows.state.paths import Attempt, Home
    from flows.state.settings import settings

    attempts: list[Figures] = []
    home = Home(settings().home)
    while (path := Attempt(home, event, len(attempts) + 1).statement).exists():
        predicate = decoded(path)["predicate"]
        rows = {row["name"]: row for row in predicate["audits"] if row["status"] == "RUN"}
        attempts.append(
            {
                "method": predicate["method"]["parameters"]["preset"],
                "verdict": predicate["verdict"]["result"],
                "minutes_of_work": round(predicate["event"]["monotonicSeconds"] / 60, 2),
                "after_and_retrained": {
                    name: [round(rows[name]["value"], 3), _rounded(rows[name]["nullMean"])]
                    for name in SHOWN
                    if name in rows
                },
            }
        )
    return attempts


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
