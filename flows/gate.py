"""The gate before an alias: what each registered version must show, read byte by byte.

Tags and aliases are what anybody with access to the registry has written. Believed are the bytes
of weights and statement, the signatures on it by trusted keys, and the ledger.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance import signing, states
from compliance.errors import EnvelopeError
from compliance.ledger import Ledger
from compliance.verify import Verification, verify_statement
from flows import packing, registering, resolving, tracking
from flows.errors import GateError, RegistryError
from flows.layout import Attempt, Home
from flows.store import canonical, digest_file

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

Facts = dict[str, Any]

STATEMENT = "statement.dsse.json"
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


@dataclass(slots=True)
class _Known:
    """What the ledger says, read once for a walk through the registry."""

    home: Home
    entries: list[Facts]
    promoted: dict[str, Facts] = field(default_factory=dict)
    plans: dict[tuple[str, int], Facts] = field(default_factory=dict)
    failed_again: dict[str, str] = field(default_factory=dict)
    unfinished: set[str] = field(default_factory=set)
    erased: set[str] = field(default_factory=set)
    purged: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for entry in self.entries:
            body, event = entry["body"], entry["event"]
            if entry["kind"] == "model_promoted":
                self.promoted[body["name"]] = body
            elif entry["kind"] == "plan_registered":
                self.plans[event, body["attempt"]] = body["plan"]
            elif entry["kind"] == "reaudited" and "verdict" in body:
                self.failed_again[event] = "" if body["verdict"] == "PASSED" else entry["time"]
        self.unfinished = {event.id for event in states.pending(self.entries)}
        passed = {
            (entry["event"], entry["body"]["attempt"])
            for entry in self.entries
            if entry["kind"] == "statement_signed" and entry["body"]["verdict"] == "PASSED"
        }
        gone = {e["event"] for e in self.entries if e["kind"] == "artefacts_purged"}
        self.purged = {plan["modelBefore"] for key, plan in self.plans.items() if key[0] in gone}
        self.erased = {self.plans[key]["modelBefore"] for key in passed if key in self.plans}


def audit_registry(home: Home) -> list[Checked]:
    """Every version of every model with what is wrong with it, oldest first.

    Raises:
        RegistryError, ServerError, LedgerError: Registry or ledger cannot be read.
    """
    known = _Known(home, Ledger(home.ledger).entries())
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
    known = _Known(home, Ledger(home.ledger).entries())
    with tracking.opened(home) as client:
        resolving.version_of(client, name, str(version))
        model = client.get_registered_model(name)
        found = _of_name(client, known, model)
    return next(each for each in found if each.version == version)


def promote(home: Home, name: str, version: int) -> Checked:
    """Let the alias `champion` point to a version, and log it: only past all checks.

    Raises:
        GateError: What is wrong with it, all together; nothing was moved.
    """
    with tracking.opened(home) as client:
        _bring_signatures(client, home, resolving.version_of(client, name, str(version)))
    found = check(home, name, version)
    # an alias that was moved past the gate is what a promotion puts right
    problems = [p for p in found.problems if not p.startswith("Alias ")]
    if found.kind != SUCCESSOR:
        problems.append("no event made it, so no statement vouches for it")
    elif found.verdict != "PASSED" and not problems:
        problems.append(f"its verdict is {found.verdict}")
    with tracking.opened(home) as client:
        problems += _order_problems(client, home, name, version)
        if problems:
            raise GateError(
                f"Version {version} of '{name}' cannot become '{resolving.CHAMPION}': "
                f"{'; '.join(p.rstrip('.') for p in problems)}. Nothing was moved; "
                "`damp audit-registry` shows all versions."
            )
        client.set_registered_model_alias(name, resolving.CHAMPION, str(version))
        made = resolving.version_of(client, name, str(version))
    _log(home, made)
    return check(home, name, version)


def _bring_signatures(client: MlflowClient, home: Home, version: ModelVersion) -> None:
    """Put the event's statement beside the version where others have signed it since.

    The same signed bytes with more signatures: `damp approve` adds them to the event's file.
    """
    tags = version.tags
    event, attempt = tags.get("damp.event_id", ""), tags.get("damp.attempt", "")
    if not attempt.isdigit() or event not in {path.name for path in home.events.glob("*")}:
        return
    here = Attempt(home, event, int(attempt)).statement
    with tempfile.TemporaryDirectory() as folder:
        run = client.get_run(str(version.run_id))
        kept = registering.fetched(client, run.info.artifact_uri, STATEMENT, Path(folder))
        if kept is None or not here.is_file() or here.read_bytes() == kept.read_bytes():
            return
        try:
            same = signing.digest(here.read_bytes()) == signing.digest(kept.read_bytes())
        except EnvelopeError:
            return  # one of them is no statement: the check says which
    if same:
        client.log_artifact(str(version.run_id), str(here))
        client.set_model_version_tag(
            version.name, str(version.version), "damp.statement_sha256", digest_file(here)
        )


def _log(home: Home, version: ModelVersion) -> None:
    """Enter the promotion once, as the event flow does, and close what waited for it."""
    tags, attempt = version.tags, int(version.tags["damp.attempt"])
    event, key, ledger = tags["damp.event_id"], f"attempt-{attempt}", Ledger(home.ledger)
    body = {"attempt": attempt, "name": version.name, "version": str(version.version)}
    promoted = body | {"alias": resolving.CHAMPION, "model": tags["damp.weights_sha256"]}
    ledger.append_once("model_promoted", event, key, promoted)
    if states.current(ledger.entries(), event).state is states.State.DEPLOYED:
        verdict = {"attempt": attempt, "verdict": tags["damp.verdict"]}
        ledger.append_once("event_closed", event, key, verdict)


def _order_problems(client: MlflowClient, home: Home, name: str, version: int) -> list[str]:
    """A version may not take the place of one that has forgotten more."""
    last = _Known(home, Ledger(home.ledger).entries()).promoted.get(name)
    if last is None or int(last["version"]) in resolving.ancestry(client, name, version):
        return []
    return [
        f"version {last['version']} was promoted before and this was not made from it, so that "
        "what it has forgotten would come back"
    ]


def _of_name(client: MlflowClient, known: _Known, model: RegisteredModel) -> list[Checked]:
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
    elif last is not None and resolving.CHAMPION not in model.aliases:
        problem = f"No '{resolving.CHAMPION}': the ledger says version {last['version']}."
        remedy = f"`damp promote {model.name}/{last['version']}` sets it again."
        found.append(
            Checked(name=model.name, version=None, kind="name", problems=(f"{problem} {remedy}",))
        )
    return found


def _claims(version: ModelVersion) -> bool:
    return any(key.startswith("damp.") for key in version.tags)


def _missing_names(known: _Known, there: set[str]) -> list[Checked]:
    return [_gone(name, last) for name, last in known.promoted.items() if name not in there]


def _gone(name: str, last: Facts) -> Checked:
    problem = (
        f"The ledger says that version {last['version']} of '{name}' was promoted; the registry "
        "has no such version. It was deleted or renamed, or an older copy of the database was "
        "put back: restore the copy that fits the ledger."
    )
    return Checked(name=name, version=None, kind="name", problems=(problem,))


def _foreign(
    client: MlflowClient, known: _Known, version: ModelVersion, aliases: tuple[str, ...]
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
    known: _Known,
    version: ModelVersion,
    aliases: tuple[str, ...],
    statements: set[str],
) -> Checked:
    kind = version.tags.get("damp.kind", FOREIGN)
    problems: list[str] = []
    verdict = ""
    with tempfile.TemporaryDirectory() as folder:
        weights = _weights(client, known, version, Path(folder), problems)
        if kind == SUCCESSOR:
            verdict = _statement(
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


def _weights(
    client: MlflowClient,
    known: _Known,
    version: ModelVersion,
    folder: Path,
    problems: list[str],
) -> Path | None:
    """The version's weights; what is wrong with the files goes into `problems`."""
    try:
        model = client.get_logged_model(registering.model_id(version))
        weights = registering.weights_of(client, model, folder)
    except RegistryError as error:
        problems.append(str(error))
        return None
    if weights is None:
        if version.tags.get("damp.weights_sha256") not in known.purged:  # `damp purge` says so
            problems.append("Its weights are gone. Restore them from a copy.")
        return None
    if digest_file(weights) != version.tags.get("damp.weights_sha256"):
        problems.append("Its weights are not the ones that were registered. Restore them.")
    if model.source_run_id != version.run_id:
        problems.append("Its files belong to another run than its lineage.")
    problems += _file_problems(client, model, version, folder)
    return weights


