from . import blockers, expected_power, findings, kinds, wording
from .assurance import FAILED, INCONCLUSIVE, PASSED, reached, result_of
from .controls import MUST_FAIL, MUST_PASS, Control
from .findings import impossible_controls, load_findings
from .judged_row import LEAST_POWER, JudgedRow
from .judging import judge_row, judge_rows
from .verdict import Verdict, judge

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
