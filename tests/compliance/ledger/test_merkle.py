"""Merkle trees and their proofs, against RFC 6962 as it is written there."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.ledger import merkle

SIZES = range(1, 34)


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def tree_hash(contents: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if not contents:
        return sha256()
    if len(contents) == 1:
        return sha256(b"\x00", contents[0])
    k = 1
    while 2 * k < len(contents):
        k *= 2
    return sha256(b"\x01", tree_hash(contents[:k]), tree_hash(contents[k:]))


def leaves(count: int) -> list[bytes]:
    return [merkle.leaf_hash(content) for content in contents(count)]


def contents(count: int) -> list[bytes]:
    return [b"entry %d" % index for index in range(count)]


@given(st.lists(st.binary(max_size=40), max_size=40))
def test_the_root_is_the_tree_hash_of_the_rfc(entries: list[bytes]) -> None:
    assert merkle.root(map(merkle.leaf_hash, entries)) == tree_hash(entries)


def test_the_roots_of_the_published_test_vectors() -> None:
    """The leaves and roots that the reference implementation of certificate transparency tests."""
    lines = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"]
    lines.append("606162636465666768696a6b6c6d6e6f")
    entries = [bytes.fromhex(text) for text in lines]
    roots = {
        1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    }
    for size, root in roots.items():
        assert merkle.root(map(merkle.leaf_hash, entries[:size])).hex() == root


@pytest.mark.parametrize("size", SIZES)
def test_an_entry_is_shown_where_it_stands_and_nowhere_else(size: int) -> None:
    whole = merkle.root(leaves(size))
    for index, content in enumerate(contents(size)):
        proof = merkle.inclusion(leaves(size), index)
        assert merkle.is_included(content, index, size, whole, proof)
        assert not merkle.is_included(content + b"x", index, size, whole, proof)
        assert not merkle.is_included(content, index, size, sha256(), proof)
        assert not merkle.is_included(content, index, size, whole, [*proof, sha256()])
        for other in {*range(size)} - {index}:
            assert not merkle.is_included(content, other, size, whole, proof)
        for place in range(len(proof)):
            changed = [*proof]
            changed[place] = sha256(changed[place])
            assert not merkle.is_included(content, index, size, whole, changed)
            assert not merkle.is_included(content, index, size, whole, proof[:place])


@pytest.mark.parametrize("size", SIZES)
def test_a_list_is_shown_to_begin_with_a_shorter_one_and_with_no_other(size: int) -> None:
    whole = merkle.root(leaves(size))
    for old in range(1, size + 1):
        start = merkle.root(leaves(old))
        proof = merkle.consistency(leaves(size), old)
        assert merkle.is_consistent(old, start, size, whole, proof)
        assert not merkle.is_consistent(old, sha256(), size, whole, proof)
        assert not merkle.is_consistent(old, start, size, sha256(), proof)
        assert not merkle.is_consistent(old, start, size, whole, [*proof, sha256()])
        for place in range(len(proof)):
            changed = [*proof]
            changed[place] = sha256(changed[place])
            assert not merkle.is_consistent(old, start, size, whole, changed)
            assert not merkle.is_consistent(old, start, size, whole, proof[:place])


@pytest.mark.parametrize("size", range(2, 20))
def test_a_list_with_one_other_entry_before_the_old_end_is_never_shown(size: int) -> None:
    for old in range(1, size):
        for changed in range(old):
            forged = leaves(size)
            forged[changed] = sha256()
            proof = merkle.consistency(forged, old)
            start = merkle.root(leaves(old))
            assert not merkle.is_consistent(old, start, size, merkle.root(forged), proof)


def test_proofs_are_short() -> None:
    many = leaves(1000)
    assert max(len(merkle.inclusion(many, index)) for index in (0, 500, 999)) <= 10
    assert max(len(merkle.consistency(many, old)) for old in (1, 333, 999)) <= 11


@pytest.mark.parametrize("old", [0, 4])
def test_there_is_no_proof_from_nothing_or_from_more(old: int) -> None:
    with pytest.raises(ValueError, match="no proof"):
        merkle.consistency(leaves(3), old)
    assert not merkle.is_consistent(old, merkle.root([]), 3, merkle.root(leaves(3)), [])


def test_there_is_no_proof_of_an_entry_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="no entry 3"):
        merkle.inclusion(leaves(3), 3)
    assert not merkle.is_included(b"", 3, 3, merkle.root(leaves(3)), [])
