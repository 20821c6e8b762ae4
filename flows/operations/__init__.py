"""What is done beside an event, each by a command or a schedule of its own.

Before an event:

    adopt.py               Take in a model that another pipeline has registered
    inspection_facts.py    What `damp inspect` says, as typed facts
    inspection.py          Look at data and a model: what they are, what a request would take
    train_base.py          Train a base model by a recipe and register it
    prepare_references.py  Train the retrained references before anybody waits for them
    request_costs.py       What requests have cost here: retraining, L3, under a qualification
    cost.py                Forecast what forgetting each class would take
    doctor.py              Check what would keep an event from running here

After it:

    promote.py             Move the alias to a version, past every check of the gate
    purge.py               Delete what still holds the class and is damp's own; list what is left
    reaudit.py             Audit a finished event again: when it is due, or the audits have changed
    time_stamps.py         Ask a time-stamp authority when a statement was there
    replay.py              Run an attempt again from its pinned inputs, and compare

For other pipelines:

    mlflow_evaluator.py    damp's audits as an evaluator of `mlflow.evaluate`

They call the steps plainly, without Prefect, and return results; `flows.cli` prints them.

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "adopt",
    "cost",
    "doctor",
    "inspection",
    "inspection_facts",
    "prepare_references",
    "promote",
    "purge",
    "reaudit",
    "replay",
    "request_costs",
    "time_stamps",
    "train_base",
]
