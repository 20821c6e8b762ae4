"""`damp qualify`: what is refused, entered, resumed, and left behind."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

from compliance.formats.errors import StudyError
from compliance.ledger import Ledger
from compliance.qualification import standing
from flows.data import loaders
from flows.qualification import qualify
from flows.records import qualifications
from flows.state import locks
from flows.state.errors import BusyError, EventError, RecipeError
from flows.state.paths import Home
from flows.state.settings import prepared, settings


def _loaded() -> ModuleType:
    name = "qualification_studies"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("studies.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


studies = _loaded()


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A state folder with a base model, which every test copies the use of: digits@champion."""
    folder = tmp_path_factory.mktemp("studies")
    values = {"DAMP_HOME": str(folder / "state"), "DAMP_KEYS": str(folder / "keys")}
    with mock.patch.dict("os.environ", values):
        settings.cache_clear()
        loaders.load.cache_clear()
        studies.base(prepared(), folder)
        yield folder
    settings.cache_clear()


@pytest.fixture
def place(start: Path, tmp_path: Path) -> Iterator[tuple[Home, Path]]:
    """The same folder, its ledger and studies put back afterwards."""
    import shutil

    home = Home(start / "state")
    kept = home.ledger.read_bytes() if home.ledger.exists() else None
    (tmp_path / "recipe.yaml").write_text((start / "recipe.yaml").read_text())
    yield home, tmp_path
    shutil.rmtree(home.qualifications, ignore_errors=True)
    if kept is None:
        home.ledger.unlink(missing_ok=True)
    else:
        home.ledger.write_bytes(kept)


Place = tuple[Home, Path]


def kinds(home: Home) -> list[str]:
    return [entry.kind for entry in Ledger(home.ledger).entries()]


def test_a_study_leaves_statement_page_policy_and_two_entries(place: Place) -> None:
    home, folder = place
    studied = studies.carried_out(home, folder)
    assert studied.content.outcome.qualifies, studied.content.outcome.reasons
    assert kinds(home)[-2:] == [standing.REGISTERED, standing.SIGNED]
    checked = qualifications.load(home, studied.digest)
    assert checked.problems == ()
    page = studied.report.read_text()
    assert "QUALIFIED" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page
    assert len(page) < 1_000_000
    assert not list(home.qualifications.rglob("*.safetensors"))
    assert json.loads(studied.policy.read_text())["yardstick"] == {"qualification": studied.digest}


def test_the_registry_keeps_statement_and_page_with_the_models_run(
    place: Place, tmp_path: Path
) -> None:
    from flows.registry import open_registry

    home, folder = place
    studied = studies.carried_out(home, folder)
    name = f"qualification-{studied.content.study[:8]}-qualification.dsse.json"
    with open_registry(home) as registry:
        (version,) = registry.versions_of_weights(studied.content.family.model)
        kept = registry.run_file(version.run_id, name, tmp_path)
    assert kept is not None
    assert kept.read_bytes() == qualifications.path(home, studied.digest).read_bytes()


def test_the_same_study_again_is_the_same_answer(place: Place) -> None:
    home, folder = place
    studied = studies.carried_out(home, folder)
    before = kinds(home)
    again = qualify.qualify(home, folder / "study.yaml")
    assert again.digest == studied.digest
    assert kinds(home) == before


def test_a_study_that_did_not_qualify_is_entered_and_not_silently_run_again(place: Place) -> None:
    home, folder = place
    file = studies.asked(folder)
    studies.put_results(home, file, result="FAILED")
    first = qualify.qualify(home, file)
    assert not first.content.outcome.qualifies
    assert first.policy is None
    assert "NOT QUALIFIED" in first.report.read_text()
    before = kinds(home)
    with pytest.raises(EventError, match="--again"):
        qualify.qualify(home, file)
    assert kinds(home) == before
    studies.put_results(home, file, again="better images")
    second = qualify.qualify(home, file)
    assert second.content.outcome.qualifies
    assert [(e.statement, e.qualifies) for e in second.content.earlier] == [(first.digest, False)]
    assert "1 studies of this model, 0 of which qualified" in second.report.read_text()


