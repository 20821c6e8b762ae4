"""How long does surgery take, against one plain forward pass over the same samples?

    python -m benchmarks.surgery

All pieces of work are timed in turn, several times over, in one run; each ratio is that of one
round, and the median, the smallest and the largest over the rounds are reported. On a CPU the time
is the processor time of this process on one thread, which other work on the machine disturbs less
than the clock on the wall; on CUDA it is wall time. The nets have random weights and the images are
noise around one image per class: neither changes the work.
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
from flows.models.architectures import build
from flows.state.settings import keep_freed_memory

RESULTS = Path(__file__).parent / "results"

WORKS = {
    "measure": "one pass whose statistics serve every later request",
    "mixture": "one-shot surgery, batch norms left alone: a pass of its own",
    "mixture, recalibrated": "the same, batch norms re-estimated: a second forward pass",
    "mended": "the head fitted anew as well, a pass through both networks",
    "natural": "the default: up to two passes over capped rows, and arithmetic on them",
    "rewritten": "a light cut, a layer rewritten in up to thirteen passes, then as mended",
    "paper": "the paper's edit, one-shot",
    "next request": "one-shot surgery from statistics that are there",
    "sequential": "statistics taken anew after every edit",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A network and the data it is cut on."""

    architecture: str
    shape: tuple[int, int, int]
    samples: int
    classes: int = 10
    batch_size: int = 256
    sequential: bool = True

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
    Case(architecture="damp:cnn", shape=(1, 8, 8), samples=10_000),
    Case(architecture="damp:vit", shape=(1, 8, 8), samples=1437),
    Case(architecture="damp:vit", shape=(3, 32, 32), samples=4000),
    Case(architecture="damp:cnn", shape=(1, 28, 28), samples=4000),
    Case(architecture="damp:cnn", shape=(3, 32, 32), samples=4000),
    Case(architecture="torchvision:resnet18", shape=(3, 32, 32), samples=1000),
    Case(architecture="torchvision:resnet18", shape=(3, 32, 32), samples=4000),
    Case(architecture="torchvision:resnet18", shape=(3, 64, 64), samples=2000, sequential=False),
    Case(architecture="torchvision:resnet50", shape=(3, 64, 64), samples=1000, sequential=False),
    Case(architecture="torchvision:swin_t", shape=(3, 64, 64), samples=1000, sequential=False),
)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Seconds that a piece of work takes: of the processor, or on the wall for CUDA."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    start = clock()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - start


def measure(case: Case, *, repeats: int, device: torch.device) -> dict[str, object]:
    """Seconds and ratios of one case."""
    model, batches = case.model(device), case.batches(device)
    measured = damp.measure(model, batches)

    def forward() -> None:
        with torch.no_grad():
            for inputs, _ in batches:
                model(inputs)

    def cut(**options: object) -> Callable[[], object]:
        return lambda: damp.forget(model, batches, forget=3, **options)

    works: dict[str, Callable[[], object]] = {
        "forward": forward,
        "measure": lambda: damp.measure(model, batches),
        "mixture": cut(preset="mixture", recalibrate=False),
        "mixture, recalibrated": cut(preset="mixture"),
        "mended": cut(preset="mended"),
        "natural": cut(),
        "rewritten": cut(preset="rewritten"),
        "paper": cut(preset="paper"),
        "next request": cut(preset="mixture", recalibrate=False, measured=measured),
    }
    if case.sequential:
        works["sequential"] = cut(preset="mixture", recalibrate=False, sequential=True)
    rounds = _in_turn(works, repeats, device)
    return {
        **asdict(case),
        "operators": len(measured.readers),
        "inputs": len(measured.statistics),
        "forward_seconds": statistics.median(times["forward"] for times in rounds),
        "ratios": {name: _ratio(rounds, name) for name in works if name != "forward"},
    }


def _in_turn(
    works: dict[str, Callable[[], object]], repeats: int, device: torch.device
) -> list[dict[str, float]]:
    """Seconds of each piece of work, one after the other, after one round to warm up."""
    rounds = [
        {name: seconds(work, device) for name, work in works.items()} for _ in range(repeats + 1)
    ]
    return rounds[1:]


def _ratio(rounds: list[dict[str, float]], name: str) -> dict[str, float]:
    ratios = [times[name] / times["forward"] for times in rounds]
    figures = {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}
    return {key: round(value, 2) for key, value in figures.items()}


def main() -> None:
    """Measure all cases; write `surgery.json` and `surgery.md` under benchmarks/results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.set_num_threads(1)
    keep_freed_memory()
    RESULTS.mkdir(parents=True, exist_ok=True)
    results = []
    for case in CASES:
        results.append(measure(case, repeats=options.repeats, device=device))
        print(_line(results[-1]), flush=True)
        report = _report(results, device, options.repeats)  # after each: a run may be cut short
        (RESULTS / "surgery.json").write_text(json.dumps(report, indent=1) + "\n")
        (RESULTS / "surgery.md").write_text(_page(report))


def _line(result: dict) -> str:
    ratios = ", ".join(f"{name} {ratio['median']:.2f}" for name, ratio in result["ratios"].items())
    return f"{_named(result)}: forward {result['forward_seconds']:.3f} s; times that: {ratios}"


def _named(result: dict) -> str:
    shape = "x".join(map(str, result["shape"]))
    return f"{result['architecture']}, {result['samples']} images {shape}"


def _report(results: list[dict], device: torch.device, repeats: int) -> dict[str, object]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "command": f"python -m benchmarks.surgery --repeats {repeats}",
        "what": "time of surgery over time of one plain forward pass, same samples, same round",
        "clock": "wall" if device.type == "cuda" else "processor time, one thread",
        "device": {"type": device.type, "name": name},
        "torch": torch.__version__,
        "damp": damp.__version__,
        "repeats": repeats,
        "works": WORKS,
        "cases": results,
    }


def _page(report: dict) -> str:
    """The ratios as a table."""
    lines = [
        "# Surgery against one plain forward pass",
        "",
        f"Made by `{report['command']}` on {report['device']['name']} ({report['clock']}), torch "
        f"{report['torch']}, damp {report['damp']}. Median over {report['repeats']} rounds (least "
        "to most).",
        "",
        "| network, images | forward, s | " + " | ".join(WORKS) + " |",
        "|---" * (len(WORKS) + 2) + "|",
    ]
    for case in report["cases"]:
        cells = [_cell(case["ratios"].get(name)) for name in WORKS]
        lines.append(
            f"| {_named(case)} | {case['forward_seconds']:.2f} | " + " | ".join(cells) + " |"
        )
    lines += ["", *(f"- *{name}*: {meaning}." for name, meaning in WORKS.items()), ""]
    return "\n".join(lines)


def _cell(ratio: dict[str, float] | None) -> str:
    if ratio is None:
        return "not run"
    return f"{ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})"


if __name__ == "__main__":
    main()
