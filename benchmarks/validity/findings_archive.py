"""Findings of the study as files that travel with the repository: one for each event.

Who clones it judges them again by other margins, or goes on measuring, without training what was
trained before. Findings of other code than today's are not taken out. Figures keep seven digits:
more of them say nothing and take most of the room.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.validity import bench
from benchmarks.validity.source_digest import measuring
from flows.state.files import write_atomically

DIGITS = 7
FOLDER = Path(__file__).parents[1] / "results" / "validity-findings"


def pack(events: Iterable[bench.Event]) -> None:
    """Write an archive of each event of which there are findings by today's code."""
    for event in events:
        root = bench.folder_of(event, 0).parent
        files = sorted(root.glob("*/*.json"))
        if not files:
            continue
        content = {
            "code": measuring(),
            "findings": {
                str(file.relative_to(root)): json.loads(file.read_text(), parse_float=_rounded)
                for file in files
            },
        }
        path = _path(event)
        if path.exists() and _read(path) == content:  # reading takes a tenth of packing
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        packed = lzma.compress(json.dumps(content, sort_keys=True).encode(), preset=9)
        write_atomically(path, packed)


def unpack(events: Iterable[bench.Event]) -> None:
    """Put findings that were made by today's code where the study looks for them."""
    for event in events:
        path = _path(event)
        if not path.exists():
            continue
        content = _read(path)
        if content["code"] != measuring():
            continue
        root = bench.folder_of(event, 0).parent
        for name, findings in content["findings"].items():
            if not (root / name).exists():
                bench.keep(root / name, findings)


def _path(event: bench.Event) -> Path:
    return FOLDER / f"{event.name}.json.xz"


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(lzma.decompress(path.read_bytes()))
    return content


def _rounded(figure: str) -> float:
    return float(f"{float(figure):.{DIGITS}g}")
