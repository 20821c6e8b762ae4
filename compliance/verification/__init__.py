"""The check of a statement that needs none of the rest to be believed.

    verify.py          from the envelope and a trust file, offline: is it valid, and is it a pass
    qualified.py       the chain from a statement to the qualification that it rests on
    against_ledger.py  whether a ledger, or a proof from one, bears the statement out

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "against_ledger",
    "qualified",
    "verify",
]
