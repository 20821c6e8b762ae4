"""Which code and environment made a statement: the values, not only that there are some."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from damp.version import __version__
from flows.records import provenance

ROOT = Path(__file__).parents[3]


def test_the_revision_is_that_of_the_checkout() -> None:
    head = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    code = provenance.code()
    assert code["revision"] == head.stdout.strip()
    assert isinstance(code["dirty"], bool)
    assert code["version"] == __version__


def test_the_lock_is_that_of_the_checkout() -> None:
    lock = ROOT / "requirements.lock"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    assert provenance.environment()["lockDigest"] == digest
