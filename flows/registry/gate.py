"""The gate before an alias: what each registered version must show, read byte by byte.

Tags and aliases are what anybody with access to the registry has written. Believed are the bytes
of weights and statement, the signatures on it by trusted keys, and the ledger. Each version is
checked by itself: one that cannot be read is one finding, and the others are checked all the same.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flows.registry.backend import open_registry, registry_exists
from flows.registry.gate_files import check_files
from flows.registry.gate_ledger import LedgerFacts, Promotion
from flows.registry.gate_statement import StatementCheck, check_statement
from flows.registry.interface import ModelVersion, RegisteredModel, Registry
from flows.registry.packing import WEIGHTS
from flows.registry.resolve import CHAMPION, model_of, version_of
from flows.registry.tags import KIND, VersionTags
from flows.state.errors import FlowError, RegistryError, ServerError
from flows.state.files import digest_file
from flows.state.paths import Home

BASE, SUCCESSOR, FOREIGN, NAME = "base", "successor", "foreign", "name"


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionCheck:
    """One version of a registered model, or its name as a whole, and what is wrong with it.

    Attributes:
        name: Of the registered model.
        version: Number; None for what concerns the name.
        kind: `base`: no event made it; `successor`: an event did; `foreign`: not damp's; `name`.
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

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"aliases": list(self.aliases), "problems": list(self.problems)}


def audit_registry(home: Home) -> list[VersionCheck]:
    """Every version of every model with what is wrong with it, oldest first.

    Raises:
        RegistryError, ServerError, LedgerError: Registry or ledger cannot be read at all.
    """
    ledger = LedgerFacts.read(home)
    if not registry_exists(home):
        return _missing_names(ledger, [])
    with open_registry(home) as registry:
        models = registry.models()
        checks = [check for model in models for check in _check_model(registry, ledger, model)]
    return checks + _missing_names(ledger, models)


def check_version(registry: Registry, ledger: LedgerFacts, name: str, number: int) -> VersionCheck:
    """One version of an open registry; its siblings are read too, whose statement it may have.

    Raises:
        RegistryError: There is none.
    """
    version_of(registry, name, number)
    checks = _check_model(registry, ledger, model_of(registry, name))
    return next(each for each in checks if each.version == number)


def _check_model(
    registry: Registry, ledger: LedgerFacts, model: RegisteredModel
) -> list[VersionCheck]:
    """All versions of a name, then what is wrong with the name itself."""
    try:
        versions = registry.versions(model.name)
    except RegistryError as error:
        return [_of_name(model.name, _unreadable(error))]
    promotion = ledger.promotions.get(model.name)
    ours = promotion is not None or any(version.is_claimed for version in versions)
    statements: set[str] = set()
    checks = []
    for version in versions:
        aliases = model.aliases_of(version.number)
        try:
            checks.append(
                _check_ours(registry, ledger, version, aliases, statements)
                if ours
                else _check_foreign(registry, ledger, version, aliases)
            )
        except ServerError:
            raise  # the registry is gone, and not this version
        except (FlowError, OSError) as error:
            checks.append(_check_unreadable(version, aliases, error))
    if promotion is None:
        return checks
    if promotion.version not in {str(version.number) for version in versions}:
        return [*checks, _missing_version(promotion)]
    if CHAMPION not in model.aliases:
        return [*checks, _missing_alias(promotion)]
    return checks


# The name


def _of_name(name: str, problem: str) -> VersionCheck:
    return VersionCheck(name=name, version=None, kind=NAME, problems=(problem,))


def _missing_names(ledger: LedgerFacts, models: list[RegisteredModel]) -> list[VersionCheck]:
    names = {model.name for model in models}
    return [_missing_version(p) for name, p in ledger.promotions.items() if name not in names]


def _missing_version(promotion: Promotion) -> VersionCheck:
    return _of_name(
        promotion.name,
        f"The ledger says that version {promotion.version} of '{promotion.name}' was promoted; the "
        "registry has no such version. It was deleted or renamed, or an older copy of the database "
        "was put back: restore the copy that fits the ledger.",
    )


def _missing_alias(promotion: Promotion) -> VersionCheck:
    return _of_name(
        promotion.name,
        f"No '{CHAMPION}': the ledger says version {promotion.version}. `damp promote "
        f"{promotion.name}/{promotion.version}` sets it again.",
    )


