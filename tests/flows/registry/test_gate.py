"""No way round the gate: whoever can write to the registry cannot make an alias look deserved.

The registry holds what the demo's event left: version 1 as it was trained, version 2 without the
class. Each test does to it what somebody with full access could do, in MLflow and in a second
registry behind the same door (`memory_registry.py`).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from compliance.ledger import Ledger
from compliance.signing import envelope as signing
from flows.operations import promote
from flows.registry import (
    ModelVersion,
    Registry,
    gate,
    gate_files,
    lineage,
    mlflow_registry,
    reaudits,
    registration,
    resolve,
)
from flows.state import keyring, locks
from flows.state.errors import BusyError, GateError, RegistryError
from flows.state.files import digest_bytes
from flows.state.paths import Attempt
from tests.flows.conftest import Damp
from tests.flows.registry.shops import (
    NAME,
    Shop,
)
from tests.flows.registry.ways_round import (
    WAYS,
    reaudit,
)
from tests.flows.world import EVENT, until_signature

pytestmark = pytest.mark.slow


def test_what_an_event_left_has_nothing_wrong(shop: Shop) -> None:
    """The control of everything below."""
    checks = gate.audit_registry(shop.home)
    assert [(each.version, each.kind, each.aliases, each.verdict) for each in checks] == [
        (1, "base", (), ""),
        (2, "successor", ("champion",), "PASSED"),
    ]
    assert shop.problems() == []
    entries = Ledger(shop.home.ledger).entries()
    assert promote.promote(shop.home, NAME, 2).problems == ()
    assert Ledger(shop.home.ledger).entries() == entries  # it was promoted before


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.replace("_", " "))
def test_a_way_round_the_gate_is_named_and_leads_nowhere(
    way: Callable[[Shop], int | tuple[str, int]], shop: Shop
) -> None:
    target = way(shop)
    name, version = (NAME, target) if isinstance(target, int) else target
    assert shop.problems() != []
    before = registration.champion(shop.home, name)
    with pytest.raises((GateError, RegistryError)):
        promote.promote(shop.home, name, version)
    assert registration.champion(shop.home, name) == before


def test_a_file_of_the_right_form_that_changed_since_is_named(shop: Shop) -> None:
    shop.beside(2, "requirements.txt").write_text("damp-unlearning==0.0.1\n")
    (problem,) = shop.problems()
    assert "not those that were promoted, by the ledger" in problem


def test_only_a_signed_reaudit_takes_back_one_that_did_not_pass(shop: Shop) -> None:
    body = reaudit(shop, "FAILED") | {"verdict": "PASSED"}
    reaudit(shop, "PASSED")
    assert any("re-audit" in problem for problem in shop.problems())
    reaudit(shop, "PASSED", reaudits.sign(shop.home, EVENT, shop.key(), model="cd" * 32, body=body))
    assert shop.problems() == []


def test_old_weights_are_recognised_after_the_last_copy_of_them_was_purged(shop: Shop) -> None:
    disguised = shop.disguised()
    shop.weights(1).unlink()
    Ledger(shop.home.ledger).append("artefacts_purged", EVENT, {"artefacts": []})
    assert shop.problems() == []
    shop.put("innocent", source=str(disguised), run_id="", tags={})
    assert any("very weights that an event was to make forget" in p for p in shop.problems())


def test_a_promotion_of_before_without_a_digest_of_files_is_enough(shop: Shop) -> None:
    ledger = Ledger(shop.home.ledger)
    kept = shop.promoted_by_an_earlier_damp()
    assert shop.problems() == []
    entries = ledger.entries()
    assert promote.promote(shop.home, NAME, 2).problems == ()
    assert [e.body for e in ledger.entries() if e.kind == "model_promoted"] == [kept]
    assert entries == ledger.entries()[: len(entries)]


def test_entries_that_are_not_of_their_form_say_nothing(shop: Shop) -> None:
    ledger = Ledger(shop.home.ledger)
    for kind in ("plan_registered", "model_promoted", "statement_signed", "artefacts_purged"):
        ledger.append(kind, EVENT, {"attempt": "one", "plan": ["nothing"]})
    assert shop.problems() == []


# Compare, then set


def test_promote_waits_for_no_running_event_and_moves_nothing_under_it(shop: Shop) -> None:
    with locks.lineage(shop.home, NAME), pytest.raises(BusyError, match=NAME):
        promote.promote(shop.home, NAME, 2)


def test_an_alias_that_is_moved_during_the_checks_stays(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = promote.check_version

    def moved(registry: Registry, *rest: Any) -> gate.VersionCheck:
        registry.set_alias(NAME, "champion", 1)
        return check(registry, *rest)

    monkeypatch.setattr(promote, "check_version", moved)
    with pytest.raises(RegistryError, match="was moved to version 1 meanwhile"):
        promote.promote(shop.home, NAME, 2)
    assert registration.champion(shop.home, NAME) == 1


def test_a_deleted_version_is_missed(shop: Shop) -> None:
    shop.delete(2)
    assert any("has no such version" in problem for problem in shop.problems())


def test_a_renamed_model_is_missed(shop: Shop) -> None:
    shop.rename("numbers")
    assert any("deleted or renamed" in problem for problem in shop.problems())


def test_old_weights_that_were_purged_are_not_missed(shop: Shop) -> None:
    shop.weights(1).unlink()
    assert any("weights are gone" in problem for problem in shop.problems())
    Ledger(shop.home.ledger).append("artefacts_purged", EVENT, {"artefacts": []})
    assert shop.problems() == []


def test_a_database_from_before_the_event_is_noticed(
    mlflow_shop: Shop, empty_registry: Path
) -> None:
    shutil.copy(empty_registry, mlflow_shop.home.mlflow_db)
    mlflow_registry._client.cache_clear()
    assert any("older copy of the database" in problem for problem in mlflow_shop.problems())


def test_the_old_weights_under_another_name_are_named(shop: Shop) -> None:
    shop.put("innocent", source=shop.version(1).source, run_id="", tags={})
    shop.alias("champion", 1, "innocent")
    assert any("very weights that an event was to make forget" in p for p in shop.problems())


def test_models_of_others_are_left_alone(shop: Shop) -> None:
    torch.save(torch.nn.Linear(30, 30).state_dict(), shop.aside("data/model.pth"))
    shop.put("weather", source=str(shop.aside("")), run_id="", tags={})
    shop.alias("champion", 1, "weather")
    checks = gate.audit_registry(shop.home)
    assert [(each.kind, each.problems) for each in checks if each.name == "weather"] == [
        ("foreign", ())
    ]


def test_an_alias_that_was_moved_by_hand_is_put_back(shop: Shop) -> None:
    shop.alias("champion", 1)
    assert promote.promote(shop.home, NAME, 2).problems == ()
    assert registration.champion(shop.home, NAME) == 2
    assert shop.problems() == []


def test_a_version_without_its_promotion_in_the_ledger_is_entered_by_promote(shop: Shop) -> None:
    """As when the policy waits for a sign-off: the event has passed, nobody has promoted it yet."""
    shop.home.ledger.write_text(until_signature(shop.home.ledger, signed=True))
    assert shop.problems() == []  # the alias is between its move and its entry: `damp run` goes on
    assert promote.promote(shop.home, NAME, 2).problems == ()
    kinds = [entry["kind"] for entry in Ledger(shop.home.ledger).entries()]
    assert kinds[-2:] == ["model_promoted", "event_closed"]


def test_a_signature_that_came_later_is_brought_to_the_registry(shop: Shop) -> None:
    reviewer = keyring.new(shop.home, role="reviewer", days=30, demo=True)
    here = Attempt(shop.home, EVENT, shop.world.attempts).statement
    here.parent.mkdir(parents=True)
    here.write_bytes(signing.countersign(shop.world.attempt.statement.read_bytes(), reviewer))
    assert promote.promote(shop.home, NAME, 2).problems == ()
    assert shop.statement(2).read_bytes() == here.read_bytes()
    assert shop.problems() == []


def test_a_statement_of_another_event_is_not_brought_along(shop: Shop) -> None:
    here = Attempt(shop.home, EVENT, shop.world.attempts).statement
    here.parent.mkdir(parents=True)

    def longer(statement: dict[str, Any]) -> None:
        statement["predicate"]["retention"]["reauditDue"] = "2036-01-01T00:00:00Z"

    here.write_bytes(shop.signed(longer))
    kept = shop.statement(2).read_bytes()
    promote.promote(shop.home, NAME, 2)
    assert shop.statement(2).read_bytes() == kept


# Each version by itself


def test_a_version_that_cannot_be_read_is_one_finding_and_the_others_are_checked(
    shop: Shop,
) -> None:
    shop.tag(1, "damp.attempt", "\N{SUPERSCRIPT TWO}")
    shutil.copy(shop.weights(1), shop.weights(2))
    first, second = gate.audit_registry(shop.home)
    assert (first.version, first.kind, first.aliases) == (1, "base", ())
    (problem,) = first.problems
    assert "It could not be checked" in problem
    assert "damp.attempt is '\N{SUPERSCRIPT TWO}'" in problem
    assert any("not the ones that were registered" in problem for problem in second.problems)


def test_a_version_whose_run_is_gone_is_one_finding(shop: Shop) -> None:
    copy = shop.put(
        NAME,
        source=shop.version(2).source,
        run_id="f" * 32,
        tags=dict(shop.version(2).raw_tags),
    )
    checks = {each.version: each.problems for each in gate.audit_registry(shop.home)}
    assert (checks[1], checks[2]) == ((), ())
    (problem,) = checks[copy]
    assert "It could not be checked" in problem
    assert "f" * 32 in problem


def test_whatever_goes_wrong_with_one_version_the_others_are_checked(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = gate.check_files

    def fails(registry: Registry, ledger: Any, version: ModelVersion, *rest: Any) -> Any:
        if version.number == 1:
            raise LookupError("a defect")
        return check(registry, ledger, version, *rest)

    monkeypatch.setattr(gate, "check_files", fails)
    first, second = gate.audit_registry(shop.home)
    assert first.problems == ("It could not be checked: LookupError: a defect",)
    assert second.problems == ()


def test_a_model_with_a_quotation_mark_in_its_name_is_checked_like_others(shop: Shop) -> None:
    for name in ("it's", 'the "old" one'):
        shop.put(name, source=shop.version(1).source, run_id="", tags={})
    problems = [
        p for each in gate.audit_registry(shop.home) if each.name != NAME for p in each.problems
    ]
    assert len(problems) == 2
    assert all("very weights that an event was to make forget" in each for each in problems)


def test_a_model_whose_name_cannot_be_searched_for_is_one_finding(mlflow_shop: Shop) -> None:
    mlflow_shop.put("""it's "new\"""", source="/elsewhere", run_id="", tags={})
    (check,) = (each for each in gate.audit_registry(mlflow_shop.home) if each.problems)
    assert (check.version, check.kind) == (None, "name")
    assert "both quotation marks" in check.problems[0]


