"""Seeded mutations: of bytes, and of JSON or YAML content as a tree."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**53, 2**63, 2**70, -(2**70), 0.5, -0.0, 1e308, 1e-320),
    *("", " ", "a", "\0", "\x1b[31m", "\u202e", "\ud7ff", "\U0001f512", "x" * 100_000, "../../etc"),
    *(
        "/etc/passwd",
        "{{7*7}}",
        "<script>",
        "=1+1",
        "null",
        "true",
        "1",
        "1.0",
        "NaN",
        "%s%n",
        "$(x)",
    ),
    *([], {}, [[[[[]]]]], {"a": {"b": {"c": {}}}}, ["a"] * 1000, {"": ""}, {"__proto__": 1}),
)
"""What is put in the place of something else."""


def of_bytes(content: bytes, draw: random.Random) -> bytes:
    """The content with one to eight small damages: turned bits, cuts, repeats, insertions."""
    out = bytearray(content)
    for _ in range(draw.randint(1, 8)):
        place = draw.randrange(len(out) + 1)
        kind = draw.randrange(6)
        if kind == 0 and place < len(out):
            out[place] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del out[place : place + draw.randint(1, 40)]
        elif kind == 2:
            out[place:place] = draw.randbytes(draw.randint(1, 20))
        elif kind == 3:
            other = draw.randrange(len(out) + 1)
            out[place:place] = out[other : other + draw.randint(1, 60)]
        elif kind == 4 and place < len(out):
            out[place] = draw.choice(b"\x00\xff\n\"'{}[]:,&*!%@`#|>-")
        else:
            del out[place:]
        if not out:
            out += b"\0"
    return bytes(out)


def of_tree(content: Any, draw: random.Random) -> Any:
    """A deep copy with one to four changes: values replaced, keys renamed, dropped or added."""
    tree = copy.deepcopy(content)
    for _ in range(draw.randint(1, 4)):
        holders = [node for node in _nodes(tree) if isinstance(node, dict | list) and node]
        if not holders:
            return draw.choice(VALUES)
        _change(draw.choice(holders), draw)
    return tree


def _nodes(tree: Any) -> Iterator[Any]:
    yield tree
    children = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    for child in children:
        yield from _nodes(child)


def _change(holder: Any, draw: random.Random) -> None:
    if isinstance(holder, list):
        place = draw.randrange(len(holder))
        if draw.random() < 0.3:
            del holder[place]
        elif draw.random() < 0.5:
            holder.append(copy.deepcopy(holder[place]))
        else:
            holder[place] = copy.deepcopy(draw.choice(VALUES))
        return
    key = draw.choice(list(holder))
    kind = draw.randrange(4)
    if kind == 0:
        del holder[key]
    elif kind == 1:
        holder[f"{key}x"] = holder.pop(key)
    elif kind == 2:
        holder[draw.choice(("extra", "", "\0", key * 2))] = copy.deepcopy(draw.choice(VALUES))
    else:
        holder[key] = copy.deepcopy(draw.choice(VALUES))
