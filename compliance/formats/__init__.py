"""Strict readers of YAML, JSON, times and addresses; the room's errors.

    callback_urls.py  Addresses that a request may name to be told at: plain, over TLS, below one th
    errors.py         What can go wrong at the desk. Every message names the thing, the reason and t
    strict_json.py    JSON that means one thing only: refused where it is ambiguous, written in cano
    validation.py     From a YAML document to a checked pydantic model; every mistake with line, col
    yaml_reader.py    YAML as people write it, with the line and column of every key

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "callback_urls",
    "errors",
    "strict_json",
    "validation",
    "yaml_reader",
]
