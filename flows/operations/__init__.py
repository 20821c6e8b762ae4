"""What is done beside an event: replay, re-audit, purge, promotion, forecasts, preparations.

    cost.py                `damp cost`: what forgetting each class would take, from statistics that
    doctor.py              `damp doctor`: what would keep an event from running here, each with its
    mlflow_evaluator.py    damp's audits as an MLflow evaluator, for pipelines that gate on `mlflow.
    prepare_references.py  Retrained references ahead of time: trained before anybody waits for them
    promote.py             Promotion: past every check, then the alias, then the ledger
    purge.py               `damp purge`: delete what still holds the class and is damp's own; say wh
    reaudit.py             Audit a finished event again: after ninety days, and when the suite of au
    replay.py              `damp replay`: carry an attempt out again from its pinned inputs, and com
    train_base.py          Base models: trained by a recipe, registered with the version of their tr

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "cost",
    "doctor",
    "prepare_references",
    "promote",
    "purge",
    "reaudit",
    "replay",
    "train_base",
]
