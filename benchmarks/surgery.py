"""How long does surgery take, against one plain forward pass over the same samples?

    python -m benchmarks.surgery

Three things are timed in turn, several times over, in one run: a forward pass over all samples;
the surgery (statistics and edits, one pass); and the surgery with batch norms re-estimated after
it, which takes a pass of its own. The ratios are of the medians. The nets have random weights and
the images are noise: neither changes the work.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

import damp
from flows.models import build

RESULT = Path(__file__).parent / "results" / "surgery.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A network and the data it is cut on."""

    architecture: str
    shape: tuple[int, int, int]
    samples: int
    classes: int = 10
    batch_size: int = 256

    def model(self, device: torch.device) -> nn.Module:
        """The network, in evaluation mode."""
        return build(self.architecture, self.classes, self.shape).eval().to(device)

    def batches(self, device: torch.device) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Noise around one image per class, so that there is something to cut."""
        generator = torch.Generator().manual_seed(0)
        labels = torch.arange(self.samples) % self.classes
        centres = torch.randn(self.classes, *self.shape, generator=generator)
        inputs = centres[labels] + torch.randn(self.samples, *self.shape, generator=generator)
        parts = zip(inputs.split(self.batch_size), labels.split(self.batch_size), strict=True)
        return [(part.to(device), numbers) for part, numbers in parts]


CASES = (
    Case(architecture="damp:cnn", shape=(1, 8, 8), samples=1437),
    Case(architecture="damp:vit", shape=(1, 8, 8), samples=1437),
    Case(architecture="damp:cnn", shape=(1, 28, 28), samples=4000),
    Case(architecture="damp:cnn", shape=(3, 32, 32), samples=4000),
    Case(architecture="torchvision:resnet18", shape=(3, 32, 32), samples=1000),
)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Wall-clock seconds that a piece of work takes."""
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def measure(case: Case, *, repeats: int, device: torch.device) -> dict[str, object]:
    """Medians and ratios of one case."""
    model, batches = case.model(device), case.batches(device)

    def forward() -> None:
        with torch.no_grad():
            for inputs, _ in batches:
                model(inputs)

    works = {
        "forward": forward,
        "surgery": lambda: damp.forget(model, batches, forget=3, recalibrate=False),
        "surgery_and_recalibration": lambda: damp.forget(model, batches, forget=3),
        "surgery_paper": lambda: damp.forget(model, batches, forget=3, preset="paper"),
    }
    times = _in_turn(works, repeats, device)
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratios = {name: medians[name] / medians["forward"] for name in works if name != "forward"}
    return {**asdict(case), "seconds": medians, "ratios": ratios}


def _in_turn(
    works: dict[str, Callable[[], object]], repeats: int, device: torch.device
) -> dict[str, list[float]]:
    """Seconds of each piece of work, one after the other, after one round to warm up."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for number in range(repeats + 1):
        for name, work in works.items():
            taken = seconds(work, device)
            if number:
                times[name].append(taken)
    return times


def main() -> None:
    """Measure all cases, print the ratios, write them to `benchmarks/results/surgery.json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    device = torch.device(options.device)
    results = []
    for case in CASES:
        results.append(measure(case, repeats=options.repeats, device=device))
        print(_line(results[-1]))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(
        json.dumps(_report(results, device, options.repeats), indent=1) + "\n"
    )


def _line(result: dict) -> str:
    shape = "x".join(map(str, result["shape"]))
    ratios = ", ".join(f"{name} {ratio:.2f}" for name, ratio in result["ratios"].items())
    forward = result["seconds"]["forward"]
    return f"{result['architecture']} {shape}: forward {forward:.3f} s; times that: {ratios}"


def _report(results: list[dict], device: torch.device, repeats: int) -> dict[str, object]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "what": "seconds of surgery over seconds of one plain forward pass, medians",
        "device": {"type": device.type, "name": name, "threads": torch.get_num_threads()},
        "torch": torch.__version__,
        "damp": damp.__version__,
        "repeats": repeats,
        "cases": results,
    }


if __name__ == "__main__":
    main()
