"""Statements and findings for the report's tests: a pass, a failure, an undecided one.

The figures are those of a small network on 8x8 digits, class 8 (docs/report.md shows the page).
"""

from __future__ import annotations

import copy
import hashlib
import math
from typing import Any

from compliance import report_questions

Json = dict[str, Any]
REFERENCES = 5


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def spread(mean: float, sd: float, top: float = 1.0) -> list[float]:
    """Five values with this mean and about this spread, none above `top`."""
    steps = (-1.3, -0.6, 0.1, 0.5, 1.3)
    return [min(round(mean + s * sd, 4), top) for s in steps]


def row(
    name: str, label: str, value: float, mean: float, sd: float, original: float, **more: Any
) -> Json:
    """A judged row as the statement holds it."""
    null = spread(mean, sd, top=more.pop("top", 1.0))
    half, error = more.pop("half", 0.02), more.pop("error", 0.6 * sd + 0.004)
    against = more.pop("against", "retrained")
    centre = original if against == "original" else sum(null) / len(null)
    difference = round(value - centre, 5)
    margin = {"below": None, "above": None, "atMost": None} | more.pop("margin", {})
    power = more.pop("power", {"acceptRetrained": 0.97, "detectOriginal": 0.9996})
    return {
        "audit": name.split(".")[0],
        "name": name,
        "label": label,
        "status": "RUN",
        "value": value,
        "interval": [round(value - half, 4), round(value + half, 4)],
        "null": null,
        "nullMean": round(sum(null) / len(null), 5),
        "nullSd": round(math.sqrt(sum((x - mean) ** 2 for x in null) / (len(null) - 1)), 5),
        "original": original,
        "difference": difference,
        "differenceInterval": [round(difference - error, 5), round(difference + error, 5)],
        "against": against,
        "margin": margin,
        "rule": more.pop("rule", ""),
        "required": more.pop("required", any(m is not None for m in margin.values())),
        "outcome": more.pop("outcome", "informational"),
        "power": power,
        "sizes": {"forget_test": 90, "retain_test": 810, "references": REFERENCES},
    }


def rows() -> list[Json]:
    """All rows of an attempt that passed."""
    within = {"outcome": "within"}
    low = {"margin": {"atMost": 0.05}, "half": 0.0, **within}
    few = {"margin": {"below": 0.2, "above": 0.1}, **within}
    probe = {"margin": {"below": 1.0, "above": 0.5}, "top": 99.0, "half": 0.3, **within}
    tight = {"margin": {"below": 0.02, "above": 1.0}, "half": 0.009, **within}
    made = [
        row(
            "accuracy.forget_before_retiring",
            "Forgotten class recognised, switch lifted",
            0.0,
            0.0,
            0.0,
            0.978,
            **low,
        ),
        row(
            "accuracy.forget_after_retiring",
            "Forgotten class recognised, as deployed",
            0.0,
            0.0,
            0.0,
            0.978,
            **low,
        ),
        row("accuracy.retain", "Other classes recognised", 0.983, 0.988, 0.003, 0.991, **tight),
        row("accuracy.selectivity", "Selectivity of the loss", 0.97, 0.98, 0.004, 0.0, top=9),
        row(
            "routing.js",
            "Where images of the forgotten class go, divergence",
            0.034,
            0.028,
            0.02,
            0.22,
            margin={"below": 1.0, "above": 0.1},
            **within,
        ),
        row(
            "routing.tv",
            "Where images of the forgotten class go, share moved",
            0.19,
            0.17,
            0.06,
            0.52,
        ),
    ]
    for score in ("loss", "confidence", "entropy", "margin"):
        made.append(
            row(
                f"membership.forget.{score}",
                f"Attack by {score}, forgotten class",
                0.521,
                0.49,
                0.034,
                0.552,
                half=0.06,
                power={"acceptRetrained": 0.81, "detectOriginal": 0.12},
                **({"margin": {"below": 0.15, "above": 0.15}, **within} if score == "loss" else {}),
            )
        )
        made.append(
            row(
                f"membership.retain.{score}",
                f"Attack by {score}, other classes",
                0.512,
                0.508,
                0.008,
                0.514,
            )
        )
    depths = ("conv1", "conv2", "conv3", "fc1", "penultimate")
    for i, depth in enumerate((*depths, "logits")):
        top = {"mean": 1.1 + 0.48 * i, "sd": 0.1 + 0.03 * i}
        judged = probe if depth in ("penultimate", "logits") else {"top": 99.0, "half": 0.3}
        made.append(
            row(
                f"linear_probe.dprime@{depth}",
                f"Distance between groups, {depth}",
                round(top["mean"] - 0.12, 3),
                original=round(top["mean"] * 1.5, 3),
                **top,
                **judged,
            )
        )
        made.append(
            row(
                f"linear_probe.auc@{depth}",
                f"Separability by a probe, {depth}",
                0.91 + 0.012 * i,
                0.915 + 0.013 * i,
                0.004,
                0.93 + 0.013 * i,
            )
        )
    for shots, mean in ((1, 0.56), (5, 0.719), (20, 0.84)):
        for depth, shift in (("fc1", -0.06), ("penultimate", 0.0), ("logits", -0.1)):
            made.append(
                row(
                    f"few_shot.{shots}@{depth}",
                    f"Forgotten class from {shots} labelled image(s) a class, {depth}",
                    round(mean - 0.021 + shift, 3),
                    mean + shift,
                    0.05,
                    0.92,
                    half=0.04,
                    **(few if (shots, depth) != (20, "fc1") else {}),
                )
            )
    made += [
        row(
            "head_refit.forget",
            "Forgotten class after a new last layer",
            0.866,
            0.893,
            0.014,
            0.972,
            half=0.03,
            margin={"below": 0.15, "above": 0.05},
            **within,
        ),
        row("head_refit.retain", "Other classes after a new last layer", 0.94, 0.943, 0.008, 0.96),
        row(
            "utility.retain_accuracy",
            "Other classes recognised",
            0.983,
            0.988,
            0.003,
            0.991,
            **tight,
        ),
        row("utility.ece", "Calibration error", 0.021, 0.018, 0.004, 0.012),
        row("utility.worst_class", "Weakest of the other classes", 0.94, 0.955, 0.02, 0.967),
    ]
    return made