def test_another_ladder_is_another_study_that_lists_the_first(place: Place) -> None:
    home, folder = place
    first = studies.carried_out(home, folder)
    second = studies.carried_out(home, folder, attempts="mixture")
    assert second.digest != first.digest
    assert [earlier.statement for earlier in second.content.earlier] == [first.digest]


def test_a_study_that_was_begun_with_other_terms_is_finished_or_given_up(place: Place) -> None:
    home, folder = place
    studies.put_results(home, studies.asked(folder, classes=4))
    with pytest.raises(EventError, match="begun with other terms"):
        qualify.qualify(home, studies.asked(folder, classes=3))
    studies.put_results(home, studies.asked(folder, classes=3), again="fewer do")
    studied = qualify.qualify(home, folder / "study.yaml")
    assert [e.qualifies for e in studied.content.earlier] == [False]


def test_a_model_that_was_edited_since_is_refused_with_what_to_do(place: Place) -> None:
    """The study was begun on another model: its entry says so."""
    home, folder = place
    file = studies.asked(folder)
    begun = studies.ready(home, file)
    body = {"study": "x", "name": "small", "model": "f" * 64, "family": begun.family.to_json()}
    Ledger(home.ledger).append_once(standing.REGISTERED, "", "x", body)
    with pytest.raises(EventError, match="was edited since"):
        qualify.qualify(home, file)


def test_a_class_that_is_done_is_not_done_again(place: Place) -> None:
    """Its file is there: nothing is trained, whatever was killed since."""
    home, folder = place
    studied = studies.carried_out(home, folder, sequence=2)
    assert studied.content.outcome.edits == 2
    assert not list(home.references.glob("*.safetensors"))


def test_two_at_once_are_refused(place: Place) -> None:
    home, folder = place
    file = studies.asked(folder)
    with locks.unless_held(home, qualify.LOCK) as alone:
        assert alone
        done = _in_another_process(home, file)
    assert done == "BusyError"


