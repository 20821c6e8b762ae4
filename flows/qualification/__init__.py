"""A procedure qualified once, against retrained models, so that events under it train none.

    qualify.py          Qualify a ladder of cuts on drawn classes; goes on where it stopped
    study_setup.py      What a study needs before it begins, and what is refused
    study_ledger.py     Which studies the ledger holds, and which may begin
    studied_class.py    One class of it, cut and compared with retrained models
    study_disguises.py  Models of that class that must fail
    spot_checks.py      Audit drawn events under a qualification against retrained models

What a qualification is, states and rules out is in `compliance.qualification`; events under one
take the ten steps of `flows.steps`.

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "qualify",
    "spot_checks",
]
