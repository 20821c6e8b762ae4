"""What photographs cost at their real size: memory, decoding, statistics, data versions.

    python -m benchmarks.size            (ARGS=--quick of `make bench-size`: minutes)

Every part runs in a process of its own, whose peak memory is that of the system's own count. The
photographs are painted noise in JPEG files of mixed sizes, made here and deleted after. Ratios are
medians over rounds in which both sides take turns; where other work is on the machine, read the
ratios and not the seconds.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import described, save

Figures = dict[str, Any]
PREPROCESSING = {
    "resize": 256,
    "crop": 224,
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}
SIZES = ((500, 375), (375, 500), (640, 480), (333, 500))
"""Width and height of the photographs, in turn: those of ImageNet are like that."""
CLASSES = 4
ROWS = (50, 100, 200, 500, 1000, 5000)
"""Rows of each class that statistics are taken from, the last the baseline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much each part does.

    Attributes:
        memory: Photographs of the smaller and of the larger event.
        passes: Images of the statistics pass.
        decoded: Photographs of a round of decoding.
        files: Files of the data version.
        rounds: Of each comparison.
    """

    memory: tuple[int, int]
    passes: int
    decoded: int
    files: int
    rounds: int


FULL = Counts(memory=(1000, 4000), passes=128, decoded=600, files=100_000, rounds=5)
QUICK = Counts(memory=(200, 600), passes=48, decoded=200, files=10_000, rounds=3)


def main() -> None:
    """Measure every part, each in a process of its own."""
    parser = argparse.ArgumentParser(description="The figures of docs/scale.md at size.")
    parser.add_argument("--quick", action="store_true", help="Smaller counts, for a first look.")
    parser.add_argument("--part", choices=PARTS, help="This part alone, in this process.")
    parser.add_argument("--only", action="append", choices=PARTS, help="These parts alone.")
    parser.add_argument("--count", type=int, default=0, help="Photographs of the part `event`.")
    options = parser.parse_args()
    counts = QUICK if options.quick else FULL
    if options.part:
        print(json.dumps(PARTS[options.part](counts, options.count)))
        return
    figures: Figures = {"machine": described(), "quick": options.quick}
    for name in options.only or PARTS:
        if name == "event":
            figures[name] = [_apart(name, options.quick, count) for count in counts.memory]
        else:
            figures[name] = _apart(name, options.quick, 0)
    save("size", {"command": "python -m benchmarks.size", **figures})


def _apart(part: str, quick: bool, count: int) -> Figures:
    """A part in a process and a state folder of its own."""
    with tempfile.TemporaryDirectory(prefix="damp-size-") as folder:
        command = [sys.executable, "-m", "benchmarks.size", "--part", part, "--count", str(count)]
        done = subprocess.run(
            command + (["--quick"] if quick else []),
            env=os.environ | {"DAMP_HOME": f"{folder}/state", "DAMP_SIZE": folder},
            check=True,
            capture_output=True,
            text=True,
        )
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def _folder() -> Path:
    return Path(os.environ["DAMP_SIZE"])


def _paint(folder: Path, count: int) -> Path:
    """Photographs of smooth noise in class folders: as large as real ones when compressed."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(count):
        width, height = SIZES[number % len(SIZES)]
        coarse = rng.integers(0, 256, (height // 4, width // 4, 3), np.uint8)
        path = folder / f"class-{number % CLASSES}" / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(coarse).resize((width, height)).save(path, quality=90)
    return folder


def _peak() -> float:
    """GiB of this process and its children at most, so far."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return round(max(own, children) / 2**20, 3)


def event(counts: Counts, count: int) -> Figures:
    """Peak memory of everything that an event does with its data, by stage; ResNet-18 at 224.

    Decoding, data version and commitment, one epoch of a training, statistics and cut, the
    observation of one model. An event does the same with more models, one after the other.
    """
    import torch

    import damp
    from audits import features, fresh, weight_record
    from audits.references import Recipe
    from audits.tuning import Tuning
    from compliance.documents.preprocessing import Preprocessing
    from flows.data import commitment, loaders, versions
    from flows.data.dataset import DataSpec
    from flows.models import architectures, statistics_cache, trainings
    from flows.state.paths import Home
    from flows.state.settings import settings

    torch.set_num_threads(1)
    home, stages = Home(settings().home), {}
    photos = _paint(_folder() / "photos", count)
    spec = DataSpec(
        name=f"imagefolder:{photos}", preprocessing=Preprocessing.model_validate(PREPROCESSING)
    )

    def stage(name: str, start: float) -> float:
        stages[name] = {"peak_GiB": _peak(), "seconds": round(time.monotonic() - start, 1)}
        return time.monotonic()

    clock = stage("start", time.monotonic())
    dataset = loaders.load(spec)
    clock = stage("decode", clock)
    versions.before_and_after(dataset, [1], home)
    commitment.retain_set(dataset, [1])
    clock = stage("version and commitment", clock)
    few = dataset.train_inputs.index_select(0, torch.arange(min(64, len(dataset.train_labels))))
    network = trainings.run(
        trainings.Regime(recipe=Recipe(epochs=1, batch_size=32)),
        architecture="torchvision:resnet18",
        classes=CLASSES,
        input_shape=dataset.input_shape,
        inputs=few,
        labels=dataset.train_labels[: len(few)],
        seed=0,
    )
    clock = stage("two steps of training", clock)
    light = architectures.build("damp:cnn", CLASSES, dataset.input_shape).eval()
    damp.forget(light, statistics_cache.batches(dataset), forget=1)
    clock = stage("statistics and cut of a small network, all rows", clock)
    tuning = Tuning(
        labels=dataset.test_labels.numpy(), forget=(1,), live=tuple(range(CLASSES)), seed=0
    )
    moved = fresh.choose(dataset.train_labels, [1], seed=0)
    features.observe(
        light,
        dataset.train_inputs,
        dataset.test_inputs,
        digest="light",
        fresh=fresh.perturbed(dataset.train_inputs[moved], seed=0),
        tuning=tuning,
        weights=True,
    )
    clock = stage("observation of a small network, all rows", clock)
    some = dataset.test_inputs.index_select(0, torch.arange(min(48, len(dataset.test_labels))))
    weight_record.record(network, some, shown=list(range(8)))
    features.observe(network, some, some, digest="resnet18", weights=True)
    stage("observation of ResNet-18, 48 rows", clock)
    return {"images": count, "side": 224, "peak_GiB": _peak(), "stages": stages}


def passes(counts: Counts, _: int) -> Figures:
    """The statistics pass over a plain forward pass, both from the same rows on disk; ResNet-18."""
    import torch

    import damp
    from compliance.documents.preprocessing import Preprocessing
    from flows.data import loaders
    from flows.data.dataset import DataSpec
    from flows.models import architectures, statistics_cache

    torch.set_num_threads(1)
    torch.manual_seed(0)
    photos = _paint(_folder() / "photos", int(counts.passes / 0.8))
    seen = Preprocessing.model_validate(PREPROCESSING)
    dataset = loaders.load(DataSpec(name=f"imagefolder:{photos}", preprocessing=seen))
    network = architectures.build("torchvision:resnet18", CLASSES, dataset.input_shape).eval()
    batches = statistics_cache.batches(dataset)

    def forward() -> None:
        with torch.inference_mode():
            for images, _ in batches:
                network(images)

    ratios, plain = _compared(lambda: damp.measure(network, batches), forward, counts.rounds)
    return {
        "images": sum(map(len, batches.rows)),
        "rows_a_batch": len(batches.rows[0]),
        "measure_over_forward": ratios,
        "forward_images_a_second": round(sum(map(len, batches.rows)) / plain, 2),
        "clock": "processor time",
    }


def _compared(
    one: Callable[[], object], other: Callable[[], object], rounds: int
) -> tuple[Figures, float]:
    """Ratio of two pieces of work that take turns, in processor time; and the second's median."""
    ratios, seconds = [], []
    for number in range(rounds + 1):
        start = time.process_time()
        one()
        middle = time.process_time()
        other()
        end = time.process_time()
        if number:  # the first round warms up
            ratios.append((middle - start) / (end - middle))
            seconds.append(end - middle)
    return _spread(ratios), statistics.median(seconds)


def _spread(values: list[float]) -> Figures:
    return {
        "median": round(statistics.median(values), 3),
        "least": round(min(values), 3),
        "greatest": round(max(values), 3),
        "rounds": len(values),
    }


def decode(counts: Counts, _: int) -> Figures:
    """Decode and keep, images a second, over a bare DataLoader with PIL and two workers."""
    import torch
    from torch.utils.data import DataLoader
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    from compliance.documents.preprocessing import Preprocessing
    from flows.data import loaders
    from flows.data.dataset import DataSpec

    torch.set_num_threads(1)
    photos = _paint(_folder() / "photos", counts.decoded)
    seen = Preprocessing.model_validate(PREPROCESSING)
    whole = transforms.Compose(
        [transforms.Resize(256), transforms.CenterCrop(224), transforms.PILToTensor()]
    )
    ours, theirs = [], []
    for number in range(counts.rounds + 1):
        shutil.rmtree(_folder() / "state", ignore_errors=True)
        loaders.load.cache_clear()
        start = time.monotonic()
        loaders.load(DataSpec(name=f"imagefolder:{photos}", preprocessing=seen))
        middle = time.monotonic()
        for _images, _labels in DataLoader(
            ImageFolder(str(photos), whole), batch_size=64, num_workers=2
        ):
            pass
        end = time.monotonic()
        if number:
            ours.append(counts.decoded / (middle - start))
            theirs.append(counts.decoded / (end - middle))
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return {
        "images": counts.decoded,
        "images_a_second": round(statistics.median(ours), 1),
        "bare_loader_images_a_second": round(statistics.median(theirs), 1),
        "over_bare_loader": _spread(ratios),
        "clock": "wall",
    }


def version(counts: Counts, _: int) -> Figures:
    """The data version of a folder of many files: first, unchanged, and against plain sha256."""
    import numpy as np

    from flows.data import digest_store, image_layout
    from flows.state.paths import Home
    from flows.state.settings import settings

    folder, rng = _folder() / "files", np.random.default_rng(0)
    content, size = rng.bytes(1 << 20), 0
    for number in range(counts.files):
        path = folder / f"class-{number % 100:02}" / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        length = 4_000 + int(rng.integers(0, 24_000))
        start = int(rng.integers(0, len(content) - length))
        path.write_bytes(content[start : start + length])
        size += length
    time.sleep(3)  # a file that changed moments ago is read again: its times do not tell
    classes = image_layout.folders(folder)
    home = Home(settings().home)
    listing, first = _timed(lambda: image_layout.listed(folder, classes, "train"))
    paths = [image.path for image in listing.images]
    plain, sha = _timed(lambda: [hashlib.sha256(path.read_bytes()).digest() for path in paths])
    _, hashed = _timed(lambda: digest_store.md5s(folder, paths, home))
    _, again = _timed(lambda: digest_store.md5s(folder, paths, home))
    return {
        "files": len(plain),
        "GB": round(size / 1e9, 2),
        "walk_seconds": round(first, 2),
        "first_seconds": round(hashed, 2),
        "unchanged_seconds": round(again, 2),
        "plain_sha256_seconds": round(sha, 2),
        "first_speed_over_sha256": round(sha / hashed, 2),
    }


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.monotonic()
    result = work()
    return result, time.monotonic() - start


def rows(counts: Counts, _: int) -> Figures:
    """What statistics of fewer rows of each class leave: the same cut from more and from fewer.

    A small network on MNIST, real images; strength by layer, and how often the edited models answer
    held-out images differently.
    """
    import torch

    import damp
    from audits.references import Recipe
    from flows.data import loaders
    from flows.data.dataset import DataSpec
    from flows.models import statistics_cache, trainings

    torch.set_num_threads(1)
    root = Path(__file__).parents[2] / "shared" / "data"
    dataset = loaders.load(DataSpec(name="mnist", root=str(root)))
    network = trainings.run(
        trainings.Regime(recipe=Recipe(epochs=1, batch_size=128, learning_rate=5e-3)),
        architecture="damp:cnn",
        classes=10,
        input_shape=dataset.input_shape,
        inputs=dataset.train_inputs,
        labels=dataset.train_labels,
        seed=0,
    )
    held_out = dataset.test_inputs[:5000]
    edited = {}
    for most in ROWS:
        statistics_cache.SAMPLES_PER_CLASS = most
        edited[most] = damp.forget(network, statistics_cache.batches(dataset), forget=3)
    answers = {most: each.unretired(held_out).argmax(1) for most, each in edited.items()}
    whole = edited[ROWS[-1]]
    return {
        "baseline_rows_a_class": ROWS[-1],
        "held_out": len(held_out),
        "by_rows": {
            str(most): {
                "largest_difference_of_strength": round(
                    max(
                        abs(a - b)
                        for one, other in zip(each.operators, whole.operators, strict=True)
                        for a, b in zip(one.strength, other.strength, strict=True)
                    ),
                    4,
                ),
                "answers_that_differ": round(
                    float((answers[most] != answers[ROWS[-1]]).double().mean()), 4
                ),
            }
            for most, each in edited.items()
            if most != ROWS[-1]
        },
    }


PARTS: dict[str, Callable[[Counts, int], Figures]] = {
    "event": event,
    "passes": passes,
    "decode": decode,
    "version": version,
    "rows": rows,
}

if __name__ == "__main__":
    main()
