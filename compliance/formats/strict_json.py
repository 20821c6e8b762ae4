"""JSON that means one thing only: refused where it is ambiguous, written in canonical form."""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import Any, NoReturn

from compliance.formats.errors import JsonError

EXACT = 2**53  # from here on doubles do not tell neighbouring integers apart
SURE = 16  # characters of a number that stays below it for sure


def loads(text: bytes | str, what: str = "This text") -> Any:
    """The value of a JSON text.

    Python's own reader keeps the last of two equal keys and takes NaN; both are refused here, so
    that two readers cannot see two different documents.

    Args:
        text: UTF-8 bytes or a string.
        what: Name of the text for messages.
    Raises:
        JsonError: no UTF-8, no JSON, equal keys, NaN or Infinity, nested beyond reading.

    >>> loads('{"verdict": "FAILED", "verdict": "PASSED"}')
    Traceback (most recent call last):
    compliance.formats.errors.JsonError: This text holds the key 'verdict' twice: it has been tampered with.
    """  # noqa: E501 - the last line of a traceback is one line

    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        value = _DECODER.decode(decoded)
        if _HALF.search(decoded):
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError as error:
        raise JsonError(f"{what} holds half a character, which is no text.") from error
    except UnicodeDecodeError as error:
        raise JsonError(f"{what} is no UTF-8 at byte {error.start}.") from error
    except json.JSONDecodeError as error:
        raise JsonError(f"{what} is no JSON: {error}.") from error
    except _RefusedError as error:
        raise JsonError(f"{what} holds {error}") from error
    except RecursionError as error:
        raise JsonError(f"{what} is nested too deeply to be read.") from error


_HALF = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
"""Where halves of characters may be: each needs its other half."""


class _RefusedError(Exception):
    """What a text holds and must not."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _RefusedError(f"the key {twice!r} twice: it has been tampered with.")
    return content


def _no_constant(name: str) -> NoReturn:
    raise _RefusedError(f"{name}, which is no JSON number.")


def _number(digits: str) -> int | float:
    """Numbers are doubles, as RFC 8785 has it: beyond 2^53 an integer is none any more."""
    if len(digits) < SURE and digits.lstrip("-").isdigit():
        return int(digits)
    number = float(digits)
    if not math.isfinite(number):
        raise _RefusedError(f"{digits[:20]}, which is larger than any JSON number.")
    whole = digits.lstrip("-").isdigit() and abs(number) < EXACT
    return int(digits) if whole else number


_DECODER = json.JSONDecoder(
    object_pairs_hook=_once,
    parse_constant=_no_constant,
    parse_int=_number,
    parse_float=_number,
)


def canonical(value: Any) -> bytes:
    """The one byte sequence for a JSON value, RFC 8785.

    Raises:
        JsonError: NaN, infinity, integers beyond 2^53, or what JSON has no form for.

    >>> canonical({"b": 1.0, "a": [True, None]})
    b'{"a":[true,null],"b":1}'
    """
    import rfc8785

    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, RecursionError, UnicodeError) as error:
        raise JsonError(f"A value has no canonical JSON form: {error}.") from error


def digest(value: Any) -> str:
    """SHA-256 of the canonical form, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value)).hexdigest()
