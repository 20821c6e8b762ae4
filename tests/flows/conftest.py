"""What the flows' tests share: a state folder of their own, hostile disks, refusals that change
nothing."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from flows.data import loaders
from flows.registry import open_registry
from flows.state import users_code
from flows.state.paths import Home
from flows.state.settings import prepare_environment, settings
from tests.flows.world import World

Refusal = Callable[..., AbstractContextManager[None]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A state folder that is not there yet, and a folder for private keys outside of it."""
    monkeypatch.setenv("DAMP_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("DAMP_KEYS", str(tmp_path / "keys"))
    monkeypatch.delenv("DAMP_KEY_PASSPHRASE", raising=False)
    settings.cache_clear()
    loaders.load.cache_clear()
    yield Home(tmp_path / "state")
    settings.cache_clear()
    loaders.load.cache_clear()


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder with its digest, locks left out."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


@pytest.fixture
def refused(tmp_path: Path) -> Refusal:
    """`with refused(Error, "thing", "remedy"):` - the words are in the message, no file changed."""

    @contextmanager
    def block(error: type[Exception], *words: str) -> Iterator[None]:
        before = contents(tmp_path)
        with pytest.raises(error) as caught:
            yield
        for word in words:
            assert word in str(caught.value)
        assert str(caught.value).endswith(".")
        assert contents(tmp_path) == before

    return block


@pytest.fixture
def users_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Writes a module of the user's into the folder of `DAMP_CODE`; gives its name."""
    folder = tmp_path / "code"
    folder.mkdir()
    monkeypatch.setenv("DAMP_CODE", str(folder))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    users_code.finder_of.cache_clear()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    names = []

    def write(text: str) -> str:
        name = f"users_{uuid.uuid4().hex}"
        (folder / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        names.append(name)
        return name

    yield write
    for name in names:
        sys.modules.pop(name, None)


def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A file system of its own at `folder`; the test is skipped where none can be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        why = done.stderr.strip() if done.returncode else ""
    except OSError as error:
        why = str(error)
    if why:
        pytest.skip(f"NOT TESTED: no tmpfs can be mounted here, which takes root ({why})")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 64 KiB."""
    yield from mounted(tmp_path / "tiny", "size=64k")


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system that refuses to be written, root or not."""
    yield from mounted(tmp_path / "frozen", "size=64k,ro")


@pytest.fixture
def below_a_file(tmp_path: Path) -> Path:
    """A folder that nobody can make: a file is in the way."""
    (tmp_path / "file").write_text("in the way")
    return tmp_path / "file" / "state"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The real images beside the repository."""
    folder = Path(__file__).parents[2].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"NOT TESTED on real images: there is no {folder}")
    return folder


@pytest.fixture
def child_environment() -> dict[str, str]:
    """For processes that import torch: one thread each."""
    return os.environ | {"OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Result:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    def refused(self, *words: str, code: int = 1) -> None:
        """One clear message, the exit code, no traceback."""
        assert self.code == code, self.out + self.err
        assert self.err.count("error: ") == 1, self.err
        assert "Traceback" not in self.err + self.out
        for word in words:
            assert word in self.err
        assert self.err.rstrip().endswith((".", ">", "`", ")")), self.err


Damp = Callable[..., Result]


@pytest.fixture
def damp(home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Damp:
    """`damp("submit", file)`: a command on `home`, in this process."""

    def run(*arguments: str | Path) -> Result:
        from flows.cli import app

        with mock.patch.dict(os.environ):  # a command sets what the engines read
            monkeypatch.setattr(sys, "argv", ["damp", *map(str, arguments)])
            settings.cache_clear()
            capsys.readouterr()
            with pytest.raises(SystemExit) as ended:
                app.main()
            printed = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Result(ended.value.code, printed.out, printed.err)

    return run


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """`damp demo` in an empty folder, with HOME and the folder for temporary files empty too."""
    folder = tmp_path_factory.mktemp("world")
    yield World(folder, _demo(folder))
    shutil.rmtree(folder, ignore_errors=True)


def _demo(folder: Path) -> subprocess.CompletedProcess[str]:
    for name in ("work", "home", "tmp"):
        (folder / name).mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    plain = kept | {"HOME": str(folder / "home")}
    return subprocess.run(
        [sys.executable, "-m", "flows", "demo", "--json"],
        cwd=folder / "work",
        env=plain | {"TMPDIR": str(folder / "tmp")},
        capture_output=True,
        text=True,
        check=False,  # how long it may take, pytest's own limit says
    )


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty registry, made once: MLflow takes seconds to make its tables."""
    root = tmp_path_factory.mktemp("empty")
    with mock.patch.dict(os.environ, {"DAMP_HOME": str(root)}):
        settings.cache_clear()
        prepare_environment(root)
        with open_registry(Home(root)) as registry:
            registry.models()
    settings.cache_clear()
    return root / "mlflow.db"
