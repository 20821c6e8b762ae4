"""What comes in: requests and claims, their life until a verdict, sign-offs, webhooks.

    batches.py    Several requests on one model in one run: logged as a batch, carried out in turn
    claims.py     Claims on their way in: somebody says that a model has forgotten, and hands in bot
    lifecycle.py  A request's life between receipt and verdict: each step checked against the ledger
    requests.py   Requests on their way in: checked as a whole, written into the ledger, found again
    signoff.py    Sign-offs: a second signature over the same bytes, by a key of another role
    webhooks.py   Telling the requester's system how an event stands, signed; off unless the policy

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
