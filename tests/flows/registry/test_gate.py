"""No way round the gate: whoever can write to the registry cannot make an alias look deserved.

The registry holds what the demo's event left: version 1 as it was trained, version 2 without the
class. Each test does to it what somebody with full access could do.
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from compliance import signing
from compliance.ledger import Ledger
from flows.models import weights as models
from flows.operations import promote
from flows.registry import client as tracking
from flows.registry import gate, gate_statement, registration, versions
from flows.state import keyring
from flows.state.errors import GateError, RegistryError
from flows.state.paths import Attempt, Home
from tests.flows.conftest import Damp
from tests.flows.world import EVENT, World

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.slow

NAME = "digits"
OTHER = "0d9a7d52-7c1c-4f0e-8f41-6f7a5f6c2b11"


@dataclass(frozen=True)
class Shop:
    """A registry with the demo's two versions, and hands that may do anything to it."""

    home: Home
    world: World

    @contextmanager
    def client(self) -> Iterator[MlflowClient]:
        with tracking.opened(self.home) as client:
            yield client

    def problems(self) -> list[str]:
        return [problem for each in gate.audit_registry(self.home) for problem in each.problems]

    def alias(self, name: str, version: int) -> None:
        with self.client() as client:
            client.set_registered_model_alias(NAME, name, str(version))

    def tag(self, version: int, key: str, value: str) -> None:
        with self.client() as client:
            client.set_model_version_tag(NAME, str(version), key, value)

    def weights(self, version: int) -> Path:
        with self.client() as client:
            found = client.get_model_version(NAME, str(version))
            model = client.get_logged_model(versions.model_id(found))
            kept = versions.weights_of(client, model, self.home.root / "nowhere")
        assert kept is not None
        return kept

    def statement(self, version: int) -> Path:
        with self.client() as client:
            run = client.get_run(str(client.get_model_version(NAME, str(version)).run_id))
        return Path(run.info.artifact_uri.removeprefix("file://")) / gate_statement.STATEMENT

    def copied(self, version: int, name: str = NAME, **changed: str) -> int:
        """A version made by hand with the tags, source and run of another."""
        with self.client() as client:
            of = client.get_model_version(NAME, str(version))
            if not client.search_registered_models(f"name = '{name}'"):
                client.create_registered_model(name)
            with tracking.as_default(client):
                made = client.create_model_version(
                    name,
                    source=changed.pop("source", str(of.source)),
                    run_id=changed.pop("run_id", str(of.run_id)),
                    tags=of.tags | changed,
                    await_creation_for=0,
                )
        return int(made.version)

    def signed(self, change: Callable[[dict[str, Any]], None]) -> bytes:
        """The demo's statement with something changed, signed by its own key."""
        told = self.world.statement
        change(told)
        return signing.sign(told, keyring.signing_key(self.home, "executor"))


@pytest.fixture
def shop(empty_registry: Path, world: World, home: Home) -> Shop:
    home.root.mkdir()
    shutil.copy(empty_registry, home.mlflow_db)
    for name in ("ledger.jsonl", "trust.json"):
        shutil.copy(world.home.root / name, home.root / name)
    shutil.copytree(world.home.keys, home.keys)
    inputs = world.predicate["inputs"]
    known: dict[str, Any] = {
        "name": NAME,
        "architecture": "damp:cnn",
        "classes": 10,
        "input_shape": (1, 8, 8),
        "data_name": "digits",
    }
    before, after = (inputs[part]["version"] for part in ("dataBefore", "dataAfter"))
    attempt = world.attempt
    registration.register_base(
        home, weights=attempt.folder / "before.safetensors", data_version=before, **known
    )
    registration.register_successor(
        home,
        parent_version=1,
        event=EVENT,
        attempt=1,
        weights=attempt.after,
        statement=attempt.statement,
        report=attempt.report,
        verdict="PASSED",
        data_before=before,
        data_after=after,
        retired=[3],
        move_alias=True,
        **known,
    )
    return Shop(home, world)


