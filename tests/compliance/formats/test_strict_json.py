"""JSON that two readers could read differently is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.formats import strict_json
from compliance.formats.errors import JsonError

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 1}',
        '{"b": {"a": 1, "c": 2, "a": 3}}',
        '{"a": 1, "\\u0061": 2}',
        "[NaN]",
        "[-Infinity]",
        "{",
        "",
        "[1e400]",
        "[-" + "9" * 5000 + "]",
        b"\xff",
        b"\xef\xbb\xbf{}",
        "[" * 100_000,
    ],
)
def test_ambiguous_or_broken_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(JsonError):
        strict_json.loads(text)


@given(VALUES)
def test_canonical_bytes_are_read_back_and_stay_the_same(value: object) -> None:
    once = strict_json.canonical(value)
    assert strict_json.canonical(strict_json.loads(once)) == once
    assert strict_json.loads(once) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, {1: 2}, object(), b"x"])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(JsonError):
        strict_json.canonical(value)
