"""The command line: one file for each family of commands, its options and what it prints.

    answering.py   What the commands of a request's life answer: one line for people, the new state
    app.py         The command line. Each command says what it does, where its results are, and what
    auditing.py    What the commands on audits do: a claim from its file to its report, references a
    audits.py      Commands that audit what was made elsewhere, and train the yardstick ahead of tim
    commands.py    What the commands do, and what they tell the person who typed them
    console.py     What a person sees: progress while it works, one panel at the end, errors in thre
    demo.py        The story that `damp demo` tells: a small company, a digit classifier, one reques
    events.py      Commands that carry events out: from a request to its report
    export.py      `damp stats` and `damp export`: counts over requests, and records in the formats
    ledger.py      `damp ledger`: the log of everything that happened, and what others need to check
    ledgering.py   `damp ledger`: look at the ledger, check it, and give others what they need to ch
    models.py      Commands about models and the data they come from
    operations.py  What the commands of an operator do, and what they say
    options.py     What the commands share: options, types of arguments, exit codes, the state folde
    purging.py     What `damp purge` tells: a dry run first, then what was deleted and what is left
    report.py      `damp report`, `damp declare`, `damp purge`: what people see, and what still hold
    requests.py    Commands of a request's life: who asks, whether it is carried out, by when, who s
    servers.py     Commands for those who run damp: servers, schedules, the registry's gate, and wha
    statements.py  Commands about what is left behind: statements, signatures, keys
    verifying.py   `damp verify`: what an auditor sees who trusts nobody but the keys in a trust fil

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "app",
    "console",
]