def test_what_an_event_left_has_nothing_wrong(shop: Shop) -> None:
    """The control of everything below."""
    found = gate.audit_registry(shop.home)
    assert [(each.version, each.kind, each.aliases, each.verdict) for each in found] == [
        (1, "base", (), ""),
        (2, "successor", ("champion",), "PASSED"),
    ]
    assert shop.problems() == []
    entries = Ledger(shop.home.ledger).entries()
    assert promote.promote(shop.home, NAME, 2).problems == ()
    assert Ledger(shop.home.ledger).entries() == entries  # it was promoted before


def alias_to_the_model_before(shop: Shop) -> int:
    shop.alias("champion", 1)
    return 1


def another_alias_to_the_model_before(shop: Shop) -> int:
    shop.alias("production", 1)
    return 1


def no_alias_at_all(shop: Shop) -> int:
    with shop.client() as client:
        client.delete_registered_model_alias(NAME, "champion")
    return 1


def weights_replaced_by_the_model_before(shop: Shop) -> int:
    shutil.copy(shop.weights(1), shop.weights(2))
    return 2


def weights_and_their_tag_replaced(shop: Shop) -> int:
    torch.manual_seed(5)
    sha256 = models.save_weights(models.build("damp:cnn", 10, (1, 8, 8)), shop.weights(2), {})
    shop.tag(2, "damp.weights_sha256", sha256)
    return 2


def weights_gone(shop: Shop) -> int:
    shop.weights(2).unlink()
    return 2


def specification_that_brings_the_class_back(shop: Shop) -> int:
    spec = shop.weights(2).with_name("spec.json")
    spec.write_text(spec.read_text().replace("[3]", "[]"))
    return 2


def serving_code_replaced(shop: Shop) -> int:
    with shop.weights(2).with_name("serving.py").open("a") as code:
        code.write("\nimport this\n")
    return 2


def statement_gone(shop: Shop) -> int:
    shop.statement(2).unlink()
    return 2


def statement_with_a_changed_verdict(shop: Shop) -> int:
    kept = shop.statement(2)
    envelope = json.loads(kept.read_text())
    payload = base64.b64decode(envelope["payload"]).replace(b"demo-v1", b"best-v9")
    envelope["payload"] = base64.b64encode(payload).decode()
    kept.write_text(json.dumps(envelope))
    return 2


def statement_signed_again_after_a_change(shop: Shop) -> int:
    def longer(told: dict[str, Any]) -> None:
        told["predicate"]["retention"]["reauditDue"] = "2036-01-01T00:00:00Z"

    shop.statement(2).write_bytes(shop.signed(longer))
    return 2


def statement_of_another_model(shop: Shop) -> int:
    def about_another(told: dict[str, Any]) -> None:
        told["subject"][0]["digest"]["sha256"] = "ab" * 32

    shop.statement(2).write_bytes(shop.signed(about_another))
    return 2


def statement_by_a_key_of_the_attackers(shop: Shop) -> int:
    own = shop.home.root.parent / "attacker"
    key = keyring.new(Home(own), role="executor", days=30, demo=True)
    shop.statement(2).write_bytes(signing.sign(shop.world.statement, key))
    return 2


def key_expired_before_the_event(shop: Shop) -> int:
    trust = json.loads(shop.home.trust.read_text())
    for key in trust["keys"].values():
        key |= {"not_before": "2020-01-01T00:00:00+00:00", "not_after": "2021-01-01T00:00:00+00:00"}
    shop.home.trust.write_text(json.dumps(trust))
    return 2


def key_of_another_role(shop: Shop) -> int:
    trust = json.loads(shop.home.trust.read_text())
    for key in trust["keys"].values():
        key["role"] = "reviewer"
    shop.home.trust.write_text(json.dumps(trust))
    return 2


