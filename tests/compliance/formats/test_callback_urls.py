"""Which addresses may be told: plain ones, below one that the policy lists, compared by parts."""

from __future__ import annotations

import pytest

from compliance.formats.callback_urls import allowed, checked

LISTED = ["https://desk.example.org/unlearning/", "https://other.example.org:8443"]


@pytest.mark.parametrize(
    "address",
    [
        "https://desk.example.org/unlearning/",
        "https://desk.example.org/unlearning/a/b",
        "https://other.example.org:8443/anything",
    ],
)
def test_what_is_listed_or_below_it_is_allowed(address: str) -> None:
    assert allowed(checked(address), LISTED)


@pytest.mark.parametrize(
    "address",
    [
        "https://desk.example.org/",
        "https://desk.example.org/unlearning-evil/",
        "https://desk.example.org.evil.example/unlearning/",
        "https://evil.example/https://desk.example.org/unlearning/",
        "https://other.example.org/anything",
        "https://other.example.org:8444/",
        "https://xdesk.example.org/unlearning/",
    ],
)
def test_what_only_looks_like_it_is_not(address: str) -> None:
    assert not allowed(checked(address), LISTED)


def test_nothing_is_allowed_where_nothing_is_listed() -> None:
    assert not allowed("https://desk.example.org/", [])


@pytest.mark.parametrize(
    "address",
    [
        "http://desk.example.org/",
        "ftp://desk.example.org/",
        "file:///etc/passwd",
        "https:///path",
        "https://user:secret@desk.example.org/",
        "https://desk.example.org/?a=b",
        "https://desk.example.org/#a",
        "https://desk.example.org/unlearning/../admin",
        "https://desk.example.org/unlearning/%2e%2e/admin",
        "https://desk.example.org\\@evil.example/",
        "https://desk.example.org/ x",
        "https://desk.example.org/\n",
        "https://d\u00e9sk.example.org/",
        "https://desk.example.org:port/",
        "https://desk.example.org/" + "a" * 300,
        "javascript:alert(1)",
        "",
    ],
)
def test_what_is_no_plain_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"address|path|port|Port|Invalid|characters"):
        checked(address)


def test_this_machine_may_be_told_without_tls() -> None:
    assert checked("http://127.0.0.1:8000/x")
    assert allowed("http://127.0.0.1:8000/x", ["http://127.0.0.1:8000/"])
    assert not allowed("http://127.0.0.1:8001/x", ["http://127.0.0.1:8000/"])
