"""Qualify a procedure once, on a sample, against retrained models; run single cases under it later.

A study of one family (model, data, ladder of cuts, rules, audits and code, by digest):

    family.py         what a qualification is of; everything by digest
    drawing.py        which classes are studied and which events are checked, by the ledger's hashes
    kept.py           how much of a class a model still keeps, read off candidate and original alone
    thresholds.py     within which shares a model passes, set on a study's classes
    bounds.py         how sure counts of classes and spot checks are
    study.py          from studied classes to an outcome: passed, thresholds, errors, edits
    qualification.py  the signed statement of all that; what follows from it is computed again

Events under it:

    standing.py       whether it holds at one moment: date, edits, suspension, spot checks
    lineage.py        how many edits a model has seen since the qualified one
    checking.py       the check of its envelope, offline
    rules.py          the policy of such events: what needs no model to compare with
    costing.py        what requests cost by three ways, and from how many on a study pays
    judging.py        the verdict on an event under it

Pure but for `checking`, which reads files. `__all__` is the door: what other rooms import.
"""

__all__ = [
    "bounds",
    "checking",
    "costing",
    "drawing",
    "family",
    "judging",
    "kept",
    "lineage",
    "qualification",
    "rules",
    "standing",
    "study",
    "thresholds",
]
