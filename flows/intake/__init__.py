"""What comes in, and its life until a verdict; every change is one entry of the ledger.

    requests.py   Erasure requests: checked as a whole, then logged; a second time has no effect
    claims.py     Claims that a model has forgotten: both models copied and pinned, then logged
    clock.py      When a request's clock starts and ends, and which of its dates cannot be
    batches.py    Several requests on one model in one run: logged as a batch, run in turn
    lifecycle.py  Identity, denial, duplicates, pauses, extensions, reminders, closing
    signoff.py    A second signature over the same bytes, by a key of another role
    webhooks.py   Signed messages about an event's state to the callback URL, where a policy allows

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "batches",
    "claims",
    "lifecycle",
    "requests",
    "signoff",
    "webhooks",
]
