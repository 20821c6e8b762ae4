"""Foreign files, crafted and mutated: taken or refused in words; nothing run, nothing left behind.

The same drivers as `make bench-robustness`, for seconds instead of an hour.
"""

from __future__ import annotations

import json
import os
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.robustness import crafted_models, documents, fuzzing, mutating
from benchmarks.robustness.watching import MARK, Watch
from compliance.signing import load_trust
from flows.state import keyring
from flows.state.errors import ModelError
from flows.state.paths import Attempt, Home

RECORDS = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("decided.py"))))
SEED = 20261124


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    (tmp_path / "watched").mkdir()
    return Watch(folder=tmp_path / "watched")


def nothing_happened(watch: Watch) -> None:
    assert watch.failures == 0, json.dumps(watch.to_json(), indent=1)[:4000]


def test_every_crafted_kind_of_model_is_refused(watch: Watch) -> None:
    fuzzing.crafted_model_files(watch)
    nothing_happened(watch)
    assert watch.taken == 0
    assert watch.refused == {"ModelError": 41}


def test_a_good_model_is_taken(watch: Watch) -> None:
    path = watch.folder / "good.safetensors"
    path.write_bytes(crafted_models.good())
    watch.read("good", lambda: crafted_models.load(path))
    assert watch.taken == 1


def test_mutated_models_are_refused_or_whole(watch: Watch) -> None:
    fuzzing.mutated_models(watch, 60, SEED)
    nothing_happened(watch)
    assert watch.refused["ModelError"] > 30


def test_every_crafted_kind_of_folder_is_refused_or_read(watch: Watch) -> None:
    fuzzing.crafted_folders(watch)
    nothing_happened(watch)
    assert watch.refused["DataError"] >= 20


def test_mutated_pictures_are_refused_or_read(watch: Watch) -> None:
    fuzzing.mutated_pictures(watch, 48, SEED)
    nothing_happened(watch)
    assert watch.refused["DataError"] > 10


@pytest.fixture
def signed(home: Home) -> Attempt:
    """A decided attempt: a good file of every kind."""
    keyring.new(home, role="executor", days=30, demo=True)
    attempt: Attempt = RECORDS.decide(home, RECORDS.put(home))
    return attempt


def kinds(attempt: Attempt) -> list[documents.Document]:
    home = attempt.home
    policy = next(home.root.parent.glob("from-*/policy.yaml"))
    request = RECORDS.REQUEST.format(id="5f0c7c2e-4a53-4d0b-9f3e-1f4f5f0a9c11", regulation="gdpr")
    key, trust = keyring.signing_key(home, "executor"), load_trust(home.trust)
    return [
        *documents.all_of(request, policy, attempt.statement, home.trust, home.ledger),
        *documents.of_the_ledger(home.ledger, key, trust),
        *documents.of_people(),
    ]


def test_the_good_files_are_taken(signed: Attempt, watch: Watch) -> None:
    good = kinds(signed)
    fuzzing.mutated_documents(watch, good, 0, SEED)  # what is imported for them takes its time
    for kind in good:
        path = watch.folder / f"{kind.name}{kind.ending}"
        path.write_bytes(kind.content)
        watch.read(kind.name, lambda kind=kind, path=path: kind.read(path))  # type: ignore[misc]
        path.unlink()
    nothing_happened(watch)
    assert watch.taken == len(good) == 14


def test_mutated_documents_are_refused_or_mean_what_they_say(signed: Attempt, watch: Watch) -> None:
    taken = fuzzing.mutated_documents(watch, kinds(signed), 30, SEED)
    nothing_happened(watch)
    assert taken["statement"] == taken["plan"] == 0
    assert watch.refused["ClaimError"] > 20
    assert watch.refused["RecipeFileError"] > 20
    assert watch.refused["SettingsError"] > 20
    assert sum(watch.refused.values()) > 250


def test_statements_changed_and_signed_anew_break_the_schema_or_contradict_themselves(
    signed: Attempt, watch: Watch
) -> None:
    """A trusted key is not enough: form and consistency are checked after the signature."""
    key = keyring.signing_key(signed.home, "executor")
    (read,) = (kind.read for kind in kinds(signed) if kind.name == "statement")
    fuzzing.signed_statements(watch, signed.statement, key, read, 20, SEED)
    nothing_happened(watch)
    assert watch.refused["ComplianceError"] > 12


# The watch itself sees what must not happen


def test_the_watch_sees_what_is_run(watch: Watch) -> None:
    import pickle

    path = watch.folder / "pickle"
    path.write_bytes(dict(crafted_models.kinds(watch.folder))["pickle"])
    watch.read("pickle", lambda: pickle.loads(path.read_bytes()))  # noqa: S301 - the positive control
    assert watch.executed == ["pickle"]
    assert not (watch.folder / MARK).exists()


def test_the_watch_sees_tracebacks_files_and_waits(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.robustness import watching

    monkeypatch.setattr(watching, "SECONDS", 1)
    monkeypatch.setattr(watching, "PATIENCE", 2)
    os.mkfifo(watch.folder / "pipe")
    watch.read("defect", lambda: 1 / 0)
    watch.read("leaves", lambda: (watch.folder / "left").write_text("x"))
    watch.read("waits", lambda: (watch.folder / "pipe").read_bytes())
    watch.read("works", lambda: all(True for _ in iter(int, 1)))
    watch.read("refuses", lambda: crafted_models.load(watch.folder / "gone"))
    assert len(watch.tracebacks) == 1
    assert watch.left == ["left"]
    assert watch.hangs == ["waits", "works"]
    assert watch.refused == {ModelError.__name__: 1}
    assert watch.failures == 4


def test_mutations_are_the_same_for_the_same_seed() -> None:
    import random

    draws = [random.Random(3), random.Random(3)]
    for content in (b"some bytes", b"", b"x" * 1000):
        one, other = (mutating.of_bytes(content, draw) for draw in draws)
        assert one == other
    trees = [mutating.of_tree({"a": [1, {"b": 2}]}, random.Random(5)) for _ in range(2)]
    assert json.dumps(trees[0]) == json.dumps(trees[1])
