"""Decoding, streaming and versions of many photographs."""

from __future__ import annotations

import hashlib
import shutil
import statistics
import time
from pathlib import Path

from benchmarks.size.common import (
    PREPROCESSING,
    Counts,
    Figures,
    folder,
    paint,
    peak,
    spread,
    timed,
)


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
    photos = paint(folder() / "photos", counts.decoded)
    preprocessing = Preprocessing.model_validate(PREPROCESSING)
    whole = transforms.Compose(
        [transforms.Resize(256), transforms.CenterCrop(224), transforms.PILToTensor()]
    )
    ours, theirs = [], []
    for number in range(counts.rounds + 1):
        shutil.rmtree(folder() / "state", ignore_errors=True)
        loaders.load.cache_clear()
        start = time.monotonic()
        loaders.load(DataSpec(name=f"imagefolder:{photos}", preprocessing=preprocessing))
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
        "over_bare_loader": spread(ratios),
        "clock": "wall",
    }


def version(counts: Counts, _: int) -> Figures:
    """The data version of a folder of many files: first, unchanged, and against plain digests."""
    import numpy as np

    from flows.data import digest_store, image_layout
    from flows.state.paths import Home
    from flows.state.settings import settings

    place, rng = folder() / "files", np.random.default_rng(0)
    content, size = rng.bytes(1 << 20), 0
    for number in range(counts.files):
        path = place / f"class-{number % 100:02}" / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        length = 4_000 + int(rng.integers(0, 24_000))
        start = int(rng.integers(0, len(content) - length))
        path.write_bytes(content[start : start + length])
        size += length
    time.sleep(3)  # a file that changed moments ago is read again: its times do not tell
    home = Home(settings().home)
    classes = image_layout.folders(place)
    listing, walk = timed(lambda: image_layout.listed(place, classes, "train"))
    paths = [image.path for image in listing.images]
    speeds: dict[str, list[float]] = {"sha256": [], "md5": []}
    first: list[float] = []
    for number in range(counts.rounds + 1):
        shutil.rmtree(home.digests, ignore_errors=True)
        _, ours = timed(lambda: digest_store.md5s(place, paths, home))
        plain = {
            name: timed(lambda kind=name: [_plain(kind, path) for path in paths])[1]
            for name in speeds
        }
        if number:  # the first round brings the files into memory
            first.append(ours)
            for name, seconds in plain.items():
                speeds[name].append(seconds / ours)
    _, again = timed(lambda: digest_store.md5s(place, paths, home))
    return {
        "files": len(paths),
        "GB": round(size / 1e9, 2),
        "walk_seconds": round(walk, 2),
        "first_seconds": spread(first),
        "unchanged_seconds": round(again, 2),
        "first_speed_over_plain_sha256": spread(speeds["sha256"]),
        "first_speed_over_plain_md5": spread(speeds["md5"]),
        "clock": "wall",
    }


def _plain(kind: str, path: Path) -> bytes:
    return hashlib.new(kind, path.read_bytes(), usedforsecurity=False).digest()


def imagenet(counts: Counts, count: int) -> Figures:
    """A folder of photographs of mixed sizes, through version, cache, statistics and cut.

    Some hundred pictures are painted; each file is one of them with a comment of its own, so that
    no two files are alike and painting takes no part.
    """
    import torch

    import damp
    from compliance.documents.preprocessing import Preprocessing
    from flows.data import loaders, versions
    from flows.data.dataset import DataSpec
    from flows.models import architectures, statistics_cache
    from flows.state.paths import Home
    from flows.state.settings import keep_freed_memory, settings

    torch.set_num_threads(1)
    keep_freed_memory()  # as every command does
    total, home = count or counts.folder, Home(settings().home)
    photos = _many(folder(), total)
    stages: Figures = {}

    def stage(name: str, start: float, items: int) -> None:
        seconds = time.monotonic() - start
        stages[name] = {
            "seconds": round(seconds, 1),
            "a_second": round(items / seconds, 1),
            "peak_GiB": peak(),
        }

    size = sum(path.stat().st_size for path in photos.rglob("*.jpg"))
    start = time.monotonic()
    spec = DataSpec(
        name=f"imagefolder:{photos}", preprocessing=Preprocessing.model_validate(PREPROCESSING)
    )
    dataset = loaders.load(spec)
    stage("list, hash, decode and keep", start, total)
    start = time.monotonic()
    versions.before_and_after(dataset, [1], home)
    stage("data versions before and after", start, total)
    start = time.monotonic()
    network = architectures.build("damp:cnn", dataset.classes, dataset.input_shape).eval()
    batches = statistics_cache.batches(dataset)
    rows = sum(map(len, batches.rows))
    damp.measure(network, batches)
    stage("statistics of a small network", start, rows)
    start = time.monotonic()
    edited = damp.forget(network, batches, forget=1)
    stage("edit of a small network", start, rows)
    kept = sum(path.stat().st_size for path in home.images.rglob("pixels"))
    return {
        "files": total,
        "classes": dataset.classes,
        "GB_of_files": round(size / 1e9, 2),
        "GB_kept": round(kept / 1e9, 2),
        "rows_of_statistics": rows,
        "stages": stages,
        "stand_in": edited.stand_in_reason,
    }


PAINTED = 128
CLASSES_OF_MANY = 50
"""No more than the small network has features: with more the default preset has a stand-in."""


def _many(place: Path, count: int) -> Path:
    """Files of mixed sizes in class folders."""
    paint(place / "painted", PAINTED)
    pictures = [path.read_bytes() for path in sorted((place / "painted").rglob("*.jpg"))]
    for number in range(count):
        path = place / "photos" / f"class-{number % CLASSES_OF_MANY:02}" / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = pictures[(number // CLASSES_OF_MANY + number) % PAINTED]
        comment = f"{number:06}".encode()
        # a comment segment (marker FF FE) behind the start of the image
        path.write_bytes(picture[:2] + b"\xff\xfe\x00\x08" + comment + picture[2:])
    return place / "photos"


def streaming(counts: Counts, _: int) -> Figures:
    """A pass over images that are decoded as they are asked for, over one from the kept file."""
    import torch

    from compliance.documents.preprocessing import Preprocessing
    from flows.data import image_cache, loaders
    from flows.data.dataset import DataSpec

    torch.set_num_threads(1)
    photos = paint(folder() / "photos", counts.decoded)
    preprocessing = Preprocessing.model_validate(PREPROCESSING)
    spec = DataSpec(name=f"imagefolder:{photos}", preprocessing=preprocessing)
    speeds: dict[str, list[float]] = {"kept": [], "streamed": []}
    margin = image_cache.MARGIN
    for name in speeds:
        if name == "streamed":
            shutil.rmtree(folder() / "state", ignore_errors=True)
            image_cache.MARGIN = 1 << 60  # as if the disk were full
        loaders.load.cache_clear()
        rows = loaders.load(spec).train_inputs
        for _round in range(counts.rounds):
            start = time.monotonic()
            for _images in rows.split(64):
                pass
            speeds[name].append(len(rows) / (time.monotonic() - start))
    image_cache.MARGIN = margin
    return {
        "images": counts.decoded,
        "kept_images_a_second": spread(speeds["kept"]),
        "streamed_images_a_second": spread(speeds["streamed"]),
        "clock": "wall",
    }
