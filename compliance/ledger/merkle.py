"""The Merkle tree of RFC 6962: roots, and proofs that need nothing but hashes to be checked.

A root fixes a whole list in 32 bytes. An *inclusion* proof shows that an entry is in the list
behind a root; a *consistency* proof shows that one list is the beginning of another. Each has at
most log2(n) + 1 hashes. Pure: bytes in, bytes out.

Source: RFC 6962, 2.1 (trees and proofs); RFC 9162, 2.1.3.2 and 2.1.4.2 (checking them).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

LEAF, NODE = b"\x00", b"\x01"
"""What is hashed before a leaf and before a pair, so that neither passes for the other."""
BYTES = 32


def leaf_hash(content: bytes) -> bytes:
    """Hash of one entry, 32 bytes."""
    return hashlib.sha256(LEAF + content).digest()


def root(leaves: Iterable[bytes]) -> bytes:
    """Root over leaf hashes, 32 bytes; of an empty list the hash of nothing.

    >>> root([]).hex()[:16]
    'e3b0c44298fc1c14'
    """
    level = list(leaves)
    if not level:
        return hashlib.sha256().digest()
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        odd = level[-1:] if len(level) % 2 else []
        level = [_node(left, right) for left, right in pairs] + odd
    return level[0]


def consistency(leaves: Sequence[bytes], old: int) -> list[bytes]:
    """The proof that the first `old` of these leaf hashes came first.

    Raises:
        ValueError: `old` is not between 1 and the number of leaves.
    """
    if not 1 <= old <= len(leaves):
        raise ValueError(f"no proof from {old} to {len(leaves)} entries")
    return _consistency(leaves, old, whole=True)


def _consistency(leaves: Sequence[bytes], old: int, *, whole: bool) -> list[bytes]:
    """SUBPROOF of RFC 6962, 2.1.2; `whole` while the old root is known to the reader."""
    if old == len(leaves):
        return [] if whole else [root(leaves)]
    split = _split(len(leaves))
    if old <= split:
        return [*_consistency(leaves[:split], old, whole=whole), root(leaves[split:])]
    return [*_consistency(leaves[split:], old - split, whole=False), root(leaves[:split])]


def inclusion(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The proof that leaf `index` is among these: PATH of RFC 6962, 2.1.1.

    Raises:
        ValueError: there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise ValueError(f"no entry {index} among {len(leaves)}")
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*inclusion(leaves[:split], index), root(leaves[split:])]
    return [*inclusion(leaves[split:], index - split), root(leaves[:split])]


def is_consistent(
    old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether the list of size `old` is shown to be the beginning of that of size `new`.

    Source: RFC 9162, 2.1.4.2.
    """
    if not 1 <= old <= new:
        return False
    if old == new:
        return old_root == new_root and not proof
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not path:
        return False
    here, last = old - 1, new - 1
    while here & 1:
        here, last = here >> 1, last >> 1
    first = second = path[0]
    for step in path[1:]:
        if last == 0:
            return False
        if here & 1 or here == last:
            first, second = _node(step, first), _node(step, second)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            second = _node(second, step)
        here, last = here >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root


def is_included(
    content: bytes, index: int, size: int, whole: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether an entry is shown to be number `index` of the list of `size` behind a root.

    Source: RFC 9162, 2.1.3.2.
    """
    if not 0 <= index < size:
        return False
    here, last, node = index, size - 1, leaf_hash(content)
    for step in proof:
        if last == 0:
            return False
        if here & 1 or here == last:
            node = _node(step, node)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            node = _node(node, step)
        here, last = here >> 1, last >> 1
    return last == 0 and node == whole


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(NODE + left + right).digest()


def _split(count: int) -> int:
    """The largest power of two below a count of at least 2."""
    return int(1 << ((count - 1).bit_length() - 1))
