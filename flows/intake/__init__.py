"""What comes in, and its life until a verdict; every change is one entry of the ledger.

A document becomes an event:

    requests.py   Erasure requests: checked as a whole against policy, data and model
    claims.py     Claims that a model has forgotten: both models checked, and pinned by their bytes
    model_checks.py   Whether a request's model and data belong together
    model_names.py    The name that a request gives to a model of a file
    clock.py      When an event's clock starts and ends, and which of its dates cannot be
    forecasts.py  What a request can be expected to come to, said before it runs
    foreseen.py   The same in lines for the command line
    receipts.py   The entry that makes either an event, and where its paths start

Then it lives until its verdict, and after it:

    lifecycle.py  Identity, denial, duplicates, pauses, extensions, reminders, closing
    batches.py    Several requests on one model in one run: logged as a batch, run in turn
    signoff.py    A second signature over the same bytes, by a key of another role
    webhooks.py   Signed messages about an event's state to the callback URL, where a policy allows

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "batches",
    "claims",
    "forecasts",
    "foreseen",
    "lifecycle",
    "model_checks",
    "requests",
    "signoff",
    "webhooks",
]
