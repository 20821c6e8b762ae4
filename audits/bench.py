"""The audits by name, in the order in which a report shows them. A new audit is one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from audits import accuracy, few_shot, head_refit, linear_probe, membership, routing, utility
from audits.evidence import Evidence
from audits.finding import Finding

Audit = Callable[[Evidence], Finding]

AUDITS: Mapping[str, Audit] = {
    "accuracy": accuracy.audit,
    "routing": routing.audit,
    "membership": membership.audit,
    "linear_probe": linear_probe.audit,
    "few_shot": few_shot.audit,
    "head_refit": head_refit.audit,
    "utility": utility.audit,
}
