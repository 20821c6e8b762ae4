"""Step 5: what will be audited, by which margins and from which seed, logged before it happens.

What can be expected of it is worked out first, from the original and the retrained models alone.
"""

from __future__ import annotations

import json
from typing import Any

from compliance.ledger import Ledger
from flows.state import progress
from flows.state.files import Artifact, canonical, digest_bytes, write_atomically
from flows.state.journal import entered
from flows.state.paths import Attempt, Home
from flows.steps import audit, audit_rows

Facts = dict[str, Any]

SEED_SOURCE = "first 32 bits of the ledger's head before the plan was registered"


def register_plan(
    where: Facts, accepted: Facts, data: Facts, model: Facts, references: Facts
) -> Facts:
    """Fix policy, margins and seed; the seed comes from the ledger, so nobody can choose it."""
    home, attempt = Home.of(where), Attempt.of(where)
    with entered(attempt, "register_plan"):
        ledger = Ledger(home.ledger)
        key = f"attempt-{attempt.number}"
        entry = ledger.find("plan_registered", attempt.event, key)
        seed = entry["body"]["plan"]["seed"] if entry else int(ledger.head()[:8], 16)
        yardstick = audit.yardstick(home, attempt, data, model, references, seed)
        plan = entry["body"]["plan"] if entry else _plan(accepted, data, model, seed, yardstick)
        digest = digest_bytes(canonical(plan))
        if entry is None:
            body = {"plan": plan, "digest": digest, "attempt": attempt.number}
            entry = ledger.append_once("plan_registered", attempt.event, key, body)
        write_atomically(attempt.plan, json.dumps(plan, indent=2).encode())
    return {
        "digest": digest,
        "sequence": entry["seq"],
        "registered_at": entry["time"],
        "seed": plan["seed"],
        "seed_source": SEED_SOURCE,
        "expected_power": plan["expectedPower"],
        "yardstick": Artifact.of(home.root, attempt.yardstick).to_json(),
        "file": Artifact.of(home.root, attempt.plan).to_json(),
    }


def _plan(accepted: Facts, data: Facts, model: Facts, seed: int, yardstick: Facts) -> Facts:
    return {
        "policy": accepted["policy"],
        "policyDigest": accepted["policy_digest"],
        "recipe": accepted["recipe"],
        "modelBefore": model["file"]["sha256"],
        "dataBefore": data["before"]["version"],
        "dataAfter": data["after"]["version"],
        "forget": accepted["forget"],
        "method": accepted["method"],
        "seed": seed,
        "seedSource": SEED_SOURCE,
        "expectedPower": _expected(accepted, data, yardstick),
    }


def _expected(accepted: Facts, data: Facts, yardstick: Facts) -> Facts:
    """What these samples can show, and what the retrained models and the original say of it."""
    from audits.finding import Finding
    from compliance.documents.policy import Policy
    from compliance.verdict import expected_power

    policy = Policy.model_validate(accepted["policy"])
    found = {
        name: [Finding.from_json(finding) for finding in findings]
        for name, findings in yardstick.items()
    }
    original = found.pop("original")
    out_of_reach = expected_power.by_sizes(policy, audit_rows.smallest(data))
    told = expected_power.expected(original, found, policy, out_of_reach=out_of_reach)
    progress.current().advance(told["told"], 1, 1)
    return told
