"""The forget set is committed to under a key, the retain set named by one digest."""

from __future__ import annotations

import hashlib
import hmac
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from flows.data import commitment
from flows.data.dataset import Dataset
from flows.state import others_code
from flows.state.errors import StoreError
from flows.state.paths import Home


@pytest.fixture
def dataset() -> Dataset:
    generator = torch.Generator().manual_seed(1)
    return Dataset(
        name="noise",
        train_inputs=torch.rand(30, 1, 2, 2, generator=generator),
        train_labels=torch.arange(30) % 3,
        test_inputs=torch.rand(3, 1, 2, 2, generator=generator),
        test_labels=torch.arange(3),
        classes=3,
        description="noise",
    )


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def tree_hash(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, as it is written there."""
    if not leaves:
        return sha256()
    if len(leaves) == 1:
        return sha256(b"\x00", leaves[0])
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return sha256(b"\x01", tree_hash(leaves[:k]), tree_hash(leaves[k:]))


def test_a_commitment_is_the_tree_over_the_sorted_keyed_digests() -> None:
    rows, key = [b"one", b"two", b"three"], b"k" * 32
    committed = commitment.commitment(rows, key)
    leaves = sorted(hmac.new(key, row, hashlib.sha256).digest() for row in rows)
    assert committed.root == tree_hash(leaves).hex()
    assert committed.count == 3
    assert committed == commitment.commitment(rows[::-1], key)


def test_another_key_record_or_number_of_records_gives_another_root() -> None:
    committed = [
        commitment.commitment(rows, key).root
        for rows, key in (
            ([b"one", b"two"], b"k"),
            ([b"one", b"two"], b"q"),
            ([b"one", b"twp"], b"k"),
            ([b"one", b"two", b"two"], b"k"),
        )
    ]
    assert len(set(committed)) == 4


def test_a_record_is_its_pixels_and_its_label(dataset: Dataset) -> None:
    chosen = np.zeros(30, dtype=bool)
    chosen[7] = True
    (record,) = commitment.records(dataset, chosen)
    assert np.frombuffer(record[:16], "<f4").tolist() == dataset.train_inputs[7].ravel().tolist()
    assert int.from_bytes(record[16:], "little") == 1


def test_forget_and_retain_set_are_the_whole(dataset: Dataset, tmp_path: Path) -> None:
    home = Home(tmp_path)
    forgotten = commitment.forget_set(dataset, [1], home)
    retained = commitment.retain_set(dataset, [1])
    assert (forgotten["count"], retained["count"]) == (10, 20)
    assert forgotten == commitment.forget_set(dataset, [1], home)
    assert forgotten != commitment.forget_set(dataset, [1], Home(tmp_path / "other"))


def test_the_retain_digest_can_be_recomputed_and_ignores_the_order(dataset: Dataset) -> None:
    digests = sorted(
        sha256(x.numpy().tobytes(), int(y).to_bytes(8, "little"))
        for x, y in zip(dataset.train_inputs, dataset.train_labels, strict=True)
        if y != 1
    )
    turned = replace(
        dataset,
        train_inputs=dataset.train_inputs.flip(0),
        train_labels=dataset.train_labels.flip(0),
    )
    assert commitment.retain_digest(dataset, [1]) == sha256(*digests).hex()
    assert commitment.retain_digest(turned, [1]) == sha256(*digests).hex()
    assert commitment.retain_digest(dataset.without([2]), [1]) != sha256(*digests).hex()


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    key = commitment.forget_key(Home(tmp_path))
    path = tmp_path / "keys" / "forget-set.key"
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert commitment.forget_key(Home(tmp_path)) == key
    assert [p.name for p in path.parent.iterdir()] == ["forget-set.key"]


def test_a_key_that_another_process_made_first_counts(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "forget-set.key"
    path.parent.mkdir()
    path.write_bytes(b"t" * 32)
    commitment._make_key(path)
    assert commitment.forget_key(Home(tmp_path)) == b"t" * 32


def test_a_damaged_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "forget-set.key"
    path.parent.mkdir()
    path.write_bytes(b"short")
    with pytest.raises(StoreError, match="holds 5 bytes"):
        commitment.forget_key(Home(tmp_path))


def test_where_code_of_others_runs_the_key_is_that_of_one_event(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HMAC-SHA256 of the event's id, by Python's own: the home's key is not seen there."""
    own = hmac.new(commitment.forget_key(home), b"event", hashlib.sha256).digest()
    assert commitment.event_key(home, "event") == own
    assert others_code.event_key() is None
    monkeypatch.setenv(others_code.EVENT_KEY, own.hex())
    assert others_code.event_key() is None  # a variable alone changes nothing
    monkeypatch.setenv(others_code.INSIDE, "theirs")
    assert others_code.event_key() == own
