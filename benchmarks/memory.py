"""How much memory does surgery take beyond a plain forward pass, and does it grow with the data?

    python -m benchmarks.memory

Each figure is the peak resident memory of a process of its own. The images are drawn batch by batch
and never held, so that what grows would be the surgery's. The bound is what the method says: the
second moments that are kept, plus the model's copy and the largest strip that is worked on.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

import damp
from flows.models.architectures import build

RESULTS = Path(__file__).parent / "results"

CASES = (
    ("damp:cnn", (1, 8, 8), (1_000, 10_000, 100_000)),
    ("torchvision:resnet18", (3, 32, 32), (1_000, 10_000)),
    ("torchvision:vgg11", (3, 32, 32), (300, 1_000)),
)
WORKS = ("forward", "mixture", "measure")
BATCH, CLASSES = 256, 10


class Drawn:
    """Batches that are drawn anew at every reading, always the same."""

    def __init__(self, samples: int, shape: tuple[int, ...]) -> None:
        self.samples, self.shape = samples, shape

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(0)
        centres = torch.randn(CLASSES, *self.shape, generator=generator)
        for start in range(0, self.samples, BATCH):
            labels = torch.arange(start, min(start + BATCH, self.samples)) % CLASSES
            noise = torch.randn(len(labels), *self.shape, generator=generator)
            yield centres[labels] + noise, labels


def child(architecture: str, shape: tuple[int, ...], samples: int, work: str) -> None:
    """Do one piece of work; print the peak memory in MiB and the size of the statistics."""
    torch.set_num_threads(1)
    model = build(architecture, CLASSES, shape).eval()
    batches = Drawn(samples, shape)
    kept = 0
    if work == "forward":
        with torch.no_grad():
            for inputs, _ in batches:
                model(inputs)
    elif work == "mixture":
        damp.forget(model, batches, forget=3, preset="mixture", recalibrate=False)
    else:
        tensors, _ = damp.measure(model, batches).to_tensors()
        kept = sum(value.nbytes for value in tensors.values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"peak_mib": round(peak), "statistics_mib": round(kept / 2**20, 1)}))


def figures(architecture: str, shape: tuple[int, ...], samples: int, work: str) -> dict:
    """What `child` prints, in a process of its own."""
    arguments = json.dumps([architecture, shape, samples, work])
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", "--child", arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measure all cases; write `memory.json` and `memory.md` under benchmarks/results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        architecture, shape, samples, work = json.loads(options.child)
        child(architecture, tuple(shape), samples, work)
        return
    rows = [
        {"architecture": architecture, "shape": shape, "samples": samples}
        | {work: figures(architecture, shape, samples, work) for work in WORKS}
        for architecture, shape, sizes in CASES
        for samples in sizes
    ]
    report = {
        "command": "python -m benchmarks.memory",
        "what": "peak resident memory of a process, MiB",
        "machine": platform.machine(),
        "torch": torch.__version__,
        "damp": damp.__version__,
        "batch": BATCH,
        "cases": rows,
    }
    (RESULTS / "memory.json").write_text(json.dumps(report, indent=1) + "\n")
    (RESULTS / "memory.md").write_text(_page(report))
    print(_page(report))


def _page(report: dict) -> str:
    lines = [
        "# Memory of surgery",
        "",
        f"Made by `{report['command']}`; peak resident memory of a process in MiB, batches of "
        f"{report['batch']} images that are drawn and not held, torch {report['torch']}, damp "
        f"{report['damp']}.",
        "",
        "| network | images | plain forward pass | surgery | above it | measuring all classes | "
        "statistics kept |",
        "|---|---|---|---|---|---|---|",
    ]
    for case in report["cases"]:
        forward, mixture, measure = (case[work]["peak_mib"] for work in WORKS)
        lines.append(
            f"| {case['architecture']} | {case['samples']:,} | {forward} | {mixture} | "
            f"{mixture - forward} | {measure} | {case['measure']['statistics_mib']} |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
