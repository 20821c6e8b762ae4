"""What is shown of an event: status, reports, inventory, provenance, costs.

    audit_cost.py   What the audits of an event cost: processor seconds of each, forward passes of t
    event_index.py  index.html in the state folder: a page that leads to every event's reports
    inventory.py    Everything that derives from the old weights or holds the forgotten rows, as far
    pdf.py          A browser without a window: the report as PDF by its own print, and pictures of
    provenance.py   Where a statement was made: code, environment, device. Facts, no names of people
    reports.py      `damp report`: the report of an attempt, as filed or brought up to date, in four
    status.py       What `damp status` shows: every event with its state, verdict, progress and file

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "audit_cost",
    "event_index",
    "inventory",
    "provenance",
    "reports",
    "status",
]
