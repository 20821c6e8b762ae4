"""One event as the other rooms would hand it over: findings, controls, statement.

The figures follow what a small network on 8x8 digits shows for class 8, with five retrained models.
"""

from __future__ import annotations

import hashlib
from typing import Any

from audits.finding import Figure, Finding, not_run
from compliance.documents.policy import Policy, load_policy
from compliance.signing import statement
from compliance.verdict import MUST_FAIL, Verdict, judge

Json = dict[str, Any]
EVENT = "5f0c7c2e-4a53-4d0b-9f3e-1f4f5f0a9c11"
SIZES = {"forget_test": 90, "retain_test": 810, "references": 5}
TRAINED = {**SIZES, "forget_train": 87, "retain_train": 811}
STEPS = (-1.3, -0.6, 0.1, 0.5, 1.3)

# name: label, mean and sd of the retrained models, the original, the edited model, sampling error
FIGURES: dict[str, tuple[str, float, float, float, float, float]] = {
    "accuracy.retain": ("Accuracy on the classes that stay", 0.988, 0.002, 0.991, 0.987, 0.003),
    "accuracy.selectivity": ("Accuracy lost beyond the others'", 0.97, 0.004, 0.0, 0.968, 0.01),
    "routing.js": ("Divergence of where its images go", 0.028, 0.02, 0.22, 0.034, 0.015),
    "routing.tv": ("Share of its images that go elsewhere", 0.17, 0.06, 0.52, 0.19, 0.04),
    "membership.forget.loss": ("Attack by loss, forgotten", 0.49, 0.034, 0.552, 0.521, 0.04),
    "membership.forget.confidence": ("By confidence", 0.49, 0.03, 0.55, 0.52, 0.04),
    "membership.forget.entropy": ("By entropy", 0.491, 0.03, 0.549, 0.518, 0.04),
    "membership.retain.loss": ("Attack by loss, others", 0.508, 0.008, 0.514, 0.512, 0.012),
    "linear_probe.dprime@conv3": ("Distance of the groups, conv3", 2.9, 0.2, 3.6, 2.8, 0.2),
    "linear_probe.dprime@fc1": ("Distance of the groups, fc1", 3.2, 0.2, 4.4, 3.0, 0.2),
    "linear_probe.dprime@penultimate": ("Distance, last but one", 3.52, 0.22, 5.29, 3.2, 0.2),
    "linear_probe.dprime@logits": ("Distance, other logits", 1.15, 0.1, 3.31, 1.4, 0.12),
    "few_shot.1@fc1": ("From 1 image per class, fc1", 0.5, 0.05, 0.85, 0.49, 0.03),
    "few_shot.1@penultimate": ("From 1 image per class", 0.56, 0.064, 0.92, 0.535, 0.03),
    "few_shot.5@penultimate": ("From 5 images per class", 0.719, 0.049, 0.951, 0.709, 0.025),
    "head_refit.forget": ("Forgotten class, new head", 0.893, 0.014, 0.972, 0.866, 0.02),
    "head_refit.retain": ("Other classes, new head", 0.943, 0.008, 0.96, 0.94, 0.006),
    "utility.retain_accuracy": ("Accuracy on the others", 0.988, 0.002, 0.991, 0.987, 0.003),
    "utility.ece": ("Calibration error", 0.018, 0.004, 0.012, 0.021, 0.005),
    "utility.worst_class": ("Weakest of the others", 0.955, 0.02, 0.967, 0.94, 0.02),
}
FORGET_ACCURACY = ("accuracy.forget_before_retiring", "accuracy.forget_after_retiring")
AUDITS = ("accuracy", "routing", "membership", "linear_probe", "few_shot", "head_refit", "utility")


def digest(text: str) -> str:
    """A made-up digest that is the same at every call."""
    return hashlib.sha256(text.encode()).hexdigest()


def measurement(name: str, value: float | None = None, *, without: int | None = None) -> Figure:
    """One figure; `without` leaves out one reference, as for a reference judged by the others."""
    label, mean, sd, original, edited, error = FIGURES[name]
    steps = [s for i, s in enumerate(STEPS) if i != without]
    null = tuple(mean + s * sd for s in steps)
    value = edited if value is None else value
    total = (error**2 + sd**2 / len(null)) ** 0.5
    return Figure(
        name=name,
        label=label,
        value=value,
        interval=(value - 2 * error, value + 2 * error),
        null=null,
        original=original,
        difference=value - sum(null) / len(null),
        standard_error=total,
        degrees_of_freedom=12.0,
        against="retrained",
        sizes=(TRAINED if name.startswith("membership") else SIZES) | {"references": len(null)},
        standard_error_original=total,
    )


