"""Text from elsewhere means only itself, and what is no text is refused with its place."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.documents.request import parse_request
from compliance.formats import plain_text, strict_json
from compliance.formats.errors import (
    ComplianceError,
    JsonError,
    PolicyError,
    RequestError,
    TimeError,
)
from compliance.formats.timestamps import parse_utc

HOSTILE = "a\x1b[2J\x1b]0;title\x07\x9b31m\u202eevil\u2066\u200b\x00\r\ud800b"


@given(st.text(alphabet=st.characters(exclude_categories=[])))
def test_nothing_that_hides_is_left(text: str) -> None:
    shown = plain_text.clean(text)
    hidden = {c for c in shown if unicodedata.category(c)[0] == "C" or c in "\u2028\u2029"}
    assert hidden <= {"\n", "\t"}
    assert plain_text.clean(shown) == shown
    shown.encode()  # no half characters: it can be written anywhere


def test_plain_text_stays_as_it_is() -> None:
    assert plain_text.clean("Grüße, 数字\n\t✔") == "Grüße, 数字\n\t✔"


@pytest.mark.parametrize("kind", [ComplianceError, JsonError, RequestError, PolicyError])
def test_a_message_of_ours_never_carries_it_on(kind: type[ComplianceError]) -> None:
    error = kind([HOSTILE]) if kind in (RequestError, PolicyError) else kind(HOSTILE)
    assert plain_text.clean(str(error)) == str(error)
    assert "\\u001b" in str(error)


@pytest.mark.parametrize("text", ['{"a": "\\ud800"}', '["\\uDFFF"]', '{"\\ud800": 1}', '"\ud800"'])
def test_half_a_character_is_no_json(text: str) -> None:
    with pytest.raises(JsonError, match="half a character"):
        strict_json.loads(text)
    assert strict_json.loads('"\\ud83d\\ude00"') == "😀"


@pytest.mark.parametrize("value", ["\ud800", {"\ud800": 1}, ["a", "\udfff"], {1, 2}, b"bytes"])
def test_what_json_has_no_form_for_ends_in_a_message(value: Any) -> None:
    with pytest.raises(JsonError):
        strict_json.digest(value)


@pytest.mark.parametrize(
    ("given", "sign"),
    [
        ("\\e[31m", "a control character (U+001B)"),
        ("a\\0", "a control character (U+0000)"),
        ("\\ud800", "half a character (U+D800)"),
        ("\\x9b", "a control character (U+009B)"),
    ],
)
def test_a_document_with_such_characters_is_refused_with_its_place(given: str, sign: str) -> None:
    text = f'apiVersion: damp/v1\nkind: ErasureRequest\nrecipe: "{given}"\n"k{given}": 1\n'
    with pytest.raises(RequestError) as refused:
        parse_request(text)
    assert f"line 3, column 1, recipe: holds {sign}" in str(refused.value)
    assert f"the key holds {sign}" in str(refused.value)


@pytest.mark.parametrize(
    "text",
    ["0001-01-01T00:00:00+02:00", "9999-12-31T23:00:00-02:00", "2026-02-10T00:00", "", "soon", 5],
)
def test_what_is_no_time_is_a_refusal(text: Any) -> None:
    with pytest.raises(TimeError):
        parse_utc(text)
    assert json.dumps(parse_utc("0001-01-01T00:00:00Z").year) == "1"
