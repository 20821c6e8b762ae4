"""What the tests of this room share: one example event, and a signed statement with its keys."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from compliance.signing import SigningKey, Trust, TrustedKey, envelope, save_trust


@pytest.fixture(scope="session")
def example() -> ModuleType:
    """The module `example.py` beside this file."""
    name = "compliance_example"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("example.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Record:
    """A folder with a statement signed by an executor, and the trust file that knows the key."""

    folder: Path
    executor: SigningKey
    reviewer: SigningKey

    @property
    def statement(self) -> Path:
        return self.folder / "statement.dsse.json"

    @property
    def trust(self) -> Path:
        return self.folder / "trust.json"

    def write(self, statement: dict[str, Any], *more: SigningKey) -> Path:
        content = envelope.sign(statement, self.executor)
        for key in more:
            content = envelope.countersign(content, key)
        self.statement.write_bytes(content)
        return self.statement


def trusted(key: SigningKey, role: str = "executor", **changes: Any) -> TrustedKey:
    """A line of the trust file that was valid at the example's time."""
    by_name = {
        "role": role,
        "public_key": key.public_key,
        "not_before": "2026-09-01T00:00:00Z",
        "not_after": "2027-09-01T00:00:00Z",
        "demo": key.demo,
    }
    return TrustedKey(**(by_name | changes))


@pytest.fixture(scope="session")
def trust_line() -> Callable[..., TrustedKey]:
    """`trusted` above."""
    return trusted


@pytest.fixture
def record(tmp_path: Path, example: ModuleType) -> Record:
    """A signed example."""
    executor = envelope.generate(tmp_path / "keys", demo=True)
    reviewer = envelope.generate(tmp_path / "keys", demo=True)
    signed_example = Record(folder=tmp_path, executor=executor, reviewer=reviewer)
    trust = Trust(keys={}).with_key(executor.keyid, trusted(executor))
    save_trust(signed_example.trust, trust.with_key(reviewer.keyid, trusted(reviewer, "reviewer")))
    signed_example.write(example.example())
    return signed_example
