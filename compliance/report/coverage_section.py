"""What the audits looked at, and what they did not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from audits import catalogue
from compliance.presentation import row_text
from compliance.signing.facts import AuditRow


def coverage(
    rows: Sequence[AuditRow],
    findings: Sequence[Mapping[str, Any]],
    controls: Mapping[str, Sequence[Mapping[str, Any]]],
) -> dict[str, Any]:
    """What ran, what was planned and did not run, what was left out, what was never planned."""
    planned = {row.audit for row in rows}
    if any(row.ran and row.title.endswith(".lira") for row in rows):
        planned.add("shadow_membership")
    ran = {row.audit for row in rows if row.ran}
    return {
        "ran": [{"audit": a, "name": _attack(a)[0], "what": _attack(a)[1]} for a in sorted(ran)],
        "notRun": [row_text.worded(row) for row in rows if not row.ran],
        "leftOut": _left_out(findings, controls),
        "outside": [
            {"audit": key, "name": name, "what": what}
            for key, (name, what) in catalogue.attacks().items()
            if key not in planned
        ],
    }


def _left_out(
    findings: Sequence[Mapping[str, Any]],
    controls: Mapping[str, Sequence[Mapping[str, Any]]],
) -> list[dict[str, Any]]:
    """Figures that an audit which ran had to leave out, on this model or only on a control."""
    reasoned: dict[tuple[str, str], str] = {}
    for where, those in (("", findings), *sorted(controls.items())):
        for finding in those:
            reasons = (finding.get("parameters") or {}).get("left_out") or {}
            for name, reason in reasons.items():
                reasoned.setdefault((name, str(reason)), where)
    return [{"name": n, "reason": r, "control": where} for (n, r), where in reasoned.items()]


def _attack(key: str) -> tuple[str, str]:
    return catalogue.attacks().get(key, (key, ""))
