"""What every other room stands on: formats that mean one thing only, and errors with a remedy.

    errors.py         the tree of what can be refused
    strict_json.py    JSON that is refused where it is ambiguous, and its one canonical form
    yaml_reader.py    YAML as people write it, with line and column of every key
    validation.py     from a YAML document to a checked model; every mistake at once
    timestamps.py     times with a zone
    files.py          files from elsewhere, and files that appear whole or not at all
    plain_text.py     text that means only itself wherever a person reads it
    typed.py          from checked JSON to frozen dataclasses
    callback_urls.py  addresses that a request may name, and which of them a policy allows

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "callback_urls",
    "errors",
    "files",
    "plain_text",
    "strict_json",
    "timestamps",
    "typed",
    "validation",
    "yaml_reader",
]
