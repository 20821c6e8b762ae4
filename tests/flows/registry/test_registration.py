"""Versions know their parent, data and verdict; the alias moves last; only bytes are believed."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

from damp.aftercare import RetiredOutputs
from flows import models
from flows.registry import mlflow_registry, packing, registration
from flows.registry.interface import LoggedModel
from flows.registry.tags import VersionTags
from flows.state.errors import RegistryError
from flows.state.paths import Home
from flows.state.settings import prepare_environment

# MLflow's own modules warn of a type hint of theirs when `mlflow.pyfunc` is first imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning")

BEFORE, AFTER = "a" * 32 + ".dir", "b" * 32 + ".dir"
MODEL: dict[str, Any] = {
    "architecture": "damp:cnn",
    "classes": 10,
    "input_shape": (1, 8, 8),
    "data_name": "digits",
}
CALLS = [
    "create_run",
    "log_inputs",
    "create_logged_model",
    "log_model_artifacts",
    "finalize_logged_model",
    "log_outputs",
    "log_artifact",
    "log_batch",
    "set_terminated",
    "create_model_version",
    "set_logged_model_tags",
    "set_registered_model_alias",
]
"""Every call that changes something where the parent is there, in the order they are made."""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty registry, made once: MLflow takes seconds to make its tables."""
    root = tmp_path_factory.mktemp("fresh")
    with mock.patch.dict(os.environ):  # other tests prepare their own
        prepare_environment(root)
        with mlflow_registry.opened(Home(root)) as registry:
            registry.models()
        yield root / "mlflow.db"