def _unreadable(error: Exception) -> str:
    return f"It could not be checked: {error}"


def _check_unreadable(
    version: ModelVersion, aliases: tuple[str, ...], error: Exception
) -> VersionCheck:
    """A version that cannot be read: that is its one problem."""
    return VersionCheck(
        name=version.name,
        version=version.number,
        kind=version.raw_tags.get(KIND, FOREIGN),
        aliases=aliases,
        problems=(_unreadable(error),),
    )


# A version of others


def _check_foreign(
    registry: Registry, ledger: LedgerFacts, version: ModelVersion, aliases: tuple[str, ...]
) -> VersionCheck:
    """A version of others: their business, unless it is a model that has not forgotten."""
    problems: tuple[str, ...] = ()
    with tempfile.TemporaryDirectory() as folder:
        digest = _foreign_digest(registry, version, Path(folder))
    if digest in ledger.erased:
        problems = (
            "It holds the very weights that an event was to make forget, under another name. "
            "Delete it, or keep it out of use.",
        )
    return VersionCheck(
        name=version.name, version=version.number, kind=FOREIGN, aliases=aliases, problems=problems
    )


def _foreign_digest(registry: Registry, version: ModelVersion, folder: Path) -> str | None:
    try:
        model = registry.logged_model(version.logged_model_id())
        weights = registry.model_file(model, WEIGHTS, folder)
    except RegistryError:
        return None  # files that damp does not read: nothing can be said about them
    return None if weights is None else digest_file(weights)


# A version of damp's


def _check_ours(
    registry: Registry,
    ledger: LedgerFacts,
    version: ModelVersion,
    aliases: tuple[str, ...],
    statements: set[str],
) -> VersionCheck:
    """All that is wrong with a version of damp's.

    Args:
        statements: Digests of the statements of the versions before; this one's is added.

    Raises:
        FlowError, OSError: It cannot be read.
    """
    tags = version.tags()
    kind = tags.kind or FOREIGN
    statement = StatementCheck()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files = check_files(registry, ledger, version, tags, folder)
        problems = list(files.problems)
        if kind == SUCCESSOR:
            statement = check_statement(
                registry, ledger, version, tags, weights=files.weights, folder=folder
            )
            problems += statement.problems
        elif kind != BASE:
            problems.append("It is not damp's: no statement vouches for it.")
        elif tags.verdict is not None or tags.event is not None:
            problems.append("It says that it is a base model, and claims a verdict.")
        elif files.sha256 in ledger.erased and aliases:
            problems.append("It is a model before an event: the class is still in it.")
    if statement.digest in statements:
        problems.append("Another version has this very statement: tags or artifacts were copied.")
    if statement.digest:
        statements.add(statement.digest)
    problems += _alias_problems(ledger, version, tags, aliases, statement.verdict)
    return VersionCheck(
        name=version.name,
        version=version.number,
        kind=kind,
        aliases=aliases,
        event=tags.event or "",
        verdict=statement.verdict,
        problems=tuple(problems),
    )


def _alias_problems(
    ledger: LedgerFacts,
    version: ModelVersion,
    tags: VersionTags,
    aliases: tuple[str, ...],
    verdict: str,
) -> list[str]:
    """An alias says that a model is in use: the ledger must say so too, once it speaks."""
    if not aliases:
        return []
    last = ledger.promotions.get(version.name)
    names = " and ".join(f"'{alias}'" for alias in aliases)
    if last is not None and last.version == str(version.number):
        return []
    if last is not None:
        return [
            f"Alias {names} was moved past the gate: the ledger promoted version "
            f"{last.version}. `damp promote {version.name}/{last.version}` puts it back."
        ]
    if tags.kind == BASE:
        return []
    if verdict != "PASSED":
        return [f"Alias {names} points to it without a valid PASSED. Move it to another version."]
    if tags.event in ledger.unfinished:
        return []  # between the alias and its entry: `damp run` finishes the event
    return [
        f"Alias {names} was moved past the gate: the ledger knows of no promotion. `damp promote "
        f"{version.name}/{version.number}` checks and enters it."
    ]
