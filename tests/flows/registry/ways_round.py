"""What somebody who can write to the registry could do to make an alias look deserved."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from typing import Any

import torch

from compliance.ledger import Ledger, checkpoint
from compliance.signing import envelope as signing
from flows import models
from flows.registry import (
    reaudits,
    registration,
)
from flows.state import keyring
from flows.state.files import canonical, digest_file
from flows.state.paths import Home
from tests.flows.registry.shops import (
    MODEL,
    OTHER,
    Shop,
)
from tests.flows.registry.weights_brought_back import UNDER_ANOTHER_NAME
from tests.flows.world import EVENT, until_signature


def alias_to_the_model_before(shop: Shop) -> int:
    shop.alias("champion", 1)
    return 1


def another_alias_to_the_model_before(shop: Shop) -> int:
    shop.alias("production", 1)
    return 1


def no_alias_at_all(shop: Shop) -> int:
    shop.remove_alias("champion")
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
    payload = base64.b64decode(envelope["payload"]).replace(b"demo-v3", b"best-v9")
    envelope["payload"] = base64.b64encode(payload).decode()
    kept.write_text(json.dumps(envelope))
    return 2


def statement_signed_again_after_a_change(shop: Shop) -> int:
    def longer(statement: dict[str, Any]) -> None:
        statement["predicate"]["retention"]["reauditDue"] = "2036-01-01T00:00:00Z"

    shop.statement(2).write_bytes(shop.signed(longer))
    return 2


def statement_of_another_model(shop: Shop) -> int:
    def about_another(statement: dict[str, Any]) -> None:
        statement["subject"][0]["digest"]["sha256"] = "ab" * 32

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
    copy = shop.copied(2, source=shop.version(1).source)
    shop.alias("champion", copy)
    return copy


def a_copy_of_the_version_with_all_its_tags(shop: Shop) -> int:
    copy = shop.copied(2)
    shop.alias("champion", copy)
    return copy


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
    shop.home.ledger.write_text(until_signature(shop.home.ledger, signed=False))
    return 2


# Files beside the weights


def weights_replaced_by_the_ones_before_and_their_tag(shop: Shop) -> int:
    sha256 = digest_file(shop.weights(1))
    shutil.copy(shop.weights(1), shop.weights(2))
    shop.tag(2, "damp.weights_sha256", sha256)
    return 2


def a_promoted_version_that_says_it_is_a_base_model(shop: Shop) -> int:
    shutil.copy(shop.disguised(), shop.weights(2))
    shop.tag(2, "damp.weights_sha256", digest_file(shop.weights(2)))
    shop.tag(2, "damp.kind", "base")
    for key in ("event_id", "attempt", "verdict", "statement_sha256", "parent_version"):
        shop.untag(2, f"damp.{key}")
    return 2


def a_description_that_names_other_weights(shop: Shop) -> int:
    described(shop, "weights.safetensors", "../other.safetensors")
    return 2


def a_description_that_names_other_code(shop: Shop) -> int:
    described(shop, "mlflow.pyfunc.loaders.code_model", "antigravity")
    return 2


def described(shop: Shop, old: str, new: str) -> None:
    path = shop.beside(2, "MLmodel")
    text = path.read_text() if path.exists() else f"flavors: {{python_function: {{a: {old}}}}}"
    path.write_text(text.replace(old, new))


def a_second_file_of_weights(shop: Shop) -> int:
    path = shop.beside(2, "more") / "weights.safetensors"
    path.parent.mkdir()
    shutil.copy(shop.weights(1), path)
    return 2


def requirements_that_install_something_else(shop: Shop) -> int:
    shop.beside(2, "requirements.txt").write_text("damp-unlearning==1.0\nantigravity\n")
    return 2


def an_environment_that_installs_something_else(shop: Shop) -> int:
    shop.beside(2, "python_env.yaml").write_text("python: 3.11.1\ndependencies:\n- antigravity\n")
    return 2


def files_served_from_elsewhere(shop: Shop) -> int:
    shop.serve_from(2, shop.weights(1).parent.as_uri())
    return 2


# Specification and lineage, edited in two places


def specified(shop: Shop, key: str, value: Any, tag: str) -> int:
    path = shop.beside(2, "spec.json")
    path.write_bytes(canonical(json.loads(path.read_text()) | {key: value}))
    shop.tag(2, f"damp.{key}", tag)
    return 2


def retired_outputs_edited_with_their_specification(shop: Shop) -> int:
    return specified(shop, "retired", [], "[]")


def architecture_edited_with_its_specification(shop: Shop) -> int:
    return specified(shop, "architecture", "os:abort", "os:abort")


def outputs_edited_with_their_specification(shop: Shop) -> int:
    return specified(shop, "classes", 11, "11")


def a_parent_that_is_not_the_model_before(shop: Shop) -> int:
    torch.manual_seed(6)
    sha256 = models.save_weights(models.build("damp:cnn", 10, (1, 8, 8)), shop.weights(1), {})
    shop.tag(1, "damp.weights_sha256", sha256)
    return 2


def a_base_model_that_claims_a_parent(shop: Shop) -> int:
    shop.tag(1, "damp.parent_version", "2")
    return 1


def the_model_before_as_another_base_model(shop: Shop) -> int:
    data = shop.world.predicate["inputs"]["dataAfter"]["version"]
    base = registration.register_base(
        shop.home, weights=shop.disguised(), data_version=data, **MODEL
    )
    shop.alias("champion", base.version)
    shop.promotion(base.version)
    return base.version


def the_model_before_in_production(shop: Shop) -> int:
    shop.stage(1, "Production")
    return 1


def an_alias_of_a_version_that_is_gone(shop: Shop) -> int:
    shop.dangling("production", 7)
    return 7


# Entries of the ledger, which nobody has signed


def reaudit(shop: Shop, verdict: str, signature: str = "") -> dict[str, Any]:
    number = shop.world.attempts
    body: dict[str, Any] = {"attempt": number, "verdict": verdict, "findings": "ab" * 32}
    Ledger(shop.home.ledger).append("reaudited", EVENT, body | {"signed": signature})
    return body


def a_failed_reaudit_that_an_appended_pass_hides(shop: Shop) -> int:
    reaudit(shop, "FAILED")
    reaudit(shop, "PASSED")
    return 2


def a_failed_reaudit_that_a_pass_signed_before_hides(shop: Shop) -> int:
    body = {"attempt": shop.world.attempts, "verdict": "PASSED", "findings": "ab" * 32}
    earlier = reaudits.sign(shop.home, EVENT, shop.key(), model="cd" * 32, body=body)
    reaudit(shop, "FAILED")
    reaudit(shop, "PASSED", earlier)
    return 2


def a_failed_reaudit_that_was_cut_off_behind_a_checkpoint(shop: Shop) -> int:
    reaudit(shop, "FAILED")
    lines = Ledger(shop.home.ledger).lines()
    head = checkpoint.of(Ledger(shop.home.ledger).position()["origin"], lines)
    shop.home.checkpoints.mkdir()
    note = checkpoint.sign(head, shop.key())
    (shop.home.checkpoints / f"{head.size:08d}.txt").write_text(note)
    shop.home.ledger.write_bytes(b"".join(line + b"\n" for line in lines[:-1]))
    return 2


def a_second_plan_that_asks_for_nobody(shop: Shop) -> int:
    attacker = Home(shop.home.root.parent / "attacker")
    key = keyring.new(attacker, role="executor", days=30, demo=True)
    return shop.successor(key, shop.disguised(), signoffs=[])


def a_fork_whose_promotion_was_appended(shop: Shop) -> int:
    torch.manual_seed(7)
    weights = shop.aside("fork.safetensors")
    models.save_weights(models.build("damp:cnn", 10, (1, 8, 8)), weights, {})
    key = shop.key()
    return shop.successor(key, weights, signoffs=["executor"])


WAYS: list[Callable[[Shop], int | tuple[str, int]]] = [
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
    weights_replaced_by_the_ones_before_and_their_tag,
    a_promoted_version_that_says_it_is_a_base_model,
    a_description_that_names_other_weights,
    a_description_that_names_other_code,
    a_second_file_of_weights,
    requirements_that_install_something_else,
    an_environment_that_installs_something_else,
    files_served_from_elsewhere,
    retired_outputs_edited_with_their_specification,
    architecture_edited_with_its_specification,
    outputs_edited_with_their_specification,
    a_parent_that_is_not_the_model_before,
    a_base_model_that_claims_a_parent,
    the_model_before_as_another_base_model,
    the_model_before_in_production,
    an_alias_of_a_version_that_is_gone,
    a_failed_reaudit_that_an_appended_pass_hides,
    a_failed_reaudit_that_a_pass_signed_before_hides,
    a_failed_reaudit_that_was_cut_off_behind_a_checkpoint,
    a_second_plan_that_asks_for_nobody,
    a_fork_whose_promotion_was_appended,
    *UNDER_ANOTHER_NAME,
]
