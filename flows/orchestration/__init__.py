"""Prefect: the flows, their tasks, the runner, schedules and what is repaired at a start.

    artifacts.py    What Prefect's pages show of an event: how far it is, its verdict, its audits, i
    automations.py  Prefect's automations, so that a run that failed is noticed by somebody
    claim.py        The flow that audits a claim made elsewhere: any two models, any method, nobody'
    engine.py       A Prefect server for a command, and the events that it carries out there
    event.py        The flow of one unlearning event, in the ten steps of the diagram in the README
    parking.py      One pending event of a scheduled run: decided, left for the next, or parked with
    reconcile.py    What a crash leaves in Prefect and MLflow, put in order at the next start
    runner.py       Run events: one at a time per model, resumed where they stopped, with the policy
    schedule.py     What runs while nobody types: pending requests, re-audits that are due, the regi
    server_loss.py  A Prefect server that is lost on the way is told as that: no defect, no fault of
    tasks.py        The ten steps as Prefect tasks: one call each, remembered by their inputs

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
