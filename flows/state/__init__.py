"""The state folder, and what every other room stands on.

Where things lie and how they are written:

    paths.py        every file and folder under the state folder; their names are an interface
    files.py        digests, and writes that leave a whole file or none
    settings.py     `DAMP_*` variables and settings.toml, and the environment of the engines
    facts.py        what the steps hand to each other, read strictly, written as JSON
    keyring.py      signing keys: created, rotated, revoked, and the one that signs in a role

What happens now:

    locks.py        one event at a time on a model lineage, across machines where a database is set
    journal.py      the steps that an attempt has begun and finished, one line each
    progress.py     how far the running step is, for a terminal and for `damp status`
    logs.py         one JSON object a line in logs/damp.jsonl, each with its event
    interrupts.py   Ctrl-C and SIGTERM: caught from the first import on, and never lost

Kept from strangers and from those who need not know:

    children.py     how processes are started: a safe path, our folder, a bare environment
    secrets.py      passphrase and database passwords, out of the environment and in memory
    users_code.py   code of the user's own, from the one folder that was named for it
    prefect_files.py  keeps Prefect from settings of the working folder, and from code in results

Names and refusals:

    event_ids.py    an event by its whole id or by its beginning
    import_path.py  `package.module:callable`: users' code, imported and checked before it is called
    users_calls.py  calls into such code: whatever it does, a refusal that names it comes of it
    others_code.py  code that a claim or record brings along: allowed by name, pinned by digest
    code_files.py   every file that such code reads as code, written down as it is opened
    errors.py       what can go wrong, as errors for people; the tree is drawn at its top

`__all__` lists the modules that other rooms import.
"""

__all__ = [
    "children",
    "code_files",
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
    "others_code",
    "paths",
    "prefect_files",
    "progress",
    "secrets",
    "settings",
    "users_calls",
]
