"""What the audits looked at, and what they did not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from audits import catalogue
from compliance.presentation import row_text


def coverage(
    predicate: Mapping[str, Any],
    findings: Sequence[Mapping[str, Any]],
    controls: Mapping[str, Sequence[Mapping[str, Any]]],
) -> dict[str, Any]:
    """What ran, what was planned and did not run, what was left out, what was never planned."""
    rows = predicate["audits"]
    spoken = {str(row.get("audit")) for row in rows}
    if any(row_text.ran(row) and str(row["name"]).endswith(".lira") for row in rows):
        spoken.add("shadow_membership")
    ran = {str(row.get("audit")) for row in rows if row_text.ran(row)}
    return {
        "ran": [{"audit": a, "name": _attack(a)[0], "what": _attack(a)[1]} for a in sorted(ran)],
        "notRun": [row_text.worded(r) for r in rows if not row_text.ran(r)],
        "leftOut": _left_out(findings, controls),
        "outside": [
            {"audit": key, "name": name, "what": what}
            for key, (name, what) in catalogue.attacks().items()
            if key not in spoken
        ],
    }


def _left_out(
    findings: Sequence[Mapping[str, Any]],
    controls: Mapping[str, Sequence[Mapping[str, Any]]],
) -> list[dict[str, Any]]:
    """Figures that an audit which ran had to leave out, on this model or only on a control."""
    found: dict[tuple[str, str], str] = {}
    for where, those in (("", findings), *sorted(controls.items())):
        for finding in those:
            reasons = (finding.get("parameters") or {}).get("left_out") or {}
            for name, reason in reasons.items():
                found.setdefault((name, str(reason)), where)
    return [{"name": n, "reason": r, "control": where} for (n, r), where in found.items()]


def _attack(key: str) -> tuple[str, str]:
    return catalogue.attacks().get(key, (key, ""))
