"""Findings, controls and policy become a verdict, by pure functions.

    findings.py        the audits' findings as a file, for the candidate and each control
    judged_row.py      one measurement with its rule, its margins and its outcome
    judging.py         each measurement against the first rule that names it; gaps become rows too
    assurance.py       what the required rows say together: a result, and a level of assurance
    kinds.py           kinds of readers, and what it means where one has not decided
    controls.py        models whose right answer is known, judged by the same rules
    blockers.py        what keeps a model within every margin from a PASSED all the same
    verdict.py         `judge`: all of this in one place, from findings to a `Verdict`
    wording.py         the claim, the reasons and the limits in sober sentences
    expected_power.py  what can be decided at all, computed before a candidate is audited

`__all__` is the door: what other rooms import. Nothing is imported before it is used.
"""

import lazy_loader

__getattr__, __dir__, _ = lazy_loader.attach_stub(__name__, __file__)

__all__ = [
    "FAILED",
    "INCONCLUSIVE",
    "LEAST_POWER",
    "MUST_FAIL",
    "MUST_PASS",
    "PASSED",
    "Control",
    "JudgedRow",
    "Verdict",
    "blockers",
    "expected_power",
    "findings",
    "impossible_controls",
    "judge",
    "judge_row",
    "judge_rows",
    "kinds",
    "load_findings",
    "reached",
    "result_of",
    "wording",
]
