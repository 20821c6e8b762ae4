"""The gate before an alias: what each registered version must show, read byte by byte.

Tags and aliases are what anybody with access to the registry has written. Believed are the bytes
of weights and statement, the signatures on it by trusted keys, and the ledger.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance.ledger import Ledger
from flows.registry import client as tracking
from flows.registry import gate_files, gate_statement, resolve
from flows.registry import versions as registering
from flows.registry.gate_ledger import Known
from flows.state.errors import RegistryError
from flows.state.files import digest_file
from flows.state.paths import Home

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

Facts = dict[str, Any]

BASE, SUCCESSOR, FOREIGN = "base", "successor", "foreign"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One version of a registered model, or its name as a whole, and what is wrong with it.

    Attributes:
        name: Of the registered model.
        version: Number; None for what concerns the name.
        kind: `base`: no event made it; `successor`: an event did; `foreign`: not damp's.
        aliases: That point to it.
        event: The event that made it, "" where none did.
        verdict: Of its valid statement; "" where there is none.
        problems: Each with its remedy; empty where all is well.
    """

    name: str
    version: int | None
    kind: str
    aliases: tuple[str, ...] = ()
    event: str = ""
    verdict: str = ""
    problems: tuple[str, ...] = ()

    def to_json(self) -> Facts:
        return asdict(self) | {"aliases": list(self.aliases), "problems": list(self.problems)}


def audit_registry(home: Home) -> list[Checked]:
    """Every version of every model with what is wrong with it, oldest first.

    Raises:
        RegistryError, ServerError, LedgerError: Registry or ledger cannot be read.
    """
    known = Known(home, Ledger(home.ledger).entries())
    if not tracking.exists(home):
        return _missing_names(known, set())
    with tracking.opened(home) as client:
        names = list(client.search_registered_models())
        found = [each for model in names for each in _of_name(client, known, model)]
    return found + _missing_names(known, {model.name for model in names})


def check(home: Home, name: str, version: int) -> Checked:
    """One version, as `audit_registry` sees it.

    Raises:
        RegistryError: There is none.
    """
    known = Known(home, Ledger(home.ledger).entries())
    with tracking.opened(home) as client:
        resolve.version_of(client, name, str(version))
        model = client.get_registered_model(name)
        found = _of_name(client, known, model)
    return next(each for each in found if each.version == version)


def _of_name(client: MlflowClient, known: Known, model: RegisteredModel) -> list[Checked]:
    versions = sorted(
        client.search_model_versions(f"name = '{model.name}'"), key=lambda v: int(v.version)
    )
    mine = model.name in known.promoted or any(_claims(version) for version in versions)
    found, statements = [], set[str]()
    for version in versions:
        aliases = tuple(
            sorted(a for a, v in model.aliases.items() if int(v) == int(version.version))
        )
        if mine or _claims(version):
            found.append(_of_version(client, known, version, aliases, statements))
        else:
            found.append(_foreign(client, known, version, aliases))
    last = known.promoted.get(model.name)
    there = {str(version.version) for version in versions}
    if last is not None and last["version"] not in there:
        found.append(_gone(model.name, last))
    elif last is not None and resolve.CHAMPION not in model.aliases:
        problem = f"No '{resolve.CHAMPION}': the ledger says version {last['version']}."
        remedy = f"`damp promote {model.name}/{last['version']}` sets it again."
        found.append(
            Checked(name=model.name, version=None, kind="name", problems=(f"{problem} {remedy}",))
        )
    return found


def _claims(version: ModelVersion) -> bool:
    return any(key.startswith("damp.") for key in version.tags)


def _missing_names(known: Known, there: set[str]) -> list[Checked]:
    return [_gone(name, last) for name, last in known.promoted.items() if name not in there]


def _gone(name: str, last: Facts) -> Checked:
    problem = (
        f"The ledger says that version {last['version']} of '{name}' was promoted; the registry "
        "has no such version. It was deleted or renamed, or an older copy of the database was "
        "put back: restore the copy that fits the ledger."
    )
    return Checked(name=name, version=None, kind="name", problems=(problem,))


def _foreign(
    client: MlflowClient, known: Known, version: ModelVersion, aliases: tuple[str, ...]
) -> Checked:
    """A version of others: their business, unless it is a model that has not forgotten."""
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        digest = _foreign_digest(client, version, Path(folder))
    if digest in known.erased:
        problems.append(
            "It holds the very weights that an event was to make forget, under another name. "
            "Delete it, or keep it out of use."
        )
    return Checked(
        name=version.name,
        version=int(version.version),
        kind=FOREIGN,
        aliases=aliases,
        problems=tuple(problems),
    )


def _foreign_digest(client: MlflowClient, version: ModelVersion, folder: Path) -> str | None:
    try:
        model = client.get_logged_model(registering.model_id(version))
        weights = registering.weights_of(client, model, folder)
    except RegistryError:
        return None  # files that damp does not read: nothing can be said about them
    return None if weights is None else digest_file(weights)


def _of_version(
    client: MlflowClient,
    known: Known,
    version: ModelVersion,
    aliases: tuple[str, ...],
    statements: set[str],
) -> Checked:
    kind = version.tags.get("damp.kind", FOREIGN)
    problems: list[str] = []
    verdict = ""
    with tempfile.TemporaryDirectory() as folder:
        weights = gate_files.weights(client, known, version, Path(folder), problems)
        if kind == SUCCESSOR:
            verdict = gate_statement.verdict(
                client, known, version, weights, Path(folder), statements, problems
            )
        elif kind != BASE:
            problems.append("It is not damp's: no statement vouches for it.")
        elif _claimed_by_base(version):
            problems.append("It says that it is a base model, and claims a verdict.")
        elif weights is not None and digest_file(weights) in known.erased and aliases:
            problems.append("It is a model before an event: the class is still in it.")
    problems += _alias_problems(known, version, kind, aliases, verdict)
    return Checked(
        name=version.name,
        version=int(version.version),
        kind=kind,
        aliases=aliases,
        event=version.tags.get("damp.event_id", ""),
        verdict=verdict,
        problems=tuple(problems),
    )


def _claimed_by_base(version: ModelVersion) -> bool:
    return bool({"damp.verdict", "damp.event_id"} & version.tags.keys())


def _alias_problems(
    known: Known, version: ModelVersion, kind: str, aliases: tuple[str, ...], verdict: str
) -> list[str]:
    """An alias says that a model is in use: the ledger must say so too, once it speaks."""
    if not aliases:
        return []
    last = known.promoted.get(version.name)
    told = " and ".join(f"'{alias}'" for alias in aliases)
    if last is not None and last["version"] == str(version.version):
        return []
    if last is not None:
        return [
            f"Alias {told} was moved past the gate: the ledger promoted version "
            f"{last['version']}. `damp promote {version.name}/{last['version']}` puts it back."
        ]
    if kind == BASE:
        return []
    if verdict != "PASSED":
        return [f"Alias {told} points to it without a valid PASSED. Move it to another version."]
    if version.tags.get("damp.event_id") in known.unfinished:
        return []  # between the alias and its entry: `damp run` finishes the event
    return [
        f"Alias {told} was moved past the gate: the ledger knows of no promotion. `damp promote "
        f"{version.name}/{version.version}` checks and enters it."
    ]
