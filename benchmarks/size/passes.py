"""The surgery's passes over a plain forward pass, and large networks in bounded memory."""

from __future__ import annotations

import time

from benchmarks.size.common import (
    CLASSES,
    PREPROCESSING,
    Counts,
    Figures,
    compared,
    folder,
    paint,
    peak,
)


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
    photos = paint(folder() / "photos", int(counts.passes / 0.8))
    preprocessing = Preprocessing.model_validate(PREPROCESSING)
    dataset = loaders.load(DataSpec(name=f"imagefolder:{photos}", preprocessing=preprocessing))
    network = architectures.build("torchvision:resnet18", CLASSES, dataset.input_shape).eval()
    batches = statistics_cache.batches(dataset)

    def forward() -> None:
        with torch.inference_mode():
            for images, _ in batches:
                network(images)

    ratios, plain = compared(lambda: damp.measure(network, batches), forward, counts.rounds)
    return {
        "images": sum(map(len, batches.rows)),
        "rows_a_batch": len(batches.rows[0]),
        "measure_over_forward": ratios,
        "forward_images_a_second": round(sum(map(len, batches.rows)) / plain, 2),
        "clock": "processor time",
    }


def edit(counts: Counts, _: int) -> Figures:
    """The default preset, statistics included, over one forward pass; small networks, many images.

    Images are noise around one per class, drawn batch by batch and never held.
    """
    import torch

    import damp
    from flows.models import architectures
    from flows.state.settings import keep_freed_memory

    torch.set_num_threads(1)
    keep_freed_memory()
    figures: Figures = {"clock": "processor time", "cases": []}
    for architecture, count, rounds in (
        ("damp:cnn", 4_000, counts.rounds),
        ("torchvision:resnet18", 4_000, min(2, counts.rounds)),
        ("damp:cnn", 50_000, min(2, counts.rounds)),
    ):
        torch.manual_seed(0)
        network = architectures.build(architecture, 10, (3, 32, 32)).eval()
        batches = Drawn(count, (3, 32, 32))
        stand_in: list[str | None] = []

        def forward(network: torch.nn.Module = network, batches: Drawn = batches) -> None:
            with torch.inference_mode():
                for images, _ in batches:
                    network(images)

        def forget(
            network: torch.nn.Module = network,
            batches: Drawn = batches,
            reasons: list[str | None] = stand_in,
        ) -> None:
            reasons.append(damp.forget(network, batches, forget=3).stand_in_reason)

        ratios, seconds = compared(forget, forward, rounds)
        figures["cases"].append(
            {
                "architecture": architecture,
                "images": count,
                "default_preset_over_forward": ratios,
                "forward_seconds": round(seconds, 1),
                "stand_in": stand_in[-1],
            }
        )
    return figures


class Drawn:
    """Batches of noise around an image for each class, the same at every reading."""

    def __init__(self, count: int, shape: tuple[int, int, int], batch: int = 256) -> None:
        import torch

        self.count, self.shape, self.batch = count, shape, batch
        generator = torch.Generator().manual_seed(0)
        self.centres = torch.randn(10, *shape, generator=generator)
        # drawn once and used again and again: drawing numbers is no part of either side
        self.noise = torch.randn(batch, *shape, generator=generator)

    def __iter__(self):  # type: ignore[no-untyped-def]
        import torch

        for number, start in enumerate(range(0, self.count, self.batch)):
            rows = min(self.batch, self.count - start)
            labels = torch.arange(start, start + rows) % 10
            yield self.centres[labels] + self.noise.roll(number, 0)[:rows], labels


def large(_: Counts, count: int) -> Figures:
    """ResNet-50 and ViT-B/16 at 224 with random weights: minutes and peak memory of an edit.

    One network a process, so that each has a peak of its own: `--count` images of ResNet-50, or,
    negative, of ViT-B/16. Below 240 images the default preset has a stand-in: too few of a class.
    """
    import torch

    import damp
    from flows.models import architectures

    torch.set_num_threads(1)
    torch.manual_seed(0)
    name = "torchvision:vit_b_16" if count < 0 else "torchvision:resnet50"
    network = architectures.build(name, 10, (3, 224, 224)).eval()
    batches = Drawn(abs(count), (3, 224, 224), batch=32)
    built = peak()
    start, processor = time.monotonic(), time.process_time()
    with torch.inference_mode():
        for images, _ in batches:
            network(images)
    plain, forward = peak(), time.process_time() - processor
    processor = time.process_time()
    edited = damp.forget(network, batches, forget=3)
    return {
        "architecture": name,
        "images": abs(count),
        "peak_GiB": {"built": built, "forward": plain, "edited": peak()},
        "processor_minutes": {
            "forward": round(forward / 60, 1),
            "edit": round((time.process_time() - processor) / 60, 1),
        },
        "wall_minutes": round((time.monotonic() - start) / 60, 1),
        "edit_over_forward": round((time.process_time() - processor) / forward, 2),
        "operators": len(edited.operators),
        "skipped": len(edited.skipped),
        "stand_in": edited.stand_in_reason,
    }
