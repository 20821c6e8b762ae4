"""Digests of files that did not change are not computed again; of those that did, they are."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from flows.data import digest_store
from flows.state.errors import DataVersionError
from flows.state.paths import Home


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.bin").write_bytes(os.urandom(100 + number))
    return sorted(folder.iterdir())


def plain(files: list[Path]) -> list[str]:
    return [hashlib.md5(f.read_bytes(), usedforsecurity=False).hexdigest() for f in files]


def md5s(files: list[Path], home: Home) -> list[str]:
    return digest_store.md5s(files[0].parent, files, home)


def test_they_are_md5_of_the_bytes(files: list[Path], home: Home) -> None:
    assert md5s(files, home) == plain(files)


def test_what_settled_is_not_read_again(
    files: list[Path], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest_store, "SETTLED", -(1 << 60))
    first = md5s(files, home)
    monkeypatch.setattr(digest_store, "md5_of", None)  # nothing may be read
    assert md5s(files, home) == first


def test_what_changed_moments_ago_is_read_again(files: list[Path], home: Home) -> None:
    """The same size and, put back, the same time of change: the bytes decide."""
    first = md5s(files, home)
    times = files[2].stat()
    files[2].write_bytes(bytes(files[2].stat().st_size))
    os.utime(files[2], ns=(times.st_atime_ns, times.st_mtime_ns))
    assert md5s(files, home) == plain(files) != first


def test_a_change_that_hides_its_time_is_seen_by_the_status(
    files: list[Path], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest_store, "SETTLED", -(1 << 60))
    first = md5s(files, home)
    times = files[2].stat()
    time.sleep(0.02)
    files[2].write_bytes(bytes(files[2].stat().st_size))
    os.utime(files[2], ns=(times.st_atime_ns, times.st_mtime_ns))
    assert md5s(files, home) == plain(files) != first


def test_a_damaged_store_costs_time_and_nothing_else(
    files: list[Path], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest_store, "SETTLED", -(1 << 60))
    first = md5s(files, home)
    (store,) = home.digests.iterdir()
    for text in ("", "{", "[1]", '{"1:2": 3}', '{"1:2": [[1], "x", 2]}'):
        store.write_text(text)
        assert md5s(files, home) == first


def test_no_name_of_a_file_is_written(
    files: list[Path], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest_store, "SETTLED", -(1 << 60))
    renamed = files[0].rename(files[0].with_name("anna.bin"))
    md5s([renamed, *files[1:]], home)
    assert "anna" not in "".join(f.read_text() + f.name for f in home.digests.iterdir())


def test_a_file_that_is_gone_is_named(files: list[Path], home: Home) -> None:
    files[3].unlink()
    with pytest.raises(DataVersionError, match=r"3.bin: No such file"):
        md5s(files, home)