def test_models_beyond_the_first_hundred_are_checked(
    mlflow_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_registry, "PAGE", 2)
    for number in range(3):
        mlflow_shop.put(f"a{number}", source="/elsewhere", run_id="", tags={})
    checks = gate.audit_registry(mlflow_shop.home)
    assert [(each.name, each.version) for each in checks] == [
        *[(f"a{number}", 1) for number in range(3)],
        *[(NAME, 1), (NAME, 2)],
    ]


# Serving code


def test_serving_code_that_an_earlier_damp_wrote_is_accepted(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.promoted_by_an_earlier_damp()
    code = shop.weights(2).with_name("serving.py")
    code.write_bytes(b"# as an earlier damp wrote it\n")
    assert any("serving code" in problem for problem in shop.problems())
    digest = digest_bytes(code.read_bytes())
    monkeypatch.setattr(gate_files, "EARLIER_SERVING", frozenset({digest}))
    assert shop.problems() == []


def test_lineage_is_read_from_the_tags(shop: Shop) -> None:
    first, second = lineage.nodes(shop.home, NAME)
    assert (first.version, first.parent, first.event, first.retired) == (1, None, "", ())
    number = shop.world.attempts
    assert (second.version, second.parent, second.event, second.attempt) == (2, 1, EVENT, number)
    assert (second.verdict, second.retired, second.aliases) == ("PASSED", (3,), ("champion",))
    with pytest.raises(RegistryError, match="No model 'nothing' is registered"):
        lineage.nodes(shop.home, "nothing")


def test_the_commands_say_what_is_wrong_and_what_to_do(shop: Shop, damp: Damp) -> None:
    assert damp("audit-registry").code == 0
    checks = damp("audit-registry", "--json").json()
    assert [(each["version"], each["problems"]) for each in checks] == [(1, []), (2, [])]
    shop.alias("champion", 1)
    scan = damp("audit-registry")
    assert scan.code == 1
    assert "moved past the gate" in scan.out
    assert f"damp promote {NAME}/2" in scan.out
    damp("promote", f"{NAME}/1").refused("no event made it", "Nothing was moved")
    assert damp("promote", f"{NAME}/2").code == 0
    assert damp("audit-registry").code == 0
    shop.alias("champion", 1)
    # a name alone is its newest version that passed, whatever its number
    assert damp("promote", NAME, "--json").json()["version"] == 2
    assert damp("audit-registry").code == 0
    damp("promote", f"{NAME}@champion").refused("is no version", "NAME alone")
    damp("promote", "nothing").refused("No model 'nothing' is registered")


def test_lineage_is_drawn_as_a_tree(shop: Shop, damp: Damp, tmp_path: Path) -> None:
    drawn = damp("lineage", NAME)
    assert drawn.code == 0
    for word in ("version 1", "version 2", "champion", "PASSED", EVENT[:8]):
        assert word in drawn.out
    tree = damp("lineage", NAME, "--json").json()
    assert [(each["version"], each["parent"]) for each in tree] == [(1, None), (2, 1)]
    picture = tmp_path / "lineage.svg"
    assert damp("lineage", NAME, "--svg", picture).code == 0
    assert "<title" in picture.read_text()
    damp("lineage", "nothing").refused("No model 'nothing' is registered")


def test_the_newest_version_that_passed_is_neither_the_newest_nor_the_champion(
    shop: Shop,
) -> None:
    later = shop.copied(2)
    shop.tag(later, "damp.verdict", "INCONCLUSIVE")
    with shop.registry() as registry:
        assert resolve.newest_passed(registry, NAME).number == 2
    shop.tag(2, "damp.verdict", "FAILED")
    with (
        shop.registry() as registry,
        pytest.raises(RegistryError, match=f"No version of '{NAME}' has passed its audits"),
    ):
        resolve.newest_passed(registry, NAME)
    shop.tag(2, "damp.attempt", "first")
    with shop.registry() as registry, pytest.raises(RegistryError, match="attempt"):
        resolve.newest_passed(registry, NAME)
