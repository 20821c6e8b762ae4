"""Which attempts an event has had, and by which methods another one may be opened: by its entries.

The plan of the last attempt stands in the ledger with the whole policy, so that nothing else is
read, and no file that has changed since counts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from compliance.documents.methods import RETRAIN
from compliance.ledger import Entry
from damp.catalogue import PRESETS
from flows.state.paths import Home

OPENING = ("next_attempt", "retrain_required")
"""Entries after which another attempt is due."""


def methods_tried(own: Sequence[Entry]) -> tuple[str, ...]:
    """Methods of the attempts so far, in their order.

    Args:
        own: The event's entries.
    """
    started = (entry for entry in own if entry.kind == "attempt_started")
    return tuple(str(entry.body["method"]["preset"]) for entry in started)


def left(home: Home, event: str, own: Sequence[Entry]) -> tuple[str, ...]:
    """Methods by which another attempt may be opened, the next one first; empty where none may.

    A policy that declares its attempts leaves those after the last one that was made. One that only
    counts them leaves, while attempts are left, the presets that do more than those that were made,
    and training anew where it names that as its fall-back.
    """
    plans = [entry.body["plan"] for entry in own if entry.kind == "plan_registered"]
    if not plans:
        return ()
    declared = plans[-1].get("attempts")
    if declared is not None:
        forbidden = _impossible(home, event)
        after = declared["declared"][declared["place"] :]
        return tuple(name for name in after if name not in forbidden)
    return _counted(plans[-1].get("policy", {}), methods_tried(own))


def _counted(policy: Mapping[str, Any], before: Sequence[str]) -> tuple[str, ...]:
    if len(before) >= policy.get("max_attempts", 0) or RETRAIN in before:
        return ()
    most = max((PRESETS[name].passes for name in before if name in PRESETS), default=0)
    deeper = sorted((p for p in PRESETS.values() if p.passes > most), key=lambda p: p.passes)
    again = (RETRAIN,) if policy.get("fallback") == "retrain" else ()
    return (*(preset.name for preset in deeper), *again)


def due(home: Home, event: str, own: Sequence[Entry]) -> str:
    """The method of the attempt that the last entry of `OPENING` has made due; "" without one."""
    opened = [entry for entry in own if entry.kind in OPENING]
    if not opened:
        return ""
    last = opened[-1]
    if last.kind == "retrain_required":
        return RETRAIN
    methods = left(home, event, own)
    return str(last.body.get("asked") or (methods[0] if methods else ""))


def _impossible(home: Home, event: str) -> Mapping[str, str]:
    """Methods that the model forbids, as noted when the request was submitted."""
    file = home.event(event) / "checks.json"
    content = json.loads(file.read_bytes()) if file.exists() else {}
    reasons: Mapping[str, str] = content.get("impossible", {})
    return reasons
