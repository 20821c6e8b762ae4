"""The command line: one file for a command or a family of them, with its options and its output.

A command imports what it needs when it is called: `damp --help` loads click and these files only.
Its function reads its options, calls one function of another room, and hands the result to
`console.answer`, which prints it as JSON or line by line. All of click and rich is here.

What all commands share:

    app.py         `damp` itself: every command by section, errors in one line, exit codes
    options.py     Options that several commands have, types of arguments, the state folder
    console.py     How a result, a verdict, a table, a note and progress are printed
    reference.py   docs/commands.md, made of the commands
    outcomes.py    The panel at the end of an event, and the exit code that its verdict stands for

The commands, by the sections of `damp --help`:

    demo.py        Events: the small company and its digit classifier
    events.py      Events: request, submit, run, status, serve
    requests.py    Requests: the inbox, and each change of a request's state
    audits.py      Audits: of a claim, the retrained references, qualifications, spot checks
    inspection.py  Models and data: the first look at both
    models.py      Models and data: classes, train, adopt, cost
    report.py      The record: the report, comparisons, the index
    copies.py      The record: declare and purge what still holds the class
    export.py      The record: stats, export
    statements.py  Requests, the record: verify, replay, stamp, approve and sign
    keys.py        The record: signing keys and trust
    ledger.py      The record: the ledger, checkpoints and proofs
    registry.py    Operations: lineage, promotion, the audit of all versions
    servers.py     Operations: up, down, deploy, worker, alert
    doctor.py      Operations: what would keep an event from running

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "app",
]
