"""What every benchmark says of itself, and where its results go."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def described() -> dict[str, Any]:
    """The machine, what else it did, and the packages that decide a timing."""
    return {
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "processor": platform.machine(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "prefect", "mlflow", "dvc")},
    }


def save(name: str, figures: dict[str, Any]) -> None:
    """Print the figures and write them to benchmarks/results."""
    text = json.dumps(figures, indent=2)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(text)
