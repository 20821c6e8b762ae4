"""The check of a statement that needs none of the rest to be believed.

    against_ledger.py  Whether a ledger bears a statement out: its place, its plan, its entry, its e
    verify.py          The check of a signed statement: offline, from the envelope and a trust file

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "against_ledger",
    "verify",
]
