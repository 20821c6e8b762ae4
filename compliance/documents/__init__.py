"""What people write: requests, claims, policies; and the deadlines of a request.

    claim.py      A claim: somebody says that a model has forgotten a class, and hands in both model
    deadlines.py  The clock of a request: it starts at receipt. Pure: the time is an argument
    policy.py     The policy: what must be measured, within which margins, at which level of assuran
    request.py    The request: which classes of which model are to be forgotten, on what ground, by

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "claim",
    "deadlines",
    "policy",
    "request",
]