def _in_another_process(home: Home, file: Path) -> str:
    import subprocess

    code = (
        "import sys; from pathlib import Path; from flows.qualification import qualify; "
        "from flows.state.paths import Home\n"
        "try: qualify.qualify(Home(Path(sys.argv[1])), Path(sys.argv[2]))\n"
        "except Exception as error: print(type(error).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(home.root), str(file)],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_busy_is_the_exit_code_of_busy() -> None:
    assert BusyError.exit_code == 4


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"classes": 11}, EventError, "11 classes are to be studied, and 10 can be drawn"),
        ({"more": "least_rows: 95\n"}, EventError, "held-out rows of 95"),
        ({"policy": "l2-v2"}, EventError, "of level L2"),
        ({"attempts": "natural, retrain"}, StudyError, "leave `retrain` out"),
        ({"attempts": "natural, natural"}, StudyError, "declared twice"),
        ({"classes": 2}, StudyError, "classes"),
        ({"sequence": 4}, StudyError, "no more edits"),
        ({"more": "spot_checks: 0\n"}, StudyError, "spot_checks"),
        ({"more": "thresholds: 3\n"}, StudyError, "is no known key"),
    ],
)
def test_a_study_that_makes_no_sense_is_refused_before_anything_is_entered(
    place: Place, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    home, folder = place
    before = home.ledger.read_bytes() if home.ledger.exists() else b""
    settings = {k: v for k, v in changes.items() if k != "more"}
    file = studies.asked(folder, **settings, more=changes.get("more", ""))
    if "spot_checks" in changes.get("more", ""):
        file.write_text(file.read_text().replace("spot_checks: 1.0\n", ""))
    with pytest.raises(error, match=words):
        qualify.qualify(home, file)
    assert (home.ledger.read_bytes() if home.ledger.exists() else b"") == before


def test_a_family_without_a_recipe_is_refused(place: Place) -> None:
    home, folder = place
    file = studies.asked(folder)
    file.write_text(file.read_text().replace("recipe: recipe.yaml", "recipe: nobodys"))
    with pytest.raises(RecipeError, match="'nobodys' is no recipe"):
        qualify.qualify(home, file)


def test_a_model_of_a_file_is_refused(place: Place) -> None:
    home, folder = place
    file = studies.asked(folder)
    file.write_text(
        file.read_text().replace(
            'registry: "digits@champion"', 'file: a.safetensors, architecture: "damp:cnn"'
        )
    )
    with pytest.raises(StudyError, match="only a registered model"):
        qualify.qualify(home, file)


def test_failed_trainings_are_said_and_the_others_kept(place: Place) -> None:
    """Of one class the results are gone, and its recipe cannot train any more."""
    home, folder = place
    file = studies.asked(folder)
    study = studies.put_results(home, file)
    gone, *_ = sorted((home.qualifications / study).glob("class-*.json"))
    gone.unlink()
    with (
        mock.patch("flows.steps.references.train", side_effect=RecipeError("The data are gone.")),
        pytest.raises(EventError, match=r"1 of 3 parts .* The data are gone\."),
    ):
        qualify.qualify(home, file)
    assert standing.SIGNED not in kinds(home)


def test_a_qualification_that_was_changed_holds_no_more(place: Place) -> None:
    home, folder = place
    studied = studies.carried_out(home, folder)
    path = qualifications.path(home, studied.digest)
    path.write_bytes(path.read_bytes().replace(b"A", b"B", 1))
    assert qualifications.load(home, studied.digest).problems
    path.unlink()
    assert "damp qualify" in qualifications.load(home, studied.digest).problems[0]


REQUEST = """\
apiVersion: damp/v1
kind: ErasureRequest
subject_request_id: {id}
regulation: gdpr
submitted_time: 2026-09-20T08:00:00Z
scope: {{type: class, selector: {scope}}}
model: {{registry: "digits@champion"}}
data: {{name: digits}}
recipe: recipe.yaml
policy: {policy}
{more}"""


def request(folder: Path, policy: Path, *, scope: str = "{index: 3}", more: str = "") -> Path:
    import uuid

    text = REQUEST.format(id=uuid.uuid4(), policy=policy.name, scope=scope, more=more)
    (folder / policy.name).write_text(policy.read_text())
    file = folder / "request.yaml"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    "wrong",
    ["none", "unknown", "suspended", "several", "preset", "rules", "code", "expired", "edits"],
)
def test_a_request_under_a_qualification_that_does_not_hold_is_refused(
    place: Place, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.intake import requests
    from flows.intake.model_checks import LENIENT

    home, folder = place
    studied = studies.carried_out(home, folder)
    assert studied.policy is not None
    content = json.loads(studied.policy.read_text())
    more, scope = "", "{index: 3}"
    words = ""
    if wrong == "unknown":
        content["yardstick"]["qualification"] = "1" * 64
        words = "There is no qualification"
    if wrong == "suspended":
        body = {"qualification": studied.digest, "event": "x", "reason": "a check has failed"}
        Ledger(home.ledger).append_once(standing.SUSPENDED, "", "x", body)
        words = "was suspended"
    if wrong == "several":
        scope, words = "{indices: [3, 5]}", "single classes"
    if wrong == "preset":
        more, words = "method: {preset: paper}\n", "The attempts would be paper"
    if wrong == "rules":
        content["rules"] = content["rules"][:2]
        words = "rules are not those"
    if wrong == "code":
        monkeypatch.setattr(qualifications, "code", lambda: "2" * 64)
        words = "have changed since"
    if wrong == "expired":
        monkeypatch.setattr(
            standing,
            "parse_utc",
            lambda text: __import__("datetime").datetime.min.replace(
                tzinfo=__import__("datetime").UTC
            ),
        )
        words = "was valid until"
    if wrong == "edits":
        monkeypatch.setattr(qualifications, "edits_of", lambda *a: None)
        words = "neither the one of"
    policy = folder / "under.yaml"
    policy.write_text(json.dumps(content))
    file = request(folder, policy, scope=scope, more=more)
    before = home.ledger.read_bytes()
    if wrong == "none":
        assert requests.submit(home, file, LENIENT).new
        return
    with pytest.raises(EventError, match=words):
        requests.submit(home, file, LENIENT)
    assert home.ledger.read_bytes() == before


def test_a_claim_is_judged_under_no_qualification(place: Place) -> None:
    from flows.intake import claims

    home, folder = place
    studied = studies.carried_out(home, folder)
    assert studied.policy is not None
    (folder / "under.yaml").write_text(studied.policy.read_text())
    file = folder / "claim.yaml"
    file.write_text(
        "apiVersion: damp/v1\nkind: ForgettingClaim\n"
        "scope: {type: class, selector: {index: 3}}\n"
        'original: {registry: "digits/1"}\n'
        'edited: {file: e.safetensors, architecture: "damp:cnn"}\n'
        "data: {name: digits}\npolicy: under.yaml\n"
    )
    with pytest.raises(EventError, match="how a claimed model was made is not known"):
        claims.file_claim(home, file)


def test_a_claimants_qualification_is_verified_and_weighs_nothing(place: Place) -> None:
    from compliance.documents.claim import parse_claim
    from flows.intake import claims

    home, folder = place
    studied = studies.carried_out(home, folder)
    (folder / "theirs.dsse.json").write_bytes(studied.statement.read_bytes())
    (folder / "theirs.json").write_text(home.trust.read_text())
    claim = parse_claim(
        "apiVersion: damp/v1\nkind: ForgettingClaim\n"
        "scope: {type: class, selector: {index: 3}}\n"
        'original: {registry: "digits/1"}\n'
        'edited: {file: e.safetensors, architecture: "damp:cnn"}\n'
        "data: {name: digits}\npolicy: demo-v1\n"
        "qualification: {file: theirs.dsse.json, trust: theirs.json}\n"
    )
    checked = claims.theirs_of(claim, folder)
    assert checked.content is not None
    stranger = Home(folder / "auditor")
    sentence = qualifications.weight(stranger, checked.content, checked, same=False)
    assert "which is not in the auditor's trust file" in sentence
    assert "weighs nothing in this verdict" in sentence
    assert "another model than the original" in sentence
    text = (folder / "theirs.dsse.json").read_text()
    (folder / "theirs.dsse.json").write_text(text.replace('"payload": "e', '"payload": "f', 1))
    with pytest.raises(EventError, match="does not hold"):
        claims.theirs_of(claim, folder)


def test_each_attempt_is_judged_at_its_part_of_the_error_level(place: Place) -> None:
    """As an event's: alpha over the number of attempts, never above alpha."""
    home, folder = place
    file = studies.asked(folder, attempts="natural, mixture")
    subject = studies.ready(home, file).subject
    assert subject.judged_by.alpha == pytest.approx(subject.policy.alpha / 2)
    assert subject.rules.alpha == pytest.approx(subject.policy.alpha / 2)


def test_levels_of_attempts_are_part_of_the_rules() -> None:
    """A policy that gives one attempt more of the error level has other rules."""
    from compliance.documents.policy import Policy, load_policy
    from compliance.qualification import rules

    policy = rules.policy_of("any", load_policy("demo-v1"), ("natural", "mixture"))
    content = policy.model_dump(mode="json") | {"levels": [0.049, 0.001]}
    assert Policy.model_validate(content).rules_digest() != policy.rules_digest()
