"""Does what a plan forecasts come true? Forecast against outcome of honest models, over 30 events.

An honest model is one that is trained anew without the class: a request with the preset `retrain`.
Its plan says beforehand how likely one more such model is to pass; then it is trained, with a seed
that no reference has, audited, and judged. Ten classes of the digits, each under three policies
that differ in how many references they want, so that each event has another honest model.
References of one class are shared between its events: the 30 outcomes are those of ten groups.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from scipy.stats import binomtest

from benchmarks.operations.office import Facts, Office, served
from compliance.documents.policy import load_policy
from compliance.signing import Statement, envelope
from flows.state.paths import Attempt

CLASSES = 10
REFERENCES = (8, 9, 10)
POLICY = "demo-v3"
"""Whose rules decide: a request for `retrain` has one attempt there, at the whole level."""
LIKELY = 0.8
"""From this forecast on a pass is called likely; the target is of these events."""
TARGET = 10.0
"""Points between the mean forecast and the share that passed."""


def forecast(folder: Path) -> Facts:
    """Thirty events by training anew: what was forecast, and what came out."""
    office = Office(folder)
    office.damp("train", "--data", "digits", "--name", "digits")
    for count in REFERENCES:
        changed = {"name": f"of-{count}", "references": count}
        policy = load_policy(POLICY).model_copy(update=changed)
        (folder / f"of-{count}.yaml").write_text(policy.model_dump_json())
    events = [_submitted(office, each, count) for each in range(CLASSES) for count in REFERENCES]
    with served(office):
        office.damp("run")
    outcomes = [_outcome(office, event) for event in events]
    likely = [each for each in outcomes if each[0] >= LIKELY]
    others = [each for each in outcomes if each[0] < LIKELY]
    return {
        "policy": POLICY,
        "events": len(outcomes),
        "classes": CLASSES,
        "likely": _group(likely),
        "others": _group(others),
        "points_apart": _apart(likely),
        "target_points": TARGET,
    }


def _submitted(office: Office, forget: int, references: int) -> str:
    """The id of a request to train anew without a class."""
    options = ("--model", "digits@champion", "--data", "digits", "--recipe", "digits")
    rules = ("--policy", f"of-{references}.yaml", "--preset", "retrain", "--regulation", "gdpr")
    file = office.folder / f"{forget}-{references}.yaml"
    file.write_text(office.damp("request", "--forget", str(forget), *options, *rules))
    receipt: Facts = json.loads(office.damp("submit", file, "--go-on", "--json"))
    return str(receipt["id"])


def _outcome(office: Office, event: str) -> tuple[float, bool]:
    """What was forecast of an honest model, and whether it passed."""
    decoded = envelope.decoded(Attempt(office.home, event, 1).statement)
    own = Statement.of(decoded).predicate
    power = own.audit_plan.expected_power
    if power is None or power.accept_all is None:
        raise SystemExit(f"The plan of event {event} forecasts nothing.")
    return power.accept_all, own.verdict.result == "PASSED"


def _group(outcomes: Sequence[tuple[float, bool]]) -> Facts:
    """Mean forecast, and the share that passed with its 95% interval (Clopper-Pearson)."""
    if not outcomes:
        return {"events": 0}
    passed = sum(came for _, came in outcomes)
    interval = binomtest(passed, len(outcomes)).proportion_ci(0.95, method="exact")
    return {
        "events": len(outcomes),
        "mean_forecast": round(fmean(chance for chance, _ in outcomes), 3),
        "passed": passed,
        "share": round(passed / len(outcomes), 3),
        "interval": [round(interval.low, 3), round(interval.high, 3)],
    }


def _apart(outcomes: Sequence[tuple[float, bool]]) -> float | None:
    """Points between the mean forecast and the share that passed; None without such events."""
    if not outcomes:
        return None
    return round(100 * abs(fmean(c for c, _ in outcomes) - fmean(p for _, p in outcomes)), 1)