def verdict_tag_on_the_model_before(shop: Shop) -> int:
    shop.tag(1, "damp.verdict", "PASSED")
    shop.alias("champion", 1)
    return 1


def tags_copied_to_a_new_version_of_the_model_before(shop: Shop) -> int:
    with shop.client() as client:
        source = str(client.get_model_version(NAME, "1").source)
    made = shop.copied(2, source=source)
    shop.alias("champion", made)
    return made


def a_copy_of_the_version_with_all_its_tags(shop: Shop) -> int:
    made = shop.copied(2)
    shop.alias("champion", made)
    return made


def tags_that_name_another_event(shop: Shop) -> int:
    shop.tag(2, "damp.event_id", OTHER)
    return 2


def tags_that_name_another_parent(shop: Shop) -> int:
    shop.tag(2, "damp.parent_version", "7")
    return 2


def tags_that_name_other_data(shop: Shop) -> int:
    shop.tag(2, "damp.data_version", "0" * 32 + ".dir")
    return 2


def ledger_without_the_statement(shop: Shop) -> int:
    lines = shop.home.ledger.read_text().splitlines(keepends=True)
    shop.home.ledger.write_text("".join(lines[:4]))
    return 2


WAYS = [
    alias_to_the_model_before,
    another_alias_to_the_model_before,
    no_alias_at_all,
    weights_replaced_by_the_model_before,
    weights_and_their_tag_replaced,
    weights_gone,
    specification_that_brings_the_class_back,
    serving_code_replaced,
    statement_gone,
    statement_with_a_changed_verdict,
    statement_signed_again_after_a_change,
    statement_of_another_model,
    statement_by_a_key_of_the_attackers,
    key_expired_before_the_event,
    key_of_another_role,
    verdict_tag_on_the_model_before,
    tags_copied_to_a_new_version_of_the_model_before,
    a_copy_of_the_version_with_all_its_tags,
    tags_that_name_another_event,
    tags_that_name_another_parent,
    tags_that_name_other_data,
    ledger_without_the_statement,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.replace("_", " "))
def test_a_way_round_the_gate_is_named_and_leads_nowhere(
    way: Callable[[Shop], int], shop: Shop
) -> None:
    version = way(shop)
    assert shop.problems() != []
    before = registration.champion(shop.home, NAME)
    with pytest.raises((GateError, RegistryError)):
        promote.promote(shop.home, NAME, version)
    assert registration.champion(shop.home, NAME) == before


def test_a_deleted_version_is_missed(shop: Shop) -> None:
    with shop.client() as client:
        client.delete_model_version(NAME, "2")
    assert any("has no such version" in problem for problem in shop.problems())


def test_a_renamed_model_is_missed(shop: Shop) -> None:
    with shop.client() as client:
        client.rename_registered_model(NAME, "numbers")
    assert any("deleted or renamed" in problem for problem in shop.problems())


def test_old_weights_that_were_purged_are_not_missed(shop: Shop) -> None:
    shop.weights(1).unlink()
    assert any("weights are gone" in problem for problem in shop.problems())
    Ledger(shop.home.ledger).append("artefacts_purged", EVENT, {"artefacts": []})
    assert shop.problems() == []


def test_a_database_from_before_the_event_is_noticed(shop: Shop, empty_registry: Path) -> None:
    shutil.copy(empty_registry, shop.home.mlflow_db)
    tracking._client.cache_clear()
    assert any("older copy of the database" in problem for problem in shop.problems())


def test_the_old_weights_under_another_name_are_named(shop: Shop) -> None:
    with shop.client() as client:
        client.create_registered_model("innocent")
        source = str(client.get_model_version(NAME, "1").source)
        with tracking.as_default(client):
            client.create_model_version("innocent", source=source, await_creation_for=0)
        client.set_registered_model_alias("innocent", "champion", "1")
    assert any("very weights that an event was to make forget" in p for p in shop.problems())


