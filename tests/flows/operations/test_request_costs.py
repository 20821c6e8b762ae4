"""What requests have cost here, from what trainings and attempts have left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flows.operations import request_costs
from flows.records import audit_cost
from flows.records.audit_cost import AuditCost
from flows.state.paths import Attempt, Home


def trained(home: Home, name: str, seconds: float) -> None:
    home.references.mkdir(parents=True, exist_ok=True)
    (home.references / f"{name}.json").write_text(json.dumps({"seconds": seconds}))


def ran(home: Home, event: str, policy: dict[str, Any], *, cut: float, audits: float) -> None:
    attempt = Attempt(home, event, 1)
    attempt.folder.mkdir(parents=True)
    plan = {"policy": policy, "method": {"preset": "natural"}}
    attempt.plan.write_text(json.dumps(plan))
    attempt.edit.write_text(json.dumps({"cost": {"seconds": cut}}))
    audit_cost.keep(attempt, "audit", [AuditCost(seconds={"few_shot": audits}).to_json()])


def test_means_of_each_kind(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for name, seconds in (("a", 8.0), ("b", 12.0)):
        trained(home, name, seconds)
    ran(home, "one", {"references": 5}, cut=1.0, audits=3.0)
    ran(home, "two", {"references": 0, "yardstick": {"qualification": "x"}}, cut=0.5, audits=1.0)
    measured = request_costs.measured(home)
    assert (measured.training, measured.cut) == (10.0, 0.75)
    assert (measured.audit, measured.alone) == (3.0, 1.0)
    assert measured.prices is not None
    assert measured.prices.alone == 0.1
    assert measured.lacking == ()


def test_what_was_not_measured_is_said_and_nothing_is_assumed(tmp_path: Path) -> None:
    home = Home(tmp_path)
    trained(home, "a", 10.0)
    ran(home, "one", {"references": 5}, cut=1.0, audits=3.0)
    measured = request_costs.measured(home)
    assert measured.prices is None
    assert measured.lacking == ("an audit under a qualification (an event by such a policy)",)


def test_a_retraining_is_no_cut(tmp_path: Path) -> None:
    home = Home(tmp_path)
    ran(home, "one", {"references": 5}, cut=1.0, audits=3.0)
    plan = Attempt(home, "one", 1).plan
    plan.write_text(plan.read_text().replace("natural", "retrain"))
    assert request_costs.measured(home).cut is None