def control(name: str, expected: str, found: str, failing: int = 0) -> Json:
    """A control with the required rows only."""
    judged = [r for r in rows() if r["required"]]
    for r in judged[:failing]:
        r["outcome"] = "outside"
    return {
        "name": name,
        "expected": expected,
        "found": found,
        "asExpected": expected == found,
        "rows": judged,
    }


def controls() -> list[Json]:
    must_fail = ("original", "output_retired", "head_refitted", "random_direction")
    return [control(n, "FAILED", "FAILED", failing=9) for n in must_fail] + [
        control(f"reference_{i}", "PASSED", "PASSED") for i in range(REFERENCES)
    ]


def passed() -> Json:
    """The statement of an attempt that passed."""
    return copy.deepcopy(
        {
            "_type": "https" + "://in-toto.io/Statement/v1",
            "subject": [{"name": "model-after.safetensors", "digest": {"sha256": digest("after")}}],
            "predicateType": "urn:damp:attestation:unlearning-event:v1",
            "predicate": _predicate(),
        }
    )


def _predicate() -> Json:
    return {
        "event": {
            "id": "ev-20260920-0001",
            "attempt": 1,
            "previousAttempts": [],
            "ledger": {"origin": "demo-ledger", "sequence": 12, "previous": digest("entry 11")},
            "startedAt": "2026-09-20T08:02:11Z",
            "finishedAt": "2026-09-20T08:04:02Z",
            "monotonicSeconds": 110.8,
        },
        "request": {
            "id": "5f0c7c2e-4a53-4d0b-9f3e-1f4f5f0a9c11",
            "digest": digest("request"),
            "regulation": "gdpr",
            "receivedAt": "2026-09-20T08:00:00Z",
            "dueAt": "2026-10-20T08:00:00Z",
            "scope": {"type": "class", "indices": [8]},
            "verifiedBy": "privacy-desk",
        },
        "inputs": _inputs(),
        "method": _method(),
        "auditPlan": {
            "digest": digest("plan"),
            "ledgerSequence": 9,
            "registeredAt": "2026-09-20T08:02:10Z",
            "seed": 481516,
            "seedSource": "checkpoint of the ledger",
            "policy": {"name": "default-v1", "digest": digest("policy")},
            "expectedPower": None,
        },
        "audits": rows(),
        "controls": controls(),
        "verdict": {
            "result": "PASSED",
            "assurance": "L3",
            "claim": "For class 8 the edited model behaves like models that never saw it, "
            "within the margins of policy default-v1: evidence against the "
            "attacks listed, at this power.",
            "reasons": [],
            "limits": ["Membership attacks have little power on 90 images."],
        },
        "propagation": [
            {
                "artefact": "model before, version 1",
                "location": "registry",
                "note": "",
                "status": "QUARANTINED",
            },
            {
                "artefact": "training cache",
                "location": "object store",
                "note": "",
                "status": "DELETED",
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
            "version": "2",
            "intendedAlias": "champion",
            "aliasMoves": True,
        },
        "retention": {"keepUntil": "2032-09-20T08:04:02Z", "reauditDue": "2026-12-19T08:04:02Z"},
        "byproducts": [{"name": "findings.json", "sha256": digest("findings")}],
        "demoKey": True,
    }


def _inputs() -> Json:
    return {
        "modelBefore": {
            "digest": {"sha256": digest("before")},
            "registry": {"name": "digits", "version": "1"},
            "architecture": "damp:cnn",
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
    layers = [
        ("conv1", "Conv2d"),
        ("conv2", "Conv2d"),
        ("conv3", "Conv2d"),
        ("fc1", "Linear"),
        ("fc2", "Linear"),
    ]
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
                "name": n,
                "kind": k,
                "strength": [0.31 + 0.15 * i],
                "separability": [1.8 + 2.2 * i],
                "relative_change": 0.04 + 0.03 * i,
                "residual": 0.2 + 0.1 * i,
            }
            for i, (n, k) in enumerate(layers)
        ],
        "skipped": [
            {
                "name": "depthwise",
                "kind": "Conv2d",
                "reason": "it mixes no channels, so there is nothing to project",
            }
        ],
        "recalibrated": ["bn1", "bn2"],
        "headOnly": False,
    }