def test_models_of_others_are_left_alone(shop: Shop) -> None:
    with shop.client() as client:
        client.create_registered_model("weather")
        client.create_model_version("weather", source="/elsewhere", await_creation_for=0)
        client.set_registered_model_alias("weather", "champion", "1")
    found = gate.audit_registry(shop.home)
    assert [(each.kind, each.problems) for each in found if each.name == "weather"] == [
        ("foreign", ())
    ]


def test_an_alias_that_was_moved_by_hand_is_put_back(shop: Shop) -> None:
    shop.alias("champion", 1)
    assert promote.promote(shop.home, NAME, 2).problems == ()
    assert registration.champion(shop.home, NAME) == 2
    assert shop.problems() == []


def test_a_version_without_its_promotion_in_the_ledger_is_entered_by_promote(shop: Shop) -> None:
    """As when the policy waits for a sign-off: the event has passed, nobody has promoted it yet."""
    lines = shop.home.ledger.read_text().splitlines(keepends=True)
    shop.home.ledger.write_text("".join(lines[:5]))  # up to the signed statement
    assert shop.problems() == []  # the alias is between its move and its entry: `damp run` goes on
    assert promote.promote(shop.home, NAME, 2).problems == ()
    kinds = [entry["kind"] for entry in Ledger(shop.home.ledger).entries()]
    assert kinds[-2:] == ["model_promoted", "event_closed"]


def test_a_signature_that_came_later_is_brought_to_the_registry(shop: Shop) -> None:
    reviewer = keyring.new(shop.home, role="reviewer", days=30, demo=True)
    here = Attempt(shop.home, EVENT, 1).statement
    here.parent.mkdir(parents=True)
    here.write_bytes(signing.countersign(shop.world.attempt.statement.read_bytes(), reviewer))
    assert promote.promote(shop.home, NAME, 2).problems == ()
    assert shop.statement(2).read_bytes() == here.read_bytes()
    assert shop.problems() == []


def test_a_statement_of_another_event_is_not_brought_along(shop: Shop) -> None:
    here = Attempt(shop.home, EVENT, 1).statement
    here.parent.mkdir(parents=True)

    def longer(told: dict[str, Any]) -> None:
        told["predicate"]["retention"]["reauditDue"] = "2036-01-01T00:00:00Z"

    here.write_bytes(shop.signed(longer))
    kept = shop.statement(2).read_bytes()
    promote.promote(shop.home, NAME, 2)
    assert shop.statement(2).read_bytes() == kept


def test_the_commands_say_what_is_wrong_and_what_to_do(shop: Shop, damp: Damp) -> None:
    assert damp("audit-registry").code == 0
    told = damp("audit-registry", "--json").json()
    assert [(each["version"], each["problems"]) for each in told] == [(1, []), (2, [])]
    shop.alias("champion", 1)
    told = damp("audit-registry")
    assert told.code == 1
    assert "moved past the gate" in told.out
    assert f"damp promote {NAME}/2" in told.out
    damp("promote", f"{NAME}/1").refused("no event made it", "Nothing was moved")
    assert damp("promote", f"{NAME}/2").code == 0
    assert damp("audit-registry").code == 0


def test_lineage_is_drawn_as_a_tree(shop: Shop, damp: Damp, tmp_path: Path) -> None:
    told = damp("lineage", NAME)
    assert told.code == 0
    for word in ("version 1", "version 2", "champion", "PASSED", EVENT[:8]):
        assert word in told.out
    tree = damp("lineage", NAME, "--json").json()
    assert [(each["version"], each["parent"]) for each in tree] == [(1, None), (2, 1)]
    picture = tmp_path / "lineage.svg"
    assert damp("lineage", NAME, "--svg", picture).code == 0
    assert "<title" in picture.read_text()
    damp("lineage", "nothing").refused("No model 'nothing' is registered")
