"""The ten steps of an event, in their order, and those of a claim. None knows Prefect.

    audit.py       Step 7: observe every model once; candidate and controls face the same bench
    audit_rows.py  Which rows the audits see: all of a small data set, a fixed share per class of a
    claim.py       The steps of a claim's audit that differ from an unlearning event's; the others a
    conclude.py    Step 8: one pure function judges, then report and statement are written and signe
    edit.py        Step 6: extract prototypes and cut the class out, or take the retrained model ins
    plan.py        Step 5: what will be audited, by which margins and from which seed, logged before
    predicate.py   The statement's parts, from the facts that the steps have left behind
    prepare.py     Steps 1 to 3: accept the request, version the data, pin the model
    references.py  Step 4: models trained from scratch on the successor data, the yardstick of every
    register.py    Steps 9 and 10: register the model with its lineage, then close what is finished
    shadows.py     Shadow models: trained on random halves of all rows, so that an attack knows each

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "audit",
    "claim",
    "conclude",
    "edit",
    "plan",
    "prepare",
    "references",
    "register",
]