def failed() -> Json:
    """The second attempt of an event, which an audit caught."""
    made = passed()
    predicate = made["predicate"]
    predicate["event"] |= {
        "attempt": 2,
        "previousAttempts": [
            {"attempt": 1, "statementDigest": digest("first"), "verdict": "INCONCLUSIVE"}
        ],
    }
    for r in predicate["audits"]:
        if r["name"].startswith("few_shot") and "penultimate" in r["name"]:
            r |= {
                "value": 0.9,
                "interval": [0.86, 0.94],
                "outcome": "outside",
                "difference": round(0.9 - r["nullMean"], 4),
            }
            r["differenceInterval"] = [round(r["difference"] + d, 4) for d in (-0.04, 0.04)]
    predicate["verdict"] |= {
        "result": "FAILED",
        "reasons": [
            "few_shot.1@penultimate lies outside its margin: +0.340, allowed -0.200 to +0.100."
        ],
        "claim": "For class 8 the edited model still differs from models that never saw it.",
    }
    predicate["demoKey"] = False
    return made


def inconclusive() -> Json:
    """An attempt with an audit that was not run, an undecided row and a control gone wrong."""
    made = passed()
    predicate = made["predicate"]
    kept = [r for r in predicate["audits"] if r["audit"] != "membership"]
    kept.append(
        {
            "audit": "membership",
            "status": "NOT_RUN",
            "required": True,
            "reason": "Only 9 held-out images of class 8; the policy asks for 20. "
            "Bring more test images.",
        }
    )
    for r in kept:
        if r.get("name") == "head_refit.forget":
            r |= {"outcome": "undecided", "differenceInterval": [-0.2, 0.09]}
    predicate["audits"] = kept
    predicate["controls"][3] = control("random_direction", "FAILED", "PASSED")
    predicate["propagation"].append(
        {
            "artefact": "export for a partner",
            "location": "unknown",
            "status": "UNKNOWN",
            "note": "nobody answered yet",
        }
    )
    predicate["verdict"] |= {
        "result": "INCONCLUSIVE",
        "claim": "No claim is made about class 8: the audits could not decide.",
        "reasons": [
            "Control random_direction came out PASSED, expected FAILED.",
            "membership was not run: only 9 held-out images of class 8.",
            "head_refit.forget cannot be told: its interval crosses the margin.",
        ],
    }
    return made


def findings() -> list[Json]:
    """Findings of the candidate, with the data of the pictures as the audits write it."""
    series = {"accuracy": per_class(), "membership": roc(), "routing": shares()}
    left_out = {
        "membership": {
            "membership.tpr_at_0.1_percent.forget.loss": "needs 1000 images outside training, got 90"
        }
    }
    return [
        {
            "audit": a,
            "question": question(a),
            "status": "RUN",
            "reason": "",
            "measurements": [],
            "parameters": {"left_out": left_out.get(a, {})},
            "seed": 1,
            "series": series.get(a, {}),
        }
        for a in dict.fromkeys(r["audit"] for r in rows())
    ]


def question(audit: str) -> str:
    return report_questions.AUDITS[audit][0]


def _band(values: list[float], width: float) -> Json:
    return {
        "retrained": values,
        "retrained_low": [round(v * (1 - width), 5) for v in values],
        "retrained_high": [round(min(v * (1 + width), 1), 5) for v in values],
    }


def per_class() -> Json:
    keep = [0.99, 0.98, 0.985, 0.97, 0.99, 0.98, 0.995, 0.985, 0.0, 0.94]
    return {
        "per_class": {
            "classes": list(range(10)),
            "forgotten": [c == 8 for c in range(10)],
            "candidate": [round(x * 0.99, 4) for x in keep],
            "original": [0.99] * 8 + [0.978, 0.967],
            **_band(keep, 0.01),
        }
    }


def roc() -> Json:
    grid = [0.0] + [round(10 ** (-3 + i / 10), 6) for i in range(31)]
    return {
        "roc": {
            "signal": "loss",
            "fpr": grid,
            "candidate": [round(x**0.93, 5) for x in grid],
            "original": [round(x**0.86, 5) for x in grid],
            **_band([round(x**1.02, 5) for x in grid], 0.2),
        }
    }


def shares() -> Json:
    share = [0.02, 0.21, 0.06, 0.15, 0.03, 0.1, 0.03, 0.05, 0.35]
    return {
        "shares": {
            "classes": [0, 1, 2, 3, 4, 5, 6, 7, 9],
            "candidate": share,
            "original": [0.05, 0.33, 0.02, 0.1, 0.02, 0.22, 0.08, 0.02, 0.16],
            **_band([0.03, 0.18, 0.07, 0.16, 0.02, 0.12, 0.02, 0.06, 0.34], 0.15),
        }
    }
