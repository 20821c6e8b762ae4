"""What is no file is not opened; what is written is whole or absent; locks hold."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compliance.documents.claim import load_claim
from compliance.documents.policy import load_policy
from compliance.documents.request import load_request
from compliance.formats import files
from compliance.formats.errors import ComplianceError, SigningError
from compliance.ledger import Ledger, checkpoint, verify
from compliance.signing import Trust, keys, load_trust
from compliance.verdict import load_findings
from compliance.verification.verify import CANNOT_JUDGE, verify_statement

READERS: dict[str, Callable[[Path], Any]] = {
    "request": load_request,
    "claim": load_claim,
    "policy": load_policy,
    "trust": load_trust,
    "key": lambda path: keys.load(path),
    "ledger": lambda path: Ledger(path).entries(),
    "ledger to verify": verify,
    "checkpoint": lambda path: checkpoint.load(path, Trust(keys={})),
    "findings": load_findings,
}


@pytest.fixture(params=["pipe", "device", "link to a pipe"])
def special(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Something with a path that no reader should wait for."""
    if request.param == "device":
        return Path("/dev/zero")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    if request.param == "pipe":
        return pipe
    (tmp_path / "link").symlink_to(pipe)
    return tmp_path / "link"


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", READERS)
def test_a_pipe_or_a_device_is_refused_at_once(name: str, special: Path) -> None:
    with pytest.raises(ComplianceError, match=r"no regular file|read by others"):
        READERS[name](special)


@pytest.mark.timeout(30)
def test_a_statement_and_a_model_that_are_no_files_are_refused(special: Path, record: Any) -> None:
    verification = verify_statement(special, record.trust)
    assert verification.exit_code == CANNOT_JUDGE
    assert "no regular file" in verification.problems[0]
    verification = verify_statement(record.statement, record.trust, model=special)
    assert "no regular file" in verification.problems[0]


def test_a_full_disk_leaves_no_half_key(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
    try:
        with pytest.raises(SigningError, match="cannot be written"):
            keys.generate(tmp_path / "keys", demo=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert list((tmp_path / "keys").iterdir()) == []


def test_a_new_name_is_flushed_with_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        flushed.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    files.write(tmp_path / "trust.json", b"{}")
    assert flushed == [False, True]


def test_a_lock_is_free_after_kill_9(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from compliance.formats import files\n"
        "with files.locked(Path(sys.argv[1])):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "x")], check=False)
    assert done.returncode == -signal.SIGKILL
    with files.locked(tmp_path / "x"):
        assert stat.S_IMODE((tmp_path / "x.lock").stat().st_mode) == files.PRIVATE
