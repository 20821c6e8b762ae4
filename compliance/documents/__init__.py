"""What people write, and the clock that starts when they hand it in.

    request.py    which classes of which model are to be forgotten, on what ground, by which policy
    claim.py      somebody says that a model has forgotten a class, and hands in both models
    preprocessing.py  how a model sees an image: part of the model that a request names
    ladder.py     which attempts a policy declares for a request, and which is next; pure
    methods.py    names of the ways to forget: the surgery's presets, and what trains
    policy.py     what must be measured, within which margins, at which level of assurance
    study.py      which model, data and ladder of cuts are to be qualified, on how many classes
    clock_rules.py  how long each regulation leaves, with its source
    deadlines.py  due dates, warnings, extensions; pure, the time is an argument

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "claim",
    "clock_rules",
    "deadlines",
    "ladder",
    "methods",
    "policy",
    "preprocessing",
    "request",
    "study",
]
