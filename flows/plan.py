"""Step 5: what will be audited, by which margins and from which seed, logged before it happens."""

from __future__ import annotations

import json
from typing import Any

from compliance.ledger import Ledger
from flows.journal import entered
from flows.layout import Attempt, Home
from flows.store import Artifact, canonical, digest_bytes, write_atomically

Facts = dict[str, Any]

SEED_SOURCE = "first 32 bits of the ledger's head before the plan was registered"


def register_plan(where: Facts, accepted: Facts, data: Facts, model: Facts) -> Facts:
    """Fix policy, margins and seed; the seed comes from the ledger, so nobody can choose it."""
    home, attempt = Home.of(where), Attempt.of(where)
    with entered(attempt, "register_plan"):
        ledger = Ledger(home.ledger)
        key = f"attempt-{attempt.number}"
        entry = ledger.find("plan_registered", attempt.event, key)
        plan = entry["body"]["plan"] if entry else _plan(ledger, accepted, data, model)
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
        "file": Artifact.of(home.root, attempt.plan).to_json(),
    }


def _plan(ledger: Ledger, accepted: Facts, data: Facts, model: Facts) -> Facts:
    return {
        "policy": accepted["policy"],
        "policyDigest": accepted["policy_digest"],
        "recipe": accepted["recipe"],
        "modelBefore": model["file"]["sha256"],
        "dataBefore": data["before"]["version"],
        "dataAfter": data["after"]["version"],
        "forget": accepted["forget"],
        "method": accepted["method"],
        "seed": int(ledger.head()[:8], 16),
        "seedSource": SEED_SOURCE,
    }
