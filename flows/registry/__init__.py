"""Registered models: versions, lineage, aliases, and the gate before an alias moves.

Where to go for what:

    interface.py        Start here: what damp asks of a registry (`Registry`) and what it answers,
                        in types. Another registry is one class with these methods
    backend.py          Which registry is in use: `open_registry`, or `read_registry` to look up
    mlflow_registry.py  MLflow behind `Registry`; no other module calls MLflow's client
    registry_file.py    Its database read as a file by what only looks a model up: no MLflow
    mlflow_server.py    MLflow's server as an application, which flows.servers runs behind its guard
    tags.py             Every `damp.*` tag of a version, its key, its form, its meaning

    registration.py     From an event's files to a version; the alias moves last
    resolve.py          From `name@alias` or `name/3` to weights on disk with their bytes checked
    model_source.py     The model that a request, a claim or a command names: registered, or a file
    lineage.py          Which version came from which, by which event, on which data

    gate.py             The gate: each version by itself, with all that is wrong with it
    gate_files.py       Its weights, specification and serving code, as they lie there
    gate_statement.py   Its signed statement, and its tags against that
    gate_ledger.py      What the ledger says about registered models, and what of it decides
    old_weights.py      Weights from before an event, found again in any file
    promotions.py       A promotion as the ledger keeps it, with that digest
    reaudits.py         Re-audits that are signed: only such a PASSED takes back a failure

    packing.py          The files of a registered model, and one digest over them
    serving.py          The one of them that MLflow executes to serve the model. Its text is copied
                        into each model and compared by the gate: read gate_files.py before a change
    dvc_source.py       `dvc://` as the source of an MLflow dataset, found by an entry point

`__all__` is the door: what other rooms import. Everything is loaded when it is first used, so that
a command which needs no registry loads none.
"""

import lazy_loader

__getattr__, __dir__, _ = lazy_loader.attach_stub(__name__, __file__)

__all__ = [
    "CHAMPION",
    "REFERENCE",
    "STATEMENT",
    "SUCCESSOR",
    "WEIGHTS",
    "LedgerFacts",
    "LoggedModel",
    "MlflowRegistry",
    "ModelVersion",
    "NewVersion",
    "OpenRun",
    "RegisteredModel",
    "Registry",
    "VersionCheck",
    "VersionTags",
    "ancestry",
    "audit_registry",
    "champion_of",
    "check_version",
    "gate",
    "lineage",
    "model_source",
    "open_registry",
    "promotions",
    "read_registry",
    "reaudits",
    "registration",
    "registry_exists",
    "resolve",
    "version_of",
]
