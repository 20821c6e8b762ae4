"""What still holds the class is recognized by its bytes, listed, and deleted only when it may."""

from __future__ import annotations

import json
import os
import runpy
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

from compliance.ledger import Ledger
from flows import models
from flows.data import dvc_metadata, dvc_workspace, loaders
from flows.data import versions as dataversions
from flows.data.dataset import Dataset
from flows.intake import lifecycle
from flows.operations import purge
from flows.records import inventory
from flows.registry import registration
from flows.state import files, locks
from flows.state.errors import BusyError, DataVersionError, EventError
from flows.state.paths import Home
from flows.state.settings import prepare_environment, settings

# MLflow's own modules warn of a type hint of theirs when `mlflow.pyfunc` is first imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning")

DECIDED = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "decided.py")))
Damp = Callable[..., Any]
Refusal = Callable[..., Any]


def noise() -> Dataset:
    generator = torch.Generator().manual_seed(1)
    return Dataset(
        name="digits",
        train_inputs=torch.rand(40, 1, 8, 8, generator=generator),
        train_labels=torch.arange(40) % 10,
        test_inputs=torch.rand(20, 1, 8, 8, generator=generator),
        test_labels=torch.arange(20) % 10,
        classes=10,
        description="forty rows of noise",
    )


@dataclass(frozen=True)
class World:
    """A state folder in which an event has passed, with a real registry and real data versions."""

    home: Home
    event: str
    before: bytes
    versions: tuple[str, str]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Made once: MLflow's tables, DVC's workspace and the base model take seconds."""
    top = tmp_path_factory.mktemp("template")
    home = Home(top / "state")
    with mock.patch.dict(os.environ, {"DAMP_HOME": str(home.root), "DAMP_KEYS": str(top / "keys")}):
        settings.cache_clear()
        prepare_environment(home.root)
        pair = dataversions.before_and_after(noise(), [8], home)
        network = models.build("damp:cnn", 10, (1, 8, 8))
        weights = home.models / "digits-seed-0.safetensors"
        models.save_weights(network, weights, {})
        registration.register_base(
            home,
            name="digits",
            weights=weights,
            architecture="damp:cnn",
            classes=10,
            input_shape=(1, 8, 8),
            data_version=pair[0].version,
            data_name="digits",
        )
        yield World(home, "", weights.read_bytes(), (pair[0].version, pair[1].version))
    settings.cache_clear()


DATABASES = shutil.ignore_patterns("*.db", "*.db-*")
"""Left alone: an open connection would go on reading a file that was replaced."""


@pytest.fixture
def world(template: World) -> Iterator[World]:
    """The template with a closed, passed event; afterwards everything is as it was."""
    home = template.home
    kept = home.root.with_name("kept")
    shutil.copytree(home.root, kept, ignore=DATABASES, copy_function=os.link)
    event = DECIDED.put(home)
    DECIDED.decide(home, event, before=template.before, versions=template.versions)
    lifecycle.close(home, event, reason="in use since today")
    digest = files.digest_bytes(template.before)
    for name, of in (("a" * 64, digest), ("b" * 64, "c" * 64)):
        arrays = {"train_logits": np.zeros((2, 2), np.float32)}
        files.save_arrays(home.observations / f"{name}.safetensors", arrays, {"digest": of})
    yield replace(template, event=event)
    for path in list(home.root.iterdir()):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.suffix != ".db":
            path.unlink()
    shutil.copytree(kept, home.root, dirs_exist_ok=True, copy_function=os.link)
    shutil.rmtree(kept)
    loaders.load.cache_clear()


def shown(world: World) -> dict[str, str]:
    scope = purge.scope_of(world.home, world.event)
    return {f"{a.artefact}: {a.location}": a.status for a in inventory.inventory(world.home, scope)}


def test_everything_that_holds_the_class_is_listed(world: World) -> None:
    short = f"digits-{world.versions[0][:8]}"
    assert shown(world) == {
        "model before, in the registry: digits version 1": "RETAINED",
        f"model before, a file: events/{world.event}/attempt-1/before.safetensors": "RETAINED",
        "model before, a file: models/digits-seed-0.safetensors": "RETAINED",
        "cached activations of the old model: observations, 1 files": "RETAINED",
        "cached activations of other models: observations, 1 files": "RETAINED",
        f"training rows of the class: data version {short}": "RETAINED",
        f"held-out images of the class: data version {world.versions[1][:8]}": "RETAINED",
        "the data set itself: digits": "RETAINED",
        "copies elsewhere: unknown": "UNKNOWN",
    }


def test_what_a_claims_audit_has_left_of_the_original_is_listed(world: World) -> None:
    lines = {
        f"{each.artefact}: {each.location}"
        for each in inventory.of_claim(world.home, purge.scope_of(world.home, world.event))
    }
    assert lines == {
        "model before, in the registry: digits version 1",
        f"model before, a file: events/{world.event}/attempt-1/before.safetensors",
        "model before, a file: models/digits-seed-0.safetensors",
        "cached activations of the old model: observations, 1 files",
        "cached activations of other models: observations, 1 files",
    }


def test_a_copy_under_another_name_is_recognized_by_its_bytes(world: World) -> None:
    hidden = world.home.events / world.event / "attempt-1" / "harmless.safetensors"
    hidden.write_bytes(world.before)
    assert any("harmless" in line for line in shown(world))


def test_a_dry_run_touches_nothing(world: World) -> None:
    before = _contents(world.home)
    planned = purge.plan(world.home, world.event)
    assert sum(one.deletes for one in planned) == 6
    assert all(one.size > 0 for one in planned if one.deletes)
    assert _contents(world.home) == before


def test_what_is_damps_own_is_deleted_and_logged(world: World) -> None:
    home = world.home
    gone = dvc_metadata.forgotten(home, *world.versions)
    assert len(gone) == 1
    assert all(dvc_metadata.cached(home, md5).is_file() for md5 in gone)
    done = purge.purge(home, world.event)
    assert len(done.deleted) == 6
    assert {each.artefact for each in done.left} == {
        "held-out images of the class",
        "the data set itself",
        "copies elsewhere",
    }
    assert not any(dvc_metadata.cached(home, md5).exists() for md5 in gone)
    assert not _holding(home, world.before)
    kinds = [e["kind"] for e in Ledger(home.ledger).of(world.event)][-2:]
    assert kinds == ["purge_started", "artefacts_purged"]
    again = purge.purge(home, world.event)
    assert again.deleted == ()
    assert Ledger(home.ledger).of(world.event)[-1]["kind"] == "artefacts_purged"


def _holding(home: Home, content: bytes) -> list[Path]:
    """Files anywhere in the state folder with exactly these bytes."""
    return [p for p in home.root.rglob("*") if p.is_file() and p.read_bytes() == content]


def _contents(home: Home) -> dict[str, str]:
    return {
        str(path.relative_to(home.root)): files.digest_file(path)
        for path in home.root.rglob("*")
        if path.is_file() and path.suffix not in (".lock", ".db")
    }


def test_the_rows_that_stay_are_untouched(world: World) -> None:
    kept = dvc_metadata.listing(world.home, world.versions[1])
    purge.purge(world.home, world.event)
    assert dvc_metadata.listing(world.home, world.versions[1]) == kept
    for md5 in kept.values():
        assert dvc_metadata.cached(world.home, md5).is_file()
    folder = dvc_workspace.workspace(world.home) / f"digits-{world.versions[1][:8]}"
    assert dvc_workspace.recorded(folder) == world.versions[1]


def test_the_version_stays_in_the_registry_without_its_weights(world: World) -> None:
    from flows.registry import open_registry, version_of
    from flows.state.errors import RegistryError

    purge.purge(world.home, world.event)
    with open_registry(world.home) as registry:
        version = version_of(registry, "digits", 1)
    assert version.raw_tags["damp.purged"] == "true"
    assert version.tags().purged
    with pytest.raises(RegistryError, match="are gone"):
        registration.resolve(world.home, "digits/1")


def test_rows_that_another_version_holds_are_listed_and_kept(world: World) -> None:
    """The successor of an event about another class still has this one's rows."""
    dataversions.before_and_after(noise(), [3], world.home)
    done = purge.purge(world.home, world.event)
    left = [each for each in done.left if each.artefact == "training rows of the class"]
    assert len(left) == 1
    assert "goes with its own event" in left[0].note
    for md5 in dvc_metadata.forgotten(world.home, *world.versions):
        assert dvc_metadata.cached(world.home, md5).is_file()
    assert not (dvc_workspace.workspace(world.home) / f"digits-{world.versions[0][:8]}").exists()


