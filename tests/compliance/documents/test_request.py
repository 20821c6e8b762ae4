"""Requests: what is read, what is refused, and that a refusal points at line and key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from compliance.documents.request import Request, load_request, parse_request
from compliance.formats.errors import RequestError
from damp.catalogue import DEFAULT_PRESET

GOOD = """\
apiVersion: damp/v1
kind: ErasureRequest
subject_request_id: 5f0c7c2e-4a53-4d0b-9f3e-1f4f5f0a9c11
regulation: gdpr
submitted_time: 2026-09-20T08:00:00Z
scope: {type: class, selector: {index: 3}}
model: {registry: "digits@champion"}
data: {name: digits}
recipe: digits
policy: default-v1
method: {preset: mended}
"""


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def refusals(text: str) -> tuple[str, ...]:
    with pytest.raises(RequestError) as caught:
        parse_request(text, "request.yaml")
    return caught.value.problems


def test_a_request_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "request.yaml"
    file.write_text(GOOD)
    request = load_request(file)
    assert request.id == "5f0c7c2e-4a53-4d0b-9f3e-1f4f5f0a9c11"
    assert request.forget == (3,)
    assert request.method.gain == 1.0


def test_a_request_survives_json() -> None:
    request = parse_request(GOOD)
    assert Request.model_validate(json.loads(request.model_dump_json())) == request


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("08:00:00Z", "10:00:00+02:00"),
        ("08:00:00Z", "08:00:00.000Z"),
        ("{index: 3}", "{indices: [3]}"),
        ("{preset: mended}", "{preset: mended, sequential: false}"),
        ("{preset: mended}", "{gain: 1, preset: mended}"),
        ("recipe: digits\npolicy: default-v1", "policy: default-v1\nrecipe: digits"),
        ("gdpr", "'gdpr'   # the ground"),
    ],
)
def test_the_same_content_has_the_same_digest(old: str, new: str) -> None:
    assert parse_request(changed(old, new)).digest() == parse_request(GOOD).digest()


def test_a_request_without_a_preset_means_the_default_of_the_day_it_was_received() -> None:
    named = parse_request(GOOD)
    without = parse_request(changed("{preset: mended}", "{sequential: false}"))
    assert without.digest() != named.digest()
    assert without.as_received(named.digest()) == named
    assert without.as_received(without.digest()) == without
    assert without.as_received(None) == without
    # a preset that is named is not another one, whatever was received
    other = parse_request(changed("mended", "paper"))
    assert other.as_received(named.digest()) == other


def test_a_request_that_names_no_method_takes_the_default() -> None:
    without = parse_request(changed("method: {preset: mended}\n", ""))
    named = changed("{preset: mended}", f"{{preset: {DEFAULT_PRESET}}}")
    assert without.digest() == parse_request(named).digest()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("index: 3", "index: 5"),
        ("gdpr", "ccpa"),
        ("08:00:00Z", "08:00:01Z"),
        ("mended", "paper"),
        ("mended", "mixture"),
        ("digits@champion", "digits/2"),
        ("default-v1", "demo-v1"),
    ],
)
def test_other_content_has_another_digest(old: str, new: str) -> None:
    assert parse_request(changed(old, new)).digest() != parse_request(GOOD).digest()


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "words"),
    [
        ("regulation: gdpr", "regulation: gpdr", 4, "regulation", "'gdpr', 'ccpa'"),
        ("policy:", "polici:", 10, "polici", "Did you mean `policy`"),
        ("policy: default-v1\n", "", 1, "policy", "is missing"),
        ("index: 3", "index: dog", 6, "scope.selector.index", "never by its name"),
        ("index: 3", 'index: "3"', 6, "scope.selector.index", "whole number"),
        ("{index: 3}", "{indices: [3, cat]}", 6, "scope.selector.indices.1", "never by its name"),
        ("index: 3", "index: 3.0", 6, "scope.selector.index", "integer"),
        ("index: 3", "index: true", 6, "scope.selector.index", "integer"),
        ("index: 3", "index: -1", 6, "scope.selector.index", "greater than or equal to 0"),
        ("{index: 3}", "{}", 6, "scope.selector", "either `index: 3`"),
        ("{index: 3}", "{index: 3, indices: [3]}", 6, "scope.selector", "either `index: 3`"),
        ("{index: 3}", "{indices: []}", 6, "scope.selector.indices", "at least 1"),
        ("{index: 3}", "{indices: [3, 3]}", 6, "scope.selector.indices", "listed twice"),
        ("type: class", "type: person", 6, "scope.type", "'class'"),
        ("08:00:00Z", "08:00:00", 5, "submitted_time", "without zone"),
        ("2026-09-20T08:00:00Z", "1790000000", 5, "submitted_time", "with its zone"),
        ("2026-09-20T08:00:00Z", "today", 5, "submitted_time", "write it like"),
        ("-4a53-4d0b-", "-4a53-1d0b-", 3, "subject_request_id", "version 4"),
        ("5f0c7c2e-4a53-4d0b-9f3e-1f4f5f0a9c11", "7", 3, "subject_request_id", "UUID"),
        ("damp/v1", "damp/v2", 1, "apiVersion", "reads damp/v1"),
        ("ErasureRequest", "Wish", 2, "kind", "'ErasureRequest'"),
        ('"digits@champion"', "digits", 7, "model.registry", "digits@champion"),
        ('registry: "digits@champion"', "file: a.safetensors", 7, "model", "belong together"),
        (
            'registry: "digits@champion"',
            "file: a.pkl, architecture: damp:cnn",
            7,
            "model.file",
            "a pickle can run code",
        ),
        ("{name: digits}", "{name: imagenet}", 8, "data.name", "imagefolder:PATH"),
        ("{name: digits}", "digits", 8, "data", "keys of its own"),
        ("preset: mended", "preset: mended, gain: 0", 11, "method.gain", "greater than 0"),
        ("preset: mended", "preset: mended, gain: .inf", 11, "method.gain", "finite"),
        ("preset: mended", "preset: retrain, gain: 2", 11, "method", "cuts nothing"),
        ("preset: mended", "preset: mended, zeal: 2", 11, "method.zeal", "Known here: preset"),
        ("recipe: digits", "recipe: digits\nrecipe: mnist", 9, "recipe", "in line 10"),
        ("recipe: digits", "recipe: &r digits", 9, "recipe", "anchors"),
        ("recipe: digits", "recipe: !!python/name:os.system x", 9, "recipe", "the tag"),
        ("recipe: digits", "recipe: digits\n3: x", 10, "3", "must be text"),
    ],
)
def test_a_mistake_is_told_with_line_and_key(
    old: str, new: str, line: int, key: str, words: str
) -> None:
    problems = refusals(changed(old, new))
    place = [p for p in problems if f"line {line}, column " in p and f", {key}: " in p]
    assert place, problems
    assert words in place[0]


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    text = GOOD.replace("gdpr", "gpdr").replace("index: 3", "index: dog")
    text = text.replace("recipe: digits", "recipe: digits\nrecipe: mnist")
    lines = [problem.split(",")[1] for problem in refusals(text)]
    assert lines == [" line 4", " line 6", " line 9"]


def test_a_refusal_never_repeats_the_name_of_a_class() -> None:
    assert "Jane Doe" not in "\n".join(refusals(changed("index: 3", "index: Jane Doe")))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a remark\n",
        "- 1\n- 2\n",
        "a: [1\nb: 2\n",
        "a: *unknown\n",
        GOOD + "---\n" + GOOD,
        "\tapiVersion: damp/v1",
        "a: \x00",
        "[" * 1000,
        "&a [*a]",
        "recipe: &x [&y [1, 1], *y, *y]",
        "{? [a, b] : c}",
        "x: !!timestamp nonsense",
        "x: !!int nonsense",
    ],
)
def test_what_is_no_plain_yaml_is_refused(text: str) -> None:
    assert refusals(text)[0].startswith("request.yaml")


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    latin, large = tmp_path / "latin.yaml", tmp_path / "large.yaml"
    latin.write_bytes(b"recipe: caf\xe9\n")
    large.write_bytes(b"#" * 300_000)
    for path, words in ((latin, "UTF-8"), (large, "larger"), (tmp_path / "gone.yaml", "path")):
        with pytest.raises(RequestError, match=words):
            load_request(path)


MODEL, METHOD = 'model: {registry: "digits@champion"}', "method: {preset: mended}"
FILE = "file: own.safetensors, architecture: resnet18"


def content_with(*changes: tuple[str, str]) -> dict[str, Any]:
    text = GOOD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    request = parse_request(text)
    assert parse_request(text).digest() == request.digest()
    return request.content()


def test_the_content_of_a_request_is_all_that_it_says_and_nothing_that_is_absent() -> None:
    content = content_with()
    assert content == {
        "apiVersion": "damp/v1",
        "kind": "ErasureRequest",
        "subject_request_id": "5f0c7c2e-4a53-4d0b-9f3e-1f4f5f0a9c11",
        "regulation": "gdpr",
        "submitted_time": "2026-09-20T08:00:00Z",
        "scope": {"type": "class", "selector": {"indices": [3]}},
        "model": {"registry": "digits@champion", "file": None, "architecture": None},
        "data": {"name": "digits", "root": None},
        "recipe": "digits",
        "policy": "default-v1",
        "method": {"preset": "mended", "gain": 1.0, "sequential": False, "skip": []},
    }
    more = content_with(
        ("index: 3", "indices: [5, 0, 3]"),
        ("policy:", "unseen: {name: mnist, root: there}\ncallback: https://a.example/x\npolicy:"),
        ("{preset: mended}", "{preset: paper, gain: 2, sequential: true, skip: [fc]}"),
    )
    assert more["scope"]["selector"] == {"indices": [0, 3, 5]}
    assert more["unseen"] == {"name": "mnist", "root": "there"}
    assert more["callback"] == "https://a.example/x"
    assert more["method"] == {"preset": "paper", "gain": 2.0, "sequential": True, "skip": ["fc"]}


@pytest.mark.parametrize(
    ("method", "content"),
    [
        ("{name: scrub}", {"name": "scrub", "settings": {}}),
        (
            "{name: Our_own.method-2, settings: {rate: 0.5, alpha: 0}}",
            {"name": "Our_own.method-2", "settings": {"alpha": 0.0, "rate": 0.5}},
        ),
        (f"{{name: {'m' * 64}}}", {"name": "m" * 64, "settings": {}}),
        (
            "{preset: retrain}",
            {"preset": "retrain", "gain": 1.0, "sequential": False, "skip": []},
        ),
    ],
)
def test_another_method_is_named_with_its_settings(method: str, content: dict[str, Any]) -> None:
    text = changed(METHOD, f"method: {method}")
    request = parse_request(text)
    assert request.method.content() == request.content()["method"] == content
    assert request.method.chosen == content.get("name", content.get("preset"))
    assert request.as_received("a" * 64) is request


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("{name: mended}", "is named by `preset`"),
        (f"{{name: {'m' * 65}}}", "at most 64"),
        ("{name: 9lives}", "letters, digits"),
        ("{name: scrub, preset: paper}", "leave out preset"),
        ("{name: scrub, gain: 2}", "leave out gain"),
        ("{name: scrub, sequential: true}", "leave out sequential"),
        ("{name: scrub, skip: [fc]}", "leave out skip"),
        ("{name: scrub, settings: {rate: -1}}", "greater than or equal to 0"),
        ("{settings: {rate: 1}}", "`settings` are of a method by `name`"),
        ("{preset: retrain, gain: 2}", "cuts nothing"),
        ("{preset: retrain, sequential: true}", "cuts nothing"),
        ("{preset: renewed, skip: [fc]}", "cuts nothing"),
        ("{gain: 0}", "greater than 0"),
    ],
)
def test_methods_that_do_not_go_together_are_refused(method: str, words: str) -> None:
    assert any(words in p for p in refusals(changed(METHOD, f"method: {method}")))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (f"{{{FILE}}}", ""),
        (f"{{{FILE}, name: digits-v2.1}}", ""),
        (f"{{{FILE}, name: {'n' * 100}}}", ""),
        (f"{{{FILE}, name: {'n' * 101}}}", "at most 100"),
        ("{registry: digits/2}", ""),
        ("{registry: digits}", "by alias"),
        ("{registry: digits/2, name: own}", "leave `name` out"),
        (f"{{registry: digits/2, {FILE}}}", "give either"),
        ("{file: own.safetensors}", "belong together"),
        ("{registry: digits/2, architecture: resnet18}", "belong together"),
        ("{file: own.pt, architecture: resnet18}", "a pickle can run code"),
        ("{}", "give either"),
    ],
)
def test_a_model_is_a_registered_one_or_a_file_with_its_architecture(
    model: str, words: str
) -> None:
    text = changed(MODEL, f"model: {model}")
    if words:
        assert any(words in p for p in refusals(text))
        return
    content = parse_request(text).content()["model"]
    assert ("name" in content) is ("name" in model)
    assert "preprocessing" not in content


@pytest.mark.parametrize(
    ("selector", "words"),
    [
        ("{indices: [3, 3]}", "listed twice"),
        ("{indices: []}", "at least 1"),
        ("{indices: [-1]}", "greater than or equal to 0"),
        ("{index: 3, indices: [3]}", "give either"),
        ("{}", "give either"),
    ],
)
def test_classes_are_listed_once_one_way(selector: str, words: str) -> None:
    assert any(words in p for p in refusals(changed("{index: 3}", selector)))
    assert parse_request(changed("{index: 3}", "{index: 0}")).forget == (0,)


@pytest.mark.parametrize(
    ("time", "words"),
    [
        ("'2026-09-20T08:00:00'", "a time without zone"),
        ("yesterday", "no time"),
        ("20260920", "write a time with its zone"),
        ("'0001-01-01T00:00:00+02:00'", "outside the years 1 to 9999"),
    ],
)
def test_a_time_has_a_zone_and_a_year(time: str, words: str) -> None:
    assert any(words in p for p in refusals(changed("2026-09-20T08:00:00Z", time)))
