"""What the report's tests show: a pass, a failure, an undecided attempt, by the same `judge`.

`example` is the module of the fixture of that name; the series are what the audits write.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from audits import catalogue
from audits.finding import Finding, not_run
from compliance.verdict import judge

Json = dict[str, Any]
HOSTILE: tuple[str, ...] = (
    "<script>document.documentElement.setAttribute('data-hit','1')</script>",
    "</script><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "<img src=x onerror=document.documentElement.setAttribute('data-hit','1')>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "<svg/onload=alert(1)>",
    "</svg><svg onload=alert(1)>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<a href=javascript:alert(1)>x</a>",
    "javascript:alert(1)",
    "<body onload=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<meta http-equiv=refresh content='0;url=data:text/html,x'>",
    "<base href=data:text/html,x>",
    "<link rel=stylesheet href=data:text/css,x>",
    "<object data=data:text/html,x></object>",
    "<form action=data:x><button>x</button></form>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<!--<script>alert(1)//-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "{{ 7 * 7 }}{% raw %}",
    "${alert(1)}`alert(1)`",
    "$\\frac{1}{0}$ \\input{x}",
    "\u202eDELETED\u2066\u200b\x00\x1b[31m\ud800",
    "x" * 3000 + '" style="position:fixed;inset:0',
)
COMMANDS = {
    "verify_command": "damp verify statement.dsse.json --trust trust.json",
    "reproduce_command": "damp replay 5f0c7c2e",
}


def passed(example: ModuleType) -> Json:
    """A first attempt within all margins, under a demonstration key."""
    statement: Json = example.example()
    return statement


def failed(example: ModuleType) -> Json:
    """A second attempt: one image a class brings the forgotten one back. A real key."""
    measured = example.findings(few_shot__1_at_penultimate=0.9)
    judged = judge(measured, example.controls(), example.policy())
    statement: Json = example.example(judged)
    first = {"attempt": 1, "statementDigest": example.digest("first"), "verdict": "INCONCLUSIVE"}
    statement["predicate"]["event"] |= {"attempt": 2, "previousAttempts": [first]}
    statement["predicate"]["demoKey"] = False
    return statement


def inconclusive(example: ModuleType) -> Json:
    """A required audit that was not run, an undecided figure, a control gone wrong, an unknown."""
    rows = [f for f in example.findings(head_refit__forget=1.0) if f.audit != "membership"]
    reason = "Only 9 held-out images of class 8, 20 are needed: bring more test images."
    gap = not_run("membership", "Can an attacker tell members?", reason, seed=1)
    controls = {**example.controls(), "random_direction": example.findings()}
    judged = judge([*rows, gap], controls, example.policy())
    statement: Json = example.example(judged)
    statement["predicate"]["propagation"].append(
        {
            "artefact": "export for a partner",
            "location": "not known",
            "status": "UNKNOWN",
            "note": "asked, no answer yet",
        }
    )
    return statement


KINDS: dict[str, Callable[[ModuleType], Json]] = {
    "PASSED": passed,
    "FAILED": failed,
    "INCONCLUSIVE": inconclusive,
}


def findings(example: ModuleType) -> list[Json]:
    """Findings of the candidate as JSON, with the series that the pictures need."""
    rows = [_with_pictures(f) for f in example.findings()]
    rows[2]["parameters"]["left_out"] = {
        "membership.tpr_at_0.1_percent.forget.loss": "needs 1000 images outside training, got 90"
    }
    return rows


def index(example: ModuleType) -> Json:
    """What the index of three events shows: one late, one decided twice, one ended without."""
    attempts = [
        {"number": n, "verdict": v, "report": f"events/e/attempt-{n}/r.html", "statement": None}
        for n, v in ((1, "FAILED"), (2, "PASSED"))
    ]
    decided = {
        "id": example.EVENT,
        "state": "failed_audit",
        "regulation": "gdpr",
        "received": "2026-09-20T08:00:00Z",
        "due": "2026-10-20T08:00:00Z",
        "days_left": 3,
        "next": "damp promote --event 5f0c7c2e",
        "verdict": "PASSED",
        "attempts": attempts,
    }
    open_one = decided | {"days_left": -3, "verdict": None, "attempts": [], "next": "look: `x`"}
    ended = open_one | {"state": "denied", "days_left": None, "next": "", "regulation": None}
    return {
        "written": "2026-10-17T08:00:00+00:00",
        "entries": 9,
        "last": "2026-10-16T08:00:00Z",
        "events": [open_one, decided, ended],
    }


def _with_pictures(finding: Finding) -> Json:
    series = {"accuracy": per_class(), "membership": roc(), "routing": shares()}
    question = catalogue.AUDITS[finding.audit].question
    content: Json = finding.to_json()
    return content | {"question": question, "series": series.get(finding.audit, {})}


def _band(values: list[float], width: float) -> Json:
    return {
        "retrained": values,
        "retrained_low": [round(v * (1 - width), 5) for v in values],
        "retrained_high": [round(min(v * (1 + width), 1), 5) for v in values],
    }


def per_class(classes: int = 10) -> Json:
    """Accuracy per class, the last but one forgotten."""
    keep = [0.99 - 0.004 * (c % 5) for c in range(classes)]
    keep[-2] = 0.0
    return {
        "per_class": {
            "classes": list(range(classes)),
            "forgotten": [c == classes - 2 for c in range(classes)],
            "candidate": [round(x * 0.99, 4) for x in keep],
            "original": [0.985] * classes,
            **_band(keep, 0.01),
        }
    }


def roc() -> Json:
    """ROC of the attack, on the audits' grid."""
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
    """Where the forgotten images go."""
    return {
        "shares": {
            "classes": [0, 1, 2, 3, 4, 5, 6, 7, 9],
            "candidate": [0.02, 0.21, 0.06, 0.15, 0.03, 0.1, 0.03, 0.05, 0.35],
            "original": [0.05, 0.33, 0.02, 0.1, 0.02, 0.22, 0.08, 0.02, 0.16],
            **_band([0.03, 0.18, 0.07, 0.16, 0.02, 0.12, 0.02, 0.06, 0.34], 0.15),
        }
    }
