"""The state folder: paths, files, settings, locks, keys, the journal, errors.

    errors.py       What can go wrong between damp and the world, as errors for people
    event_ids.py    Which event is meant: by its whole id, or by its beginning where only one begins
    facts.py        What the steps of an event hand to each other, written as JSON between tasks
    files.py        Files as facts: digests, and writes that are either whole or not there
    import_path.py  `package.module:callable`: code of the user's own, found and called with clear r
    interrupts.py   Ctrl-C and SIGTERM: heard from the first import on, and never lost
    journal.py      What an attempt has begun and finished: one line each, read by `damp status` and
    keyring.py      Signing keys: where the private halves lie, which one signs, and `damp keys`
    locks.py        One event at a time on one model lineage, held by the kernel and freed when the
    logs.py         Structured logs: one JSON object a line in `logs/damp.jsonl`, each with its even
    paths.py        Where everything lies under the state folder. The names of files are part of the
    progress.py     Who is told what happens now: one reporter for the process, silent unless a comm
    settings.py     Where the state lives and which engines are used: one place, environment before

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "errors",
    "event_ids",
    "facts",
    "files",
    "import_path",
    "interrupts",
    "journal",
    "keyring",
    "locks",
    "logs",
    "paths",
    "progress",
    "settings",
]
