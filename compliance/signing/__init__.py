"""The statement of an attempt, and the signatures that make it evidence.

    statement.py    what an attempt amounts to: an in-toto Statement v1, checked by a strict schema
    facts.py        the same as frozen, typed facts, for everybody who reads a statement
    input_facts.py  those of what an attempt started from
    envelope.py     the signed file around it (DSSE): sign, countersign, merge, verify
    keys.py         Ed25519 keys as files, `<id>.pem`, readable by their owner alone
    tokens.py       the same keys on a PKCS#11 token, which they never leave
    time_stamp.py   RFC 3161: a third party's word for when a statement was there
    trust.py        `trust.json`: which key may sign in which role, and from when to when
    signed_note.py  a few lines of text with signatures beneath, for checkpoints of the ledger

`__all__` is the door: what other rooms import. Nothing is imported before it is used.
"""

import lazy_loader

__getattr__, __dir__, _ = lazy_loader.attach_stub(__name__, __file__)

__all__ = [
    "LARGEST",
    "PAYLOAD_TYPE",
    "ROLES",
    "Opened",
    "Signature",
    "SigningKey",
    "Statement",
    "Trust",
    "TrustedKey",
    "change_trust",
    "countersign",
    "decoded",
    "digest",
    "envelope",
    "facts",
    "generate",
    "input_facts",
    "keys",
    "load",
    "load_trust",
    "merge",
    "open_envelope",
    "save_trust",
    "sign",
    "sign_bytes",
    "sign_payload",
    "signed_note",
    "statement",
    "time_stamp",
    "tokens",
    "trust",
    "verify_signatures",
]
