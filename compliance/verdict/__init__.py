"""Findings, controls and policy become a verdict, by pure functions.

    assurance.py       What required rows say by themselves: a result, and the level of assurance th
    blockers.py        What keeps a candidate within every margin from a PASSED all the same. Pure
    controls.py        Models of known nature before the same bench: an audit proves itself every ti
    expected_power.py  What can be expected before a candidate is looked at, told in the plan
    findings.py        Findings as a file: what the bench hands to the desk, for candidate and contr
    judged_row.py      One judged measurement: its figures, the rule it is held against, and what ca
    judging.py         Measurements against the rules of a policy, one judged row each. Pure: no fil
    verdict.py         The verdict: what findings, controls and policy say together. Pure: no file,
    wording.py         Verdicts in plain words: sober, bounded, and each with the figures that it re

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "assurance",
    "expected_power",
    "findings",
    "judging",
    "verdict",
    "wording",
]
