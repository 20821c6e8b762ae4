"""What a large model costs, from its architecture and a few batches: the figures of docs/scale.md.

    python -m benchmarks.scale

One thread of a CPU; seconds per image are measured, the rest is counted.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.machine import described, save
from damp.operators import find
from flows.models import architectures

Facts = dict[str, Any]

MODELS = ("torchvision:resnet50", "torchvision:vit_b_16")
CLASSES, SHAPE, BATCH, BATCHES = 1000, (3, 224, 224), 8, 3
FLOAT64 = 8


def main() -> None:
    """Count and measure."""
    torch.set_num_threads(1)
    figures = {name: _measured(name) for name in MODELS}
    by_name = {"command": "python -m benchmarks.scale", "machine": described(), "batch": BATCH}
    save("scale", by_name | figures)


def _measured(name: str) -> Facts:
    torch.manual_seed(0)
    network = architectures.build(name, CLASSES, SHAPE).eval()
    operators, skipped = find(network)
    widths = [operator.features for operator in operators]
    images = torch.randn(BATCH, *SHAPE)
    with torch.inference_mode():
        forward = _median(lambda: network(images))
    grams = [torch.zeros(d, d, dtype=torch.float64) for d in sorted(set(widths))]
    rows = [torch.randn(BATCH, len(gram), dtype=torch.float64) for gram in grams]
    each = {
        len(gram): _median(lambda g=gram, x=x: g.addmm_(x.T, x))
        for gram, x in zip(grams, rows, strict=True)
    }
    return {
        "parameters": sum(value.numel() for value in network.parameters()),
        "operators": len(operators),
        "skipped": len(skipped),
        "widest_input": max(widths),
        # per operator: two Gram matrices, and a sum per class
        "statistics_bytes": sum(FLOAT64 * (2 * d * d + CLASSES * d) for d in widths),
        "forward_seconds_per_image": round(forward / BATCH, 5),
        "gram_seconds_per_image": round(sum(each[d] for d in widths) / BATCH, 5),
    }


def _median(run: Callable[[], object]) -> float:
    seconds = []
    for _ in range(BATCHES):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
