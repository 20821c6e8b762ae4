"""Whose signatures count: when a key is valid, and how the file that lists it changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from compliance.formats.errors import TrustError
from compliance.signing import SigningKey, Trust, envelope, load_trust, save_trust
from compliance.signing.trust import TrustedKey, change_trust

Line = Callable[..., TrustedKey]
START = datetime(2026, 9, 1, tzinfo=UTC)
END = datetime(2027, 9, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return envelope.generate(tmp_path_factory.mktemp("keys"), demo=True)


def lasting(line: TrustedKey, start: str, end: str) -> TrustedKey:
    return replace(line, not_before=start, not_after=end)


@pytest.mark.parametrize(
    ("time", "covered"),
    [
        (START - SECOND, False),
        (START, True),
        (START + timedelta(days=90), True),
        (END, True),
        (END + SECOND, False),
    ],
)
def test_a_key_is_valid_from_its_first_second_to_its_last(
    key: SigningKey, trust_line: Line, time: datetime, covered: bool
) -> None:
    line = lasting(trust_line(key), "2026-09-01T00:00:00Z", "2027-09-01T00:00:00Z")
    assert line.covers(time) is covered


def test_a_key_that_ends_when_it_starts_is_never_valid_and_refused(
    key: SigningKey, trust_line: Line
) -> None:
    start = "2026-09-01T00:00:00Z"
    for end, refused in ((start, True), ("2026-09-01T00:00:01Z", False)):
        line = lasting(trust_line(key), start, end)
        if refused:
            with pytest.raises(TrustError, match="ends before it starts"):
                Trust(keys={}).with_key(key.keyid, line)
        else:
            assert Trust(keys={}).with_key(key.keyid, line).keys == {key.keyid: line}


def test_a_key_is_one_of_the_demonstration_only_where_that_is_said() -> None:
    line = TrustedKey(role="executor", public_key="", not_before="", not_after="")
    assert line.demo is False


def test_a_changed_trust_is_given_back_and_is_what_the_file_holds(
    tmp_path: Path, key: SigningKey, trust_line: Line
) -> None:
    file = tmp_path / "trust.json"
    line = trust_line(key)
    first = change_trust(file, lambda trust: trust.with_key(key.keyid, line))
    assert first == load_trust(file) == Trust(keys={key.keyid: line})
    with pytest.raises(TrustError, match="trusted already"):
        change_trust(file, lambda trust: trust.with_key(key.keyid, line))
    assert load_trust(file) == first
    assert change_trust(file, lambda _: Trust(keys={})) == load_trust(file) == Trust(keys={})


def test_the_file_is_json_of_two_spaces_with_every_field(
    tmp_path: Path, key: SigningKey, trust_line: Line
) -> None:
    file = tmp_path / "some" / "where" / "trust.json"
    line = trust_line(key)
    save_trust(file, Trust(keys={key.keyid: line}))
    content = {"format": "damp/trust/v1", "keys": {key.keyid: asdict(line)}}
    assert file.read_text() == json.dumps(content, indent=2) + "\n"
    save_trust(file, Trust(keys={}))  # the folder is there by now
    assert load_trust(file) == Trust(keys={})
