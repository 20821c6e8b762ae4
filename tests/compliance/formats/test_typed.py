"""Facts are read from checked JSON, and stand by themselves afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compliance.formats import typed


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    parameters: Mapping[str, Any]
    anything: Any
    sizes: Mapping[str, int]
    parts: tuple[Inner, ...]


def test_nothing_that_can_be_changed_is_shared_with_what_facts_were_read_from() -> None:
    def content() -> dict[str, Any]:
        return {
            "parameters": {"layers": [1, 2], "more": {"rate": 0.5}},
            "anything": [{"deep": [1]}],
            "sizes": {"test": 3},
            "parts": [{"name": "first"}],
        }

    source = content()
    facts = typed.read(Outer, source)
    source["parameters"]["layers"].append(3)
    source["parameters"]["more"]["rate"] = 0.9
    source["anything"][0]["deep"].clear()
    source["sizes"]["test"] = 4
    source["parts"][0]["name"] = "other"
    assert typed.plain(facts) == content()