def share(name: str, value: float, high: float) -> Figure:
    """An accuracy on the forgotten class, which is held against a limit of its own."""
    return Figure(
        name=name,
        label="Accuracy on the forgotten class",
        value=value,
        interval=(max(value - 0.06, 0.0) if value else 0.0, high),
        null=(0.0,) * 5,
        original=0.978,
        difference=value,
        standard_error=0.01,
        degrees_of_freedom=10.0,
        against="retrained",
        sizes=SIZES,
        standard_error_original=0.01,
    )


def findings(kind: str = "edited", **values: float) -> list[Finding]:
    """All findings on a model: "edited", "original", "head_refitted" or "reference_<n>".

    Args:
        values: Figures to plant, with `__` for the dot and `_at_` for the `@`.
    """
    planted = {k.replace("__", ".").replace("_at_", "@"): v for k, v in values.items()}
    without = int(kind.removeprefix("reference_")) if kind.startswith("reference_") else None
    knows = kind in ("original", "output_retired", "random_direction")
    rows = [share(n, 0.978 if knows else 0.0, 0.997 if knows else 0.04) for n in FORGET_ACCURACY]
    for name, (_, mean, sd, original, edited, _) in FIGURES.items():
        value = edited if kind == "edited" else original
        if without is not None:
            value = mean + STEPS[without] * sd
        rows.append(measurement(name, planted.get(name, value), without=without))
    return [_finding(audit, rows) for audit in AUDITS]


def _finding(audit: str, figures: list[Figure]) -> Finding:
    return Finding(
        audit=audit,
        question=f"What does {audit} find?",
        status="RUN",
        seed=481516,
        measurements=tuple(m for m in figures if m.name.startswith(f"{audit}.")),
        parameters={"confidence": 0.95},
    )


def controls() -> dict[str, list[Finding]]:
    """Four models that must fail, five that must not."""
    return {name: findings(name) for name in (*MUST_FAIL, *(f"reference_{i}" for i in range(5)))}


def with_gap() -> list[Finding]:
    """Findings where an audit that no rule asks for did not run."""
    gap = not_run("relearning", "How fast?", "No shadow model: train some.", seed=481516)
    return [*findings(), gap]


def policy() -> Policy:
    """The policy of the example: fixed here, so that tuning the shipped one breaks no test."""
    content = load_policy("default-v1").model_dump(mode="json")
    both = {"required": True}
    content["rules"] = [
        {"measurement": "accuracy.forget_*", "at_most": 0.05, **both},
        {"measurement": "accuracy.retain", "below": 0.02, "above": 1.0, **both},
        {"measurement": "routing.js", "below": 0.7, "above": 0.15},
        {"measurement": "membership.forget.loss", "below": 0.2, "above": 0.2, **both},
        {"measurement": "linear_probe.dprime@penultimate", "below": 1.5, "above": 1.0, **both},
        {"measurement": "linear_probe.dprime@logits", "below": 1.5, "above": 1.0, **both},
        {"measurement": "few_shot.1@penultimate", "below": 0.3, "above": 0.22, **both},
        {"measurement": "few_shot.5@penultimate", "below": 0.25, "above": 0.2, **both},
        {"measurement": "head_refit.forget", "below": 0.15, "above": 0.1, **both},
    ]
    minimum = {"forget_train": 20, "forget_test": 20}
    return Policy.model_validate(content | {"name": "example-v1", "minimum_samples": minimum})


def verdict() -> Verdict:
    """The verdict on the edited model of the example."""
    return judge(with_gap(), controls(), policy())


