"""Where a statement was made: code, environment, device. Facts, no names of people or hosts."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from damp.version import __version__
from flows.state import children
from flows.state.files import digest_file

Facts = dict[str, Any]

DECISIVE = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "prefect", "mlflow", "dvc")
"""The packages whose versions could change a figure or a record."""


def code() -> Facts:
    """Version of damp, and the git revision where it runs from a checkout."""
    revision = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "version": __version__,
        "revision": revision or None,
        "dirty": None if revision is None or changes is None else bool(changes),
    }


def environment() -> Facts:
    """Interpreter, platform, decisive packages, and the digest of the lock where there is one."""
    lock = _checkout() / "requirements.lock"
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": {name: version(name) for name in DECISIVE},
        "lockDigest": digest_file(lock) if lock.exists() else None,
    }


def device(kind: str) -> Facts:
    """The device that surgery and observation ran on."""
    import torch

    on_gpu = kind.startswith("cuda")
    return {
        "type": kind,
        "name": torch.cuda.get_device_name(kind) if on_gpu else platform.machine(),
        "threads": torch.get_num_threads(),
    }


def _checkout() -> Path:
    return Path(__file__).resolve().parents[2]


def _git(*arguments: str) -> str | None:
    """What git says of the checkout that this code lies in; None where it is none."""
    if not (_checkout() / ".git").exists():
        return None
    return children.git(_checkout(), *arguments)
