"""Prefect: the flows, their tasks, the runner, schedules and what is repaired at a start.

Only this room knows Prefect (beside the servers, and the cluster that work is spread over). The
steps themselves are plain functions of `flows.steps`; here they are called in order, remembered,
shown and resumed.

The flows, which read like the README's diagram:

    event.py        one unlearning event
    claim.py        the audit of a claim that was made elsewhere

What carries them:

    tasks.py        `once`: a step as a Prefect task from JSON to JSON, remembered by its inputs
    engine.py       a Prefect server for a command, and the events that it carries out there
    runner.py       one event through its attempts, under the lock of its model
    artifacts.py    what Prefect's pages show: progress, verdict, audits, the way to the report
    run_pages.py    how a run is called there, and the lines of its Logs tab
    server_loss.py  a lost Prefect server as a ServerError that says what to do

What runs while nobody types:

    schedule.py     pending requests, re-audits that are due, the scan of the registry
    parking.py      one pending event: decided, left for the next run, or parked with its reason
    automations.py  the call that Prefect makes when a run fails
    reconcile.py    what a crash left in Prefect and in the registry, put in order at a start

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "automations",
    "engine",
    "event",
    "reconcile",
    "runner",
    "schedule",
]