def parts(judged: Verdict | None = None) -> Json:
    """What `statement.build` takes."""
    judged = judged or verdict()
    return {
        "name": "after.safetensors",
        "sha256": digest("after"),
        "event": _event(),
        "request": _request(),
        "inputs": _inputs(),
        "method": _method(),
        "auditPlan": {
            "digest": digest("plan"),
            "ledgerSequence": 4,
            "seed": 481516,
            "registeredAt": "2026-09-20T08:02:10.120Z",
            "seedSource": "head of the ledger",
            "policy": {"name": policy().name, "digest": policy().digest()},
            "expectedPower": None,
        },
        "audits": judged.audits_json(),
        "controls": judged.controls_json(),
        "verdict": judged.to_json(),
        "propagation": [
            {
                "artefact": "model before, version 1",
                "location": "registry",
                "note": "",
                "status": "QUARANTINED",
            },
            {
                "artefact": "nightly backup",
                "location": "backup",
                "note": "2026-12-20",
                "status": "EXPIRES_ON",
            },
        ],
        "registration": {
            "name": "digits",
            "version": None,
            "intendedAlias": "champion",
            "aliasMoves": True,
        },
        "retention": {"keepUntil": "2032-09-18T08:04:02Z", "reauditDue": "2026-12-19T08:04:02Z"},
        "byproducts": [{"name": "findings.json", "sha256": digest("findings")}],
        "demoKey": True,
    }


def example(judged: Verdict | None = None) -> Json:
    """A statement as it would be signed."""
    return statement.build(**parts(judged))


def _event() -> Json:
    return {
        "id": EVENT,
        "attempt": 1,
        "previousAttempts": [],
        "ledger": {
            "origin": "ledger-9f2c41d07b3a55e8",
            "sequence": 6,
            "previous": digest("entry 5"),
        },
        "startedAt": "2026-09-20T08:02:11Z",
        "finishedAt": "2026-09-20T08:04:02.310Z",
        "monotonicSeconds": 110.8,
        "cost": {
            "cpuSeconds": {"observe": 4.1, "few_shot": 0.6, "similarity": 5.2},
            "forwardPasses": 92.2,
            "modelsObserved": 9,
            "modelsKept": 3,
            "candidateForwardPasses": {"observe": 1.61, "relearning": 8.63},
        },
    }


def _request() -> Json:
    return {
        "id": EVENT,
        "digest": digest("request"),
        "regulation": "gdpr",
        "receivedAt": "2026-09-20T08:00:00Z",
        "dueAt": "2026-10-20T08:00:00Z",
        "scope": {"type": "class", "indices": [8]},
        "verifiedBy": "privacy-desk",
    }


def _inputs() -> Json:
    return {
        "modelBefore": {
            "digest": {"sha256": digest("before")},
            "architecture": "damp:cnn",
            "registry": {"name": "digits", "version": "1"},
            "parameters": 94_410,
        },
        "dataBefore": {"name": "digits", "version": "3d1f9a.dir", "rows": 898},
        "dataAfter": {"name": "digits", "version": "77b0c2.dir", "rows": 811},
        "forgetSet": {
            "count": 87,
            "commitment": digest("forget"),
            "algorithm": "HMAC-SHA256, Merkle root",
        },
        "retainSet": {"count": 811, "sha256": digest("retain")},
        "code": {"version": "0.1.0", "revision": "0f3c1d2", "dirty": False},
        "environment": {
            "python": "3.11.9",
            "platform": "Linux x86_64",
            "packages": {"torch": "2.13.0", "numpy": "2.3.1"},
            "lockDigest": digest("lock"),
        },
        "device": {"type": "cpu", "name": "x86_64", "threads": 2},
    }


def _method() -> Json:
    layers = ("conv1", "conv2", "conv3", "fc1", "fc2")
    return {
        "name": "damp",
        "version": "0.1.0",
        "parameters": {
            "preset": "mixture",
            "gain": 1.0,
            "sequential": False,
            "retire": True,
            "seed": 0,
        },
        "operators": [
            {
                "name": name,
                "kind": "Linear" if name.startswith("fc") else "Conv2d",
                "strength": [0.31 + 0.15 * i],
                "separability": [1.8 + 2.2 * i],
                "relative_change": 0.04 + 0.03 * i,
                "residual": 0.2 + 0.1 * i,
            }
            for i, name in enumerate(layers)
        ],
        "skipped": [
            {
                "name": "depthwise",
                "kind": "Conv2d",
                "reason": "it mixes no channels, so there is nothing to project",
            }
        ],
        "recalibrated": ["bn1", "bn2"],
        "rewritten": None,
        "mended": None,
        "headOnly": False,
    }
