"""What is shown of an event, without drawing it: the command line and the steps ask here.

    status.py       Each event as it is now: state, verdict, the step that runs, its files
    reports.py      The report of an attempt as filed or brought up to date; comparisons of several
    attempts.py     Which attempts an event has had, and which may follow
    next_steps.py   What to do after its verdict
    event_index.py  index.html of the state folder, which leads to the reports of all events
    pdf.py          A page printed as PDF by a browser without a window
    checkpoints.py  Where the ledger stood, signed: on request, and whenever an event is closed
    same_weights.py Files that hold given weights, whatever they are called
    artefacts.py    One thing that still holds a class
    caches.py       Shadow models, unfinished trainings and studies, decoded images, digests
    inventory.py    What derives from the old weights or holds the forgotten rows, by its bytes
    provenance.py   Where a statement was made: code, environment, device
    metrics.py      What Prometheus reads: events by state, days left, durations
    qualifications.py  Qualifications kept here, found by digest; the code's own digests
    training_times.py  What trainings have taken, by the notes beside kept models
    audit_cost.py   Processor seconds and forward passes of an event's audits

Everything is read from the ledger, the signed statements and the files beside them; nothing here
changes an event.

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "artefacts",
    "attempts",
    "audit_cost",
    "checkpoints",
    "event_index",
    "inventory",
    "metrics",
    "next_steps",
    "provenance",
    "qualifications",
    "reports",
    "status",
    "training_times",
]
