"""Keys, trust, signed envelopes, and the statement that is signed.

    envelope.py     Signatures over a statement: DSSE envelopes, Ed25519, any number of signers over
    keys.py         Ed25519 keys as files: `<id>.pem`, readable by their owner alone
    signed_note.py  Signed notes: a few lines of text and signatures beneath them, as transparency l
    statement.py    The statement of one attempt: an in-toto Statement v1 with our own, strict predi
    trust.py        Whose signatures count: `trust.json`, which maps key ids to roles and validity

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "envelope",
    "keys",
    "signed_note",
    "statement",
    "trust",
]