def _file_problems(
    client: MlflowClient, model: LoggedModel, version: ModelVersion, folder: Path
) -> list[str]:
    """Specification and serving code: what a loader reads and executes."""
    problems = []
    spec = registering.fetched(client, model.artifact_location, packing.SPEC, folder)
    if spec is None or spec.read_bytes() != _told_spec(version.tags):
        problems.append("Its specification is not the one that was registered.")
    code = registering.fetched(client, model.artifact_location, packing.SERVING, folder)
    ours = Path(__file__).with_name(packing.SERVING).read_bytes()
    if code is None or code.read_bytes() != ours:
        problems.append(
            "Its serving code, which runs when it is loaded, is not this damp's. If another "
            "version of damp has written it, compare with that; else do not load it."
        )
    return problems


def _told_spec(tags: Mapping[str, str]) -> bytes:
    try:
        return canonical(
            {
                "architecture": tags["damp.architecture"],
                "classes": int(tags["damp.classes"]),
                "input_shape": json.loads(tags["damp.input_shape"]),
                "retired": json.loads(tags["damp.retired"]),
            }
        )
    except (KeyError, ValueError):
        return b""


def _statement(
    client: MlflowClient,
    known: _Known,
    version: ModelVersion,
    weights: Path | None,
    folder: Path,
    statements: set[str],
    problems: list[str],
) -> str:
    """The verdict of the version's statement; "" where it has no valid one."""
    run = client.get_run(str(version.run_id))
    kept = registering.fetched(client, run.info.artifact_uri, STATEMENT, folder)
    if kept is None:
        problems.append("It has no statement. Restore it beside its run, from the event's folder.")
        return ""
    told = _verified(known, version, kept, weights)
    problems += [f"Its statement: {problem}" for problem in told.problems]
    if told.statement is None:
        return ""
    problems += _tag_problems(version.tags, told.statement, digest_file(kept))
    predicate = told.statement["predicate"]
    if told.digest in statements:
        problems.append("Another version has this very statement: tags or artifacts were copied.")
    statements.add(told.digest)
    if again := known.failed_again.get(predicate["event"]["id"]):
        problems.append(f"A re-audit at {again} did not pass. Open a new event.")
    return told.verdict