def test_a_purge_that_was_killed_is_finished(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    removed = []
    real = purge._remove

    def dies(home: Home, path: Path) -> None:
        if len(removed) == 2:
            raise KeyboardInterrupt
        removed.append(path)
        real(home, path)

    with monkeypatch.context() as patched:
        patched.setattr(purge, "_remove", dies)
        with pytest.raises(KeyboardInterrupt):
            purge.purge(world.home, world.event)
    done = purge.purge(world.home, world.event)
    assert len(done.deleted) == 6  # what had gone before is listed as well
    assert not _holding(world.home, world.before)


def test_nothing_outside_the_state_folder_is_ever_deleted(world: World, tmp_path: Path) -> None:
    outside = tmp_path / "precious.safetensors"
    outside.write_bytes(world.before)
    link = world.home.events / world.event / "attempt-1" / "linked.safetensors"
    link.symlink_to(outside)
    folder = world.home.events / world.event / "linked-folder"
    folder.symlink_to(tmp_path)
    purged = purge.purge(world.home, world.event)
    assert outside.read_bytes() == world.before
    assert link.is_symlink()
    assert "linked" not in json.dumps(purged.to_json())  # not even listed as a copy


def test_before_the_new_model_is_in_use_nothing_is_deleted(world: World, refused: Any) -> None:
    for verdict, state in (("PASSED", "audited"), ("FAILED", "failed_audit")):
        event = DECIDED.put(world.home)
        DECIDED.decide(world.home, event, verdict=verdict, before=b"x", versions=world.versions)
        with refused(EventError, f"is {state} with verdict {verdict}"):
            purge.purge(world.home, event)
    undecided = DECIDED.put(world.home)
    with refused(EventError, "has no statement yet"):
        purge.purge(world.home, undecided)


def test_while_an_open_event_needs_the_rows_nothing_is_deleted(world: World) -> None:
    other = DECIDED.put(world.home)
    with pytest.raises(EventError, match=f"still need the old model or its rows: {other}"):
        purge.purge(world.home, world.event)
    lifecycle.cancel(world.home, other, reason="withdrawn")
    assert purge.purge(world.home, world.event).deleted


def test_a_dry_run_says_what_keeps_the_event_from_being_purged(world: World, damp: Damp) -> None:
    clean = damp("--home", world.home.root, "purge", "--event", world.event, "--dry-run")
    assert (clean.code, "may not be purged" in clean.out) == (0, False)
    event = DECIDED.put(world.home)
    DECIDED.decide(world.home, event, verdict="FAILED", before=b"x", versions=world.versions)
    refused = damp("--home", world.home.root, "purge", "--event", event, "--dry-run")
    assert refused.code == 0
    assert "It may not be purged now, and nothing was touched:" in refused.out
    assert "is failed_audit with verdict FAILED" in refused.out
    assert "To delete: damp purge" not in refused.out
    page = damp("--home", world.home.root, "purge", "--event", event, "--dry-run", "--json").json()
    assert not page["allowed"]
    assert len(page["obstacles"]) == 1
    both = damp("--home", world.home.root, "purge", "--event", event, "--dry-run", "--yes")
    assert both.code == 1
    assert "give one of them" in both.err


def test_while_an_event_runs_on_the_model_a_purge_is_busy(world: World) -> None:
    with locks.lineage(world.home, "digits"), pytest.raises(BusyError):
        purge.purge(world.home, world.event)


# A cache that others share


@pytest.fixture
def shared_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that this user's configuration names, with a colleague's file in it."""
    cache, folder = tmp_path / "everybodys", tmp_path / "configuration"
    folder.mkdir()
    (folder / "config").write_text(f"[cache]\n    dir = {cache}\n")
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(folder))
    theirs = cache / "files" / "md5" / "12" / "34567890123456789012345678901f"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"a colleague's")
    return cache


def test_a_cache_that_others_share_is_neither_filled_nor_emptied(
    home: Home, shared_cache: Path
) -> None:
    prepare_environment(home.root)
    pair = dataversions.before_and_after(noise(), [8], home)
    gone = dvc_metadata.forgotten(home, pair[0].version, pair[1].version)
    assert [dvc_metadata.cached(home, md5).is_file() for md5 in gone] == [True]
    shutil.rmtree(pair[0].path)
    dvc_workspace.note(pair[0].path).unlink()
    dvc_workspace.collect(home)
    assert [dvc_metadata.cached(home, md5).exists() for md5 in gone] == [False]
    assert [p.read_bytes() for p in shared_cache.rglob("*") if p.is_file()] == [b"a colleague's"]


def test_rows_in_a_cache_that_others_share_are_listed(world: World, shared_cache: Path) -> None:
    """As an older damp left them: all of the workspace's cache is there, none here."""
    own = dvc_workspace.cache_of(world.home)
    shutil.copytree(own, shared_cache, dirs_exist_ok=True)
    shutil.rmtree(own / "files")
    lines = shown(world)
    assert f"training rows of the class, in a cache outside: {shared_cache}" in lines
    assert f"training rows of the class: data version digits-{world.versions[0][:8]}" in lines
    before = sorted(shared_cache.rglob("*"))
    purge.purge(world.home, world.event)
    assert sorted(shared_cache.rglob("*")) == before


@pytest.mark.parametrize("how", ["config", "link"])
def test_a_cache_outside_is_never_collected(home: Home, tmp_path: Path, how: str) -> None:
    prepare_environment(home.root)
    dataversions.before_and_after(noise(), [8], home)
    own, outside = dvc_workspace.cache_of(home), tmp_path / "outside"
    shutil.copytree(own, outside)
    if how == "config":
        (own.parent / "config.local").write_text(f"[cache]\n    dir = {outside}\n")
    else:
        shutil.rmtree(own)
        own.symlink_to(outside)
    before = sorted(outside.rglob("*"))
    with pytest.raises(DataVersionError, match="outside the state folder"):
        dvc_workspace.collect(home)
    assert sorted(outside.rglob("*")) == before


# Copies that are not damp's


def test_a_declared_copy_is_listed_with_the_last_word_on_it(world: World, refused: Any) -> None:
    home, event = world.home, world.event
    backup = {"artefact": "nightly backup", "location": "tape 7"}
    lifecycle.declare(home, event, **backup, status="UNKNOWN")
    lifecycle.declare(home, event, **backup, status="EXPIRES_ON", until="2027-01-31")
    assert shown(world)["nightly backup: tape 7"] == "EXPIRES_ON"
    assert shown(world)["copies elsewhere: unknown"] == "UNKNOWN"
    lifecycle.declare_complete(home, event, role="privacy-desk")
    assert shown(world)["copies elsewhere: none but those listed"] == "DELETED"
    assert "copies elsewhere: unknown" not in shown(world)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"status": "GONE"}, "is no status"),
        ({"status": "EXPIRES_ON"}, "belong together"),
        ({"until": "2027-01-31"}, "belong together"),
        ({"status": "EXPIRES_ON", "until": "soon"}, "is no date"),
        ({"artefact": ""}, "printable"),
        ({"location": "a\x1b"}, "printable"),
    ],
)
def test_a_declaration_that_says_nothing_is_refused(
    home: Home, refused: Refusal, changes: dict[str, str], words: str
) -> None:
    event = DECIDED.put(home)
    declaration = {"artefact": "backup", "location": "tape", "status": "DELETED"} | changes
    with refused(EventError, words):
        lifecycle.declare(home, event, **declaration)


def test_a_role_must_vouch_that_the_list_is_complete(home: Home, refused: Refusal) -> None:
    event = DECIDED.put(home)
    with refused(EventError, "no role"):
        lifecycle.declare_complete(home, event, role="")


# The command line


def test_the_commands_show_first_and_delete_on_yes(world: World, damp: Damp) -> None:
    def run(*arguments: str) -> Any:
        return damp("--home", world.home.root, *arguments)

    dry = run("purge", "--event", world.event)
    assert dry.code == 0, dry.err
    assert "Nothing was touched" in dry.out
    assert "damp purge --event" in dry.out
    done = run("purge", "--event", world.event, "--yes", "--json").json()
    assert len(done["deleted"]) == 6
    assert "nothing left to delete" in run("purge", "--event", world.event, "--yes").out
    assert run("declare", world.event, "--complete", "--role", "desk-a").code == 0
    assert "--artefact" in run("declare", world.event).err
