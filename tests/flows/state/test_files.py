"""Files are whole or not there: digests, atomic writes, full and read-only disks, kill -9."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from flows.state import files
from flows.state.errors import StoreError
from flows.state.files import Artifact

Refusal = Callable[..., AbstractContextManager[None]]
REMEDY = "Free some space or make the folder writable"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_a_file_is_written_with_its_folders_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.json"
    files.write_atomically(path, b"one")
    files.write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert names(tmp_path / "a" / "b") == ["c.json"]


@pytest.mark.parametrize(
    ("umask", "name", "mode"),
    [
        (0o022, "x.json", 0o644),
        (0o077, "x.json", 0o600),
        (0o002, "x.json", 0o664),
        (0o022, "x.safetensors", 0o600),
        (0o000, "x.pem", 0o600),
        (0o277, "x.safetensors", 0o400),
    ],
)
def test_the_umask_decides_and_weights_and_keys_are_their_owners_alone(
    tmp_path: Path, umask: int, name: str, mode: int
) -> None:
    before = os.umask(umask)
    try:
        files.write_atomically(tmp_path / name, b"one")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode


def test_a_digest_is_sha256_of_the_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 9000  # more than one block
    (tmp_path / "x").write_bytes(content)
    wanted = hashlib.sha256(content).hexdigest()
    assert files.digest_file(tmp_path / "x") == files.digest_bytes(content) == wanted


@pytest.mark.parametrize("damage", [b"", b"ONE", b"one "])
def test_an_artifact_is_intact_with_its_own_bytes_only(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "deep" / "x"
    files.write_atomically(path, b"one")
    artifact = Artifact.of(tmp_path, path)
    assert artifact.to_json() == {"path": "deep/x", "sha256": hashlib.sha256(b"one").hexdigest()}
    assert files.is_intact(tmp_path, artifact)
    path.write_bytes(damage)
    assert not files.is_intact(tmp_path, artifact)
    path.unlink()
    assert not files.is_intact(tmp_path, artifact)


def test_canonical_json_does_not_depend_on_the_order_of_keys() -> None:
    assert files.canonical({"b": 1, "a": [1.0, "é"]}) == '{"a":[1,"é"],"b":1}'.encode()


def test_arrays_come_back_as_they_were_even_views(tmp_path: Path) -> None:
    whole = np.arange(24, dtype=np.float64).reshape(4, 6)
    arrays = {"transposed": whole.T, "stepped": whole[::2, ::3], "labels": np.array([3, 1])}
    files.save_arrays(tmp_path / "x.safetensors", arrays, {"b": "2", "a": "1"})
    loaded, metadata = files.load_arrays(tmp_path / "x.safetensors")
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].dtype == array.dtype
    assert metadata == {"a": "1", "b": "2"}


def test_an_error_in_the_block_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    def interrupted() -> None:
        with files.aside(tmp_path / "x") as (temporary, _):
            temporary.write_bytes(b"half")
            raise KeyError

    files.write_atomically(tmp_path / "x", b"old")
    with pytest.raises(KeyError):
        interrupted()
    assert (tmp_path / "x").read_bytes() == b"old"
    assert names(tmp_path) == ["x"]


def test_a_full_disk_is_refused_and_leaves_the_old_file(tiny_disk: Path, refused: Refusal) -> None:
    path = tiny_disk / "weights"
    files.write_atomically(path, b"old")
    with refused(StoreError, str(path), "No space left on device", REMEDY):
        files.write_atomically(path, bytes(1 << 20))
    assert path.read_bytes() == b"old"
    files.write_atomically(path, b"new")  # the space was given back
    assert path.read_bytes() == b"new"


def test_a_limit_on_file_sizes_is_refused_like_a_full_disk(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from flows.state import files as store; from flows.state.errors import StoreError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n    store.write_atomically(Path(sys.argv[1]), bytes(1 << 20))\n"
        "except StoreError as error:\n    print(error)\n"
    )
    path = tmp_path / "weights"
    files.write_atomically(path, b"old")
    output = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    ).stdout
    assert output.startswith(f"Cannot write {path}: File too large.")
    assert REMEDY in output
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["weights"]


def test_a_read_only_folder_is_refused(read_only_disk: Path, refused: Refusal) -> None:
    path = read_only_disk / "state" / "x"
    with refused(StoreError, str(path), "Read-only file system", REMEDY):
        files.write_atomically(path, b"content")


def test_a_file_in_the_way_of_a_folder_is_refused(below_a_file: Path, refused: Refusal) -> None:
    with refused(StoreError, str(below_a_file / "x"), "Not a directory", REMEDY):
        files.write_atomically(below_a_file / "x", b"content")


def test_a_process_killed_while_it_writes_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    files.write_atomically(path, b"old")
    code = (
        "import os, signal, sys; from pathlib import Path; from flows.state import files as store\n"
        "with store.aside(Path(sys.argv[1])) as (temporary, handle):\n"
        "    os.write(handle, bytes(1 << 20))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