@pytest.fixture(scope="module")
def home(fresh: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    root = tmp_path_factory.mktemp("registry")
    shutil.copy(fresh, root / "mlflow.db")
    return Home(root)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of three models, a report and a statement."""
    folder = tmp_path_factory.mktemp("files")
    for number in range(3):
        torch.manual_seed(number)
        network = models.build("damp:cnn", 10, (1, 8, 8))
        models.save_weights(network, folder / f"{number}.safetensors", {})
    (folder / "report.html").write_text("<p>report</p>")
    (folder / "statement.dsse.json").write_text("{}")
    return folder


class Shop:
    """Registers under a name that no other test uses."""

    def __init__(self, home: Home, files: Path, name: str) -> None:
        self.home, self.files, self.name = home, files, name

    def weights(self, number: int) -> Path:
        return self.files / f"{number}.safetensors"

    def base(self, **changed: Any) -> registration.Registered:
        facts = {"weights": self.weights(0), "data_version": BEFORE, **MODEL, **changed}
        return registration.register_base(self.home, name=self.name, **facts)

    def successor(self, **changed: Any) -> registration.Registered:
        facts = {
            "name": self.name,
            "parent_version": 1,
            "event": f"event-of-{self.name}",
            "attempt": 1,
            "weights": self.weights(1),
            "statement": self.files / "statement.dsse.json",
            "report": self.files / "report.html",
            "verdict": "PASSED",
            "data_before": BEFORE,
            "data_after": AFTER,
            "retired": [8],
            "move_alias": True,
            "metrics": {"few_shot.1/penultimate": 0.5},
            "description": "**PASSED**",
            **MODEL,
            **changed,
        }
        return registration.register_successor(self.home, **facts)

    def champion(self) -> int | None:
        return registration.champion(self.home, self.name)

    def tags(self, version: int) -> dict[str, str]:
        with mlflow_registry.opened(self.home) as registry:
            return dict(registry.client.get_model_version(self.name, str(version)).tags)


numbers = itertools.count()


@pytest.fixture
def shop(home: Home, files: Path) -> Shop:
    return Shop(home, files, f"model-{next(numbers)}")


def test_the_first_base_model_becomes_the_champion_and_the_second_does_not(shop: Shop) -> None:
    first, second = shop.base(), shop.base(weights=shop.weights(1))
    assert (first.version, second.version) == (1, 2)
    assert shop.champion() == 1


def test_the_same_base_model_is_registered_once(shop: Shop) -> None:
    assert shop.base() == shop.base()
    with pytest.raises(RegistryError, match=r"differs in damp\.architecture"):
        shop.base(architecture="damp:vit")


def test_a_successor_that_passed_becomes_the_champion(shop: Shop) -> None:
    shop.base()
    successor = shop.successor()
    assert successor.version == 2
    assert shop.champion() == 2
    assert successor.to_json()["model_id"].startswith("m-")


@pytest.mark.parametrize("verdict", ["FAILED", "INCONCLUSIVE"])
def test_a_successor_that_did_not_pass_is_kept_and_never_the_champion(
    shop: Shop, verdict: str
) -> None:
    shop.base()
    with pytest.raises(RegistryError, match=f"is {verdict}: its model cannot become"):
        shop.successor(verdict=verdict)
    assert shop.successor(verdict=verdict, move_alias=False).version == 2
    assert shop.champion() == 1


def test_a_version_says_where_it_is_from(shop: Shop) -> None:
    shop.base()
    shop.successor()
    assert shop.tags(2) == {
        "damp.kind": "successor",
        "damp.parent_version": "1",
        "damp.event_id": f"event-of-{shop.name}",
        "damp.attempt": "1",
        "damp.data_before": BEFORE,
        "damp.data_version": AFTER,
        "damp.statement_sha256": hashlib.sha256(b"{}").hexdigest(),
        "damp.weights_sha256": hashlib.sha256(shop.weights(1).read_bytes()).hexdigest(),
        "damp.architecture": "damp:cnn",
        "damp.classes": "10",
        "damp.input_shape": "[1, 8, 8]",
        "damp.retired": "[8]",
        "damp.verdict": "PASSED",
    }


def test_the_run_leads_from_the_parent_model_and_both_data_versions_to_the_new_model(
    shop: Shop,
) -> None:
    base, successor = shop.base(), shop.successor()
    with mlflow_registry.opened(shop.home) as registry:
        run = registry.client.get_run(successor.run_id)
        kept = {file.path for file in registry.client.list_artifacts(successor.run_id)}
        files = {
            file.path for file in registry.client.list_logged_model_artifacts(successor.model_id)
        }
        model = registry.client.get_logged_model(successor.model_id)
    assert [taken.model_id for taken in run.inputs.model_inputs] == [base.model_id]
    assert [output.model_id for output in run.outputs.model_outputs] == [successor.model_id]
    assert run.data.metrics == {"few_shot.1/penultimate": 0.5}
    assert run.data.tags["mlflow.note.content"] == "**PASSED**"
    data = {
        taken.tags[0].value: (taken.dataset.name, taken.dataset.digest)
        for taken in run.inputs.dataset_inputs
    }
    assert data == {"before": ("digits", BEFORE), "after": ("digits", AFTER)}
    assert run.info.status == "FINISHED"
    assert kept == {"report.html", "statement.dsse.json"}
    assert {"MLmodel", "weights.safetensors", "spec.json", "serving.py"} <= files
    assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": shop.name, "version": "2"}]


def test_no_file_of_a_model_tells_of_this_machine(shop: Shop) -> None:
    folder = registration.resolve(shop.home, f"{shop.name}/{shop.base().version}").weights.parent
    texts = [file.read_text() for file in folder.iterdir() if file.suffix != ".safetensors"]
    assert not [text for text in texts if str(shop.files) in text or str(Path.cwd()) in text]


def test_a_second_call_finds_the_first(shop: Shop) -> None:
    shop.base()
    assert shop.successor() == shop.successor()
    with mlflow_registry.opened(shop.home) as registry:
        assert len(registry.client.search_model_versions(f"name = '{shop.name}'")) == 2


def test_another_attempt_is_another_version(shop: Shop) -> None:
    shop.base()
    shop.successor(verdict="FAILED", move_alias=False)
    assert shop.successor(attempt=2, weights=shop.weights(2)).version == 3
    assert shop.champion() == 3


def test_other_bytes_for_the_same_attempt_are_refused(shop: Shop) -> None:
    shop.base()
    shop.successor()
    with pytest.raises(RegistryError, match=r"differs in damp\.weights_sha256"):
        shop.successor(weights=shop.weights(2))


def test_an_alias_that_another_event_has_moved_stays(shop: Shop) -> None:
    shop.base()
    shop.successor()
    with pytest.raises(RegistryError, match="is now version 2"):
        shop.successor(event="late", weights=shop.weights(2))
    assert shop.champion() == 2


def test_a_late_repetition_does_not_take_the_alias_back(shop: Shop) -> None:
    shop.base()
    shop.successor()
    shop.successor(event="next", parent_version=2, weights=shop.weights(2), retired=[3, 8])
    assert shop.champion() == 3
    assert shop.successor().version == 2
    assert shop.champion() == 3


def test_a_parent_that_is_not_there_is_named(shop: Shop) -> None:
    shop.base()
    with pytest.raises(RegistryError, match=r"has no version 7\. It has: 1\."):
        shop.successor(parent_version="7")


class KilledError(Exception):
    """As if the process ended here."""


def dying(call: Callable[..., Any], *, after: bool) -> Callable[..., Any]:
    def die(*args: Any, **keywords: Any) -> None:
        if after:
            call(*args, **keywords)
        raise KilledError

    return die


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", CALLS)
def test_a_registration_that_was_killed_is_completed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, call: str, after: bool
) -> None:
    from mlflow import MlflowClient

    base = shop.base()
    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, call, dying(getattr(MlflowClient, call), after=after))
        with pytest.raises(KilledError):
            shop.successor()
    if call != "set_registered_model_alias":
        assert shop.champion() == 1

    successor = shop.successor()
    assert (successor.version, shop.champion()) == (2, 2)
    assert_whole(shop, successor, base)


def assert_whole(
    shop: Shop, successor: registration.Registered, base: registration.Registered
) -> None:
    """One run, one model, one version, all linked, whatever came before."""
    with mlflow_registry.opened(shop.home) as registry:
        experiment = registry.experiment()
        runs = registry.client.search_runs(
            [experiment], f"tags.`damp.event_id` = 'event-of-{shop.name}'"
        )
        left = registry.client.search_logged_models(
            [experiment], filter_string=f"source_run_id = '{successor.run_id}'"
        )
        run = registry.client.get_run(successor.run_id)
    assert [run.info.run_id for run in runs] == [successor.run_id]
    assert [model.model_id for model in left] == [successor.model_id]
    assert [taken.model_id for taken in run.inputs.model_inputs] == [base.model_id]
    assert [output.model_id for output in run.outputs.model_outputs] == [successor.model_id]
    assert len(run.inputs.dataset_inputs) == 2
    assert registration.resolve(shop.home, f"{shop.name}/2").weights.is_file()


@pytest.mark.parametrize("call", ["create_experiment", "create_registered_model"])
def test_a_first_registration_that_was_killed_is_completed(
    fresh: Path, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    from mlflow import MlflowClient

    shutil.copy(fresh, tmp_path / "mlflow.db")
    shop = Shop(Home(tmp_path), files, "first")
    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, call, dying(getattr(MlflowClient, call), after=True))
        with pytest.raises(KilledError):
            shop.base()
    assert (shop.base().version, shop.champion()) == (1, 1)


def test_a_name_and_an_alias_or_a_number_lead_to_checked_weights(shop: Shop) -> None:
    shop.base()
    successor = shop.successor()
    resolved = registration.resolve(shop.home, f"{shop.name}@champion")
    assert resolved == registration.resolve(shop.home, f"{shop.name}/2")
    assert resolved.weights.read_bytes() == shop.weights(1).read_bytes()
    assert resolved.sha256 == hashlib.sha256(shop.weights(1).read_bytes()).hexdigest()
    assert (resolved.architecture, resolved.classes, resolved.input_shape) == (
        "damp:cnn",
        10,
        (1, 8, 8),
    )
    assert (resolved.data_version, resolved.retired, resolved.model_id) == (
        AFTER,
        (8,),
        successor.model_id,
    )
    assert json.loads(json.dumps(resolved.to_json()))["retired"] == [8]


def test_weights_that_are_not_the_registered_ones_are_refused(shop: Shop) -> None:
    shop.base()
    weights = registration.resolve(shop.home, f"{shop.name}/1").weights
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(RegistryError, match="not the ones that were registered: sha256"):
        registration.resolve(shop.home, f"{shop.name}@champion")
    weights.unlink()
    with pytest.raises(RegistryError, match="are gone"):
        registration.resolve(shop.home, f"{shop.name}@champion")


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        ("damp.classes", "ten"),
        ("damp.retired", "{"),
        ("damp.retired", "[" * 3000),
        ("damp.input_shape", "1"),
        ("damp.classes", ""),
    ],
)
def test_damaged_tags_are_refused(shop: Shop, tag: str, value: str) -> None:
    shop.base()
    with mlflow_registry.opened(shop.home) as registry:
        registry.client.set_model_version_tag(shop.name, "1", tag, value)
    with pytest.raises(RegistryError, match=r"The tags of version 1 .* are damaged"):
        registration.resolve(shop.home, f"{shop.name}/1")


def test_a_version_that_somebody_else_registered_is_refused(shop: Shop) -> None:
    with mlflow_registry.opened(shop.home) as registry:
        registry.client.create_registered_model(shop.name)
        registry.client.create_model_version(shop.name, source="/elsewhere", await_creation_for=0)
    with pytest.raises(RegistryError, match="was not registered by damp"):
        registration.resolve(shop.home, f"{shop.name}/1")


def test_a_reference_to_nothing_says_what_there_is(shop: Shop) -> None:
    shop.base()
    for reference, reason in {
        "nothing@champion": f"No model 'nothing' is registered. There are: .*{shop.name}",
        f"{shop.name}@best": "has no alias 'best'. It has: champion",
        f"{shop.name}/4": "has no version 4. It has: 1",
        f"{shop.name}/0": "names no registered model",
        shop.name: "names no registered model",
        "x' or name = 'y@champion": "names no registered model",
    }.items():
        with pytest.raises(RegistryError, match=reason):
            registration.resolve(shop.home, reference)


def test_reading_makes_no_registry(tmp_path: Path) -> None:
    home = Home(tmp_path / "empty")
    assert registration.champion(home, "digits") is None
    with pytest.raises(RegistryError, match="There is no registry"):
        registration.resolve(home, "digits@champion")
    assert not home.root.exists()


@pytest.mark.parametrize("name", ["", "a/b", "a@b", "it's", "../up", "x" * 101])
def test_a_name_that_could_not_be_asked_for_is_refused(shop: Shop, name: str) -> None:
    shop.name = name
    with pytest.raises(RegistryError, match="cannot name a model"):
        shop.base()


def test_the_process_keeps_its_own_tracking_uri(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////elsewhere/mlflow.db")
    shop.base()
    assert mlflow.get_tracking_uri() == "sqlite:////elsewhere/mlflow.db"
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
    assert not mlflow.is_tracking_uri_set()
    shop.base(weights=shop.weights(1))
    assert not mlflow.is_tracking_uri_set()


@pytest.fixture
def served(shop: Shop) -> Any:
    import mlflow

    shop.base()
    successor = shop.successor()
    resolved = registration.resolve(shop.home, f"{shop.name}/{successor.version}")
    return mlflow.pyfunc.load_model(str(resolved.weights.parent))


def test_the_served_model_predicts_as_the_weights_do_and_never_a_retired_class(
    shop: Shop, served: Any
) -> None:
    images = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    network, _ = models.load_weights(
        shop.weights(1), architecture="damp:cnn", classes=10, input_shape=(1, 8, 8)
    )
    with torch.inference_mode():
        expected = RetiredOutputs(network, [8])(images).softmax(1).numpy()
    predicted = served.predict(images.numpy())
    np.testing.assert_allclose(predicted, expected, atol=1e-6)
    assert (predicted[:, 8] == 0).all()
    np.testing.assert_allclose(predicted.sum(axis=1), 1, atol=1e-5)


def test_the_served_model_states_what_it_takes(served: Any) -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match="shape"):
        served.predict(np.zeros((2, 1, 9, 9), dtype=np.float32))


def test_a_model_that_forgot_nothing_is_served_with_all_its_outputs(shop: Shop) -> None:
    import mlflow

    shop.base()
    folder = registration.resolve(shop.home, f"{shop.name}/1").weights.parent
    predicted = mlflow.pyfunc.load_model(str(folder)).predict(np.zeros((1, 1, 8, 8), np.float32))
    assert (predicted > 0).all()


def test_nothing_that_is_registered_is_a_pickle(shop: Shop) -> None:
    folder = registration.resolve(shop.home, f"{shop.name}/{shop.base().version}").weights.parent
    assert {file.suffix for file in folder.iterdir()} == {
        "",
        ".safetensors",
        ".json",
        ".py",
        ".txt",
        ".yaml",
    }


def test_weights_elsewhere_are_not_fetched(shop: Shop, tmp_path: Path) -> None:
    with mlflow_registry.opened(shop.home) as registry:
        model = LoggedModel(model_id="m-1", run_id="1", location="s3://bucket/model")
        with pytest.raises(RegistryError, match="only from this machine"):
            registry.model_file(model, packing.WEIGHTS, tmp_path)


def test_a_specification_is_the_same_however_the_retired_classes_are_listed() -> None:
    spec = packing.Spec(architecture="damp:cnn", classes=3, input_shape=(1, 2, 2), retired=(2, 1))
    other = replace(spec, retired=(1, 2, 2))
    assert spec.to_json() == other.to_json()
    assert (
        VersionTags(retired=spec.retired).to_tags() == VersionTags(retired=other.retired).to_tags()
    )


FIRST = """
import sys
from pathlib import Path
from flows.state.paths import Home
from flows.state.settings import prepare_environment
prepare_environment(Path(sys.argv[1]))
from flows.registry import mlflow_registry
with mlflow_registry.opened(Home(Path(sys.argv[1]))) as registry:
    print(registry.experiment())
"""


@pytest.mark.long
def test_processes_that_start_at_once_on_a_fresh_home_all_work(tmp_path: Path) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", FIRST, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        for _ in range(3)
    ]
    printed = [process.communicate(timeout=200)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0]
    assert len(set(printed)) == 1
