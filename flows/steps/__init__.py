"""The ten steps of an event, and those of a claim's audit. None knows Prefect.

A step is a function of the attempt and of the facts that earlier steps have left, and gives facts
(`flows.state.facts`). `@step("Version the data")` gives it a title, a number and its lines in the
journal; its name is the function's, everywhere. To add one, write the function in a file here, name
it in `table.py` where it belongs in the order, and call it in `flows/orchestration/event.py`.

What makes a step, and their order:

    step.py         `@step`: title, number and journal of a step, and its form for claims
    table.py        `STEPS`, all in their order

The steps:

    prepare.py      1 to 3: accept the request, version the data, pin the model
    references.py   4: models trained from scratch without the classes
    plan.py         5: policy, margins and seed, registered before anything is audited
    edit.py         6: the model after, edited or retrained
    audit.py        7: every audit of the candidate, of the controls and of each reference
    conclude.py     8: verdict, report and signed statement
    register.py     9 and 10: the new version in the registry, the closed ledger entry
    claim.py        what six of them do where a claim is audited

What they share:

    qualified.py    an event under a qualification: its family, its class, its standing
    audit_rows.py   the rows that the audits use of a data set
    method_cost.py  what a method costs beside a full retraining: operations and seconds
    shadows.py      shadow models: trained on random halves of all rows, to calibrate attacks
    predicate.py    the statement, from the facts

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "audit",
    "audit_rows",
    "claim",
    "conclude",
    "edit",
    "method_cost",
    "plan",
    "prepare",
    "qualified",
    "references",
    "register",
    "step",
    "table",
]
