"""Callback URLs of a request: plain, over TLS, below one that the policy lists.

A request comes from outside; an address in it could point at something inside. So it counts only
below an address that the policy names, compared part by part, never as text.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

LOOPBACK = ("127.0.0.1", "localhost", "::1")
LONGEST = 300


def checked(given: str) -> str:
    """The address, if it is a plain one.

    Raises:
        ValueError: no https address (http only on this machine), or one with a user, a query, a
            fragment, dots that climb, or signs that do not belong there.
    """
    if len(given) > LONGEST or not given.isascii() or not given.isprintable() or " " in given:
        raise ValueError(f"write an address of at most {LONGEST} plain characters")
    parts = _split(given)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise ValueError("write an https address, like https://desk.example.org/unlearning/")
    if not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("an address here has a host and a path, no user, query or fragment")
    if "\\" in given or "%" in parts.path or any(p in (".", "..") for p in parts.path.split("/")):
        raise ValueError("a path here has no `..`, no `%`, no backslash")
    return given


def allowed(address: str, listed: Iterable[str]) -> bool:
    """Whether an address is one of those listed, or below one.

    >>> allowed("https://desk.example.org/a/b", ["https://desk.example.org/a"])
    True
    >>> allowed("https://desk.example.org.evil.example/a", ["https://desk.example.org/"])
    False
    """
    return any(_below(_split(address), _split(one)) for one in listed)


def _split(address: str) -> SplitResult:
    parts = urlsplit(address)
    _ = parts.port  # raises ValueError where it is no number
    return parts


def _below(address: SplitResult, listed: SplitResult) -> bool:
    same = (address.scheme, address.hostname, address.port) == (
        listed.scheme,
        listed.hostname,
        listed.port,
    )
    root = listed.path.rstrip("/")
    return same and (address.path == root or address.path.startswith(f"{root}/"))