def _verified(
    known: _Known, version: ModelVersion, statement: Path, weights: Path | None
) -> Verification:
    """The statement's check, with the sign-offs that the event's policy asks for."""
    attempt = version.tags.get("damp.attempt", "")
    key = (version.tags.get("damp.event_id", ""), int(attempt) if attempt.isdigit() else 0)
    plan = known.plans.get(key)
    roles = plan["policy"]["signoffs"] if plan else ["executor", "reviewer"]
    home = known.home
    return verify_statement(
        statement, home.trust, model=weights, ledger=home.ledger, roles=tuple(roles)
    )


def _tag_problems(tags: Mapping[str, str], statement: Mapping[str, Any], digest: str) -> list[str]:
    """Tags that say something else than the signed statement."""
    predicate = statement["predicate"]
    signed = {
        "damp.event_id": predicate["event"]["id"],
        "damp.attempt": str(predicate["event"]["attempt"]),
        "damp.verdict": predicate["verdict"]["result"],
        "damp.data_version": predicate["inputs"]["dataAfter"]["version"],
        "damp.data_before": predicate["inputs"]["dataBefore"]["version"],
        "damp.weights_sha256": statement["subject"][0]["digest"]["sha256"],
        "damp.statement_sha256": digest,
    }
    parent = predicate["inputs"]["modelBefore"]["registry"]
    if parent is not None:
        signed["damp.parent_version"] = str(parent["version"])
    return [
        f"Its tag {name} says {tags.get(name, 'nothing')!r}, the signed statement {value!r}."
        for name, value in signed.items()
        if tags.get(name) != value
    ]


def _alias_problems(
    known: _Known, version: ModelVersion, kind: str, aliases: tuple[str, ...], verdict: str
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
