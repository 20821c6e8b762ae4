"""All of MLflow: versions, lineage, aliases, and the gate before an alias moves.

    client.py          MLflow's registry: a database under the state folder, or a server of the team
    dvc_source.py      `dvc://` as the source of an MLflow dataset: which version, and where it lies
    gate.py            The gate before an alias: what each registered version must show, read byte b
    gate_files.py      Of a registered version: weights, specification and serving code, as they lie
    gate_ledger.py     What the ledger says about registered models, read once for a walk through th
    gate_statement.py  Of a registered version: its statement, and what its tags say beside it
    lineage.py         Which version came from which, by which event, on which data: one tree per re
    model_source.py    Where a model lies that a request, a claim or a command names: in the registr
    packing.py         A model as MLflow keeps it: weights, specification, serving code and what des
    registration.py    Which model came from which, on which data, with which verdict: MLflow's regi
    resolve.py         From `name@alias` or `name/3` to weights on disk, with their bytes checked
    serving.py         What MLflow runs to serve a registered model: safetensors and a specification
    versions.py        From weights to a model version: run, inputs, model, outputs, version; what i

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "client",
    "gate",
    "gate_ledger",
    "gate_statement",
    "lineage",
    "model_source",
    "registration",
    "resolve",
    "versions",
]
