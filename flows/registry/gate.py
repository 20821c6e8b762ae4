"""The gate before an alias: what each registered version must show, read byte by byte.

Tags and aliases are what anybody with access to the registry has written. Believed are the bytes
of weights and statement, the signatures on it by trusted keys, and the ledger. Each version is
checked by itself: one that cannot be read is one finding, and the others are checked all the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flows.registry.backend import open_registry, registry_exists
from flows.registry.gate_files import FilesCheck, check_files
from flows.registry.gate_ledger import LedgerFacts, Promotion
from flows.registry.gate_statement import StatementCheck, check_statement
from flows.registry.interface import ModelVersion, RegisteredModel, Registry
from flows.registry.old_weights import OldWeights, gather
from flows.registry.resolve import CHAMPION, line_of, model_of, version_of
from flows.registry.tags import KIND, VersionTags
from flows.state.errors import FlowError, RegistryError, ServerError
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
    rewritten = [_of_name("ledger", problem) for problem in ledger.problems]
    if not registry_exists(home):
        return rewritten + _missing_names(ledger, [])
    with open_registry(home) as registry, tempfile.TemporaryDirectory() as folder:
        models = registry.models()
        old = gather(registry, ledger, Path(folder))
        checks = [c for model in models for c in _check_model(registry, ledger, model, old)]
    return rewritten + checks + _missing_names(ledger, models)


def check_version(registry: Registry, ledger: LedgerFacts, name: str, number: int) -> VersionCheck:
    """One version of an open registry; its siblings are read too, whose statement it may have.

    Raises:
        RegistryError: There is none.
    """
    version_of(registry, name, number)
    with tempfile.TemporaryDirectory() as folder:
        old = gather(registry, ledger, Path(folder))
        checks = _check_model(registry, ledger, model_of(registry, name), old)
    return next(each for each in checks if each.version == number)


def _check_model(
    registry: Registry, ledger: LedgerFacts, model: RegisteredModel, old: OldWeights
) -> list[VersionCheck]:
    """All versions of a name, then what is wrong with the name itself."""
    try:
        versions = registry.versions(model.name)
    except RegistryError as error:
        return [_of_name(model.name, _unreadable(error))]
    promotion = ledger.last(model.name)
    ours = promotion is not None or any(version.is_claimed for version in versions)
    statements: set[str] = set()
    checks = []
    for version in versions:
        aliases = model.aliases_of(version.number) + ((version.stage,) if version.stage else ())
        try:
            checks.append(
                _check_ours(registry, ledger, version, aliases, statements, old)
                if ours
                else _check_foreign(registry, version, aliases, old)
            )
        except ServerError:
            raise  # the registry is gone, and not this version
        except (FlowError, OSError) as error:
            checks.append(_check_unreadable(version, aliases, error))
        except Exception as error:  # noqa: BLE001 - whatever one version holds, the others are checked
            registry.model(model.name)  # where the registry itself fails, this ends the scan
            checks.append(_check_unreadable(version, aliases, error))
    numbers = {version.number for version in versions}
    checks += [
        _of_name(model.name, f"Alias '{alias}' points to version {number}, which is gone.")
        for alias, number in sorted(model.aliases.items())
        if number not in numbers
    ]
    if promotion is None:
        return checks
    if promotion.version not in map(str, numbers):
        return [*checks, _missing_version(promotion)]
    if CHAMPION not in model.aliases:
        return [*checks, _missing_alias(promotion)]
    return checks


# The name


def _of_name(name: str, problem: str) -> VersionCheck:
    return VersionCheck(name=name, version=None, kind=NAME, problems=(problem,))


def _missing_names(ledger: LedgerFacts, models: list[RegisteredModel]) -> list[VersionCheck]:
    names = {model.name for model in models}
    return [
        _missing_version(all_[-1]) for name, all_ in ledger.promotions.items() if name not in names
    ]


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
    """What cannot be looked into is not all right."""
    said = (
        str(error) if isinstance(error, FlowError | OSError) else f"{type(error).__name__}: {error}"
    )
    return f"It could not be checked: {said}"


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
    registry: Registry, version: ModelVersion, aliases: tuple[str, ...], old: OldWeights
) -> VersionCheck:
    """A version of others: their business, unless it is a model that has not forgotten.

    Raises:
        RegistryError, OSError: Its files cannot be read, so nobody knows.
    """
    problems: tuple[str, ...] = ()
    if old and _holds_old_weights(registry, version, old):
        problems = (
            "It holds the very weights that an event was to make forget, under another name. "
            "Delete it, or keep it out of use.",
        )
    return VersionCheck(
        name=version.name, version=version.number, kind=FOREIGN, aliases=aliases, problems=problems
    )


def _holds_old_weights(registry: Registry, version: ModelVersion, old: OldWeights) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        files = registry.files(registry.location(version), Path(folder))
        return any(old.are_in(file) for file in files.values())


# A version of damp's


def _check_ours(
    registry: Registry,
    ledger: LedgerFacts,
    version: ModelVersion,
    aliases: tuple[str, ...],
    statements: set[str],
    old: OldWeights,
) -> VersionCheck:
    """All that is wrong with a version of damp's.

    Args:
        statements: Digests of the statements of the versions before; this one's is added.
        old: How weights from before an event are recognised.

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
                registry, ledger, version, weights=files.weights, folder=folder
            )
            problems += statement.problems
        elif kind != BASE:
            problems.append("It is not damp's: no statement vouches for it.")
        else:
            problems += _base_problems(ledger, tags, files, aliases, old)
    if statement.digest in statements:
        problems.append("Another version has this very statement: tags or artifacts were copied.")
    if statement.digest:
        statements.add(statement.digest)
    problems += _alias_problems(registry, ledger, version, tags, aliases, statement.verdict)
    return VersionCheck(
        name=version.name,
        version=version.number,
        kind=kind,
        aliases=aliases,
        event=tags.event or "",
        verdict=statement.verdict,
        problems=tuple(problems),
    )


def _base_problems(
    ledger: LedgerFacts,
    tags: VersionTags,
    files: FilesCheck,
    aliases: tuple[str, ...],
    old: OldWeights,
) -> Iterator[str]:
    """A base model claims nothing, and is none that was to forget, by whatever name."""
    if not tags.verdict == tags.event == tags.attempt == tags.parent_version is None:
        yield "It says that it is a base model, and claims a verdict or a parent."
    if files.sha256 in ledger.erased:
        if aliases:
            yield "It is a model before an event: the class is still in it."
    elif files.weights is not None and old.are_in(files.weights):
        yield (
            "It holds the very weights that an event was to make forget, in another file. Delete "
            "it, or keep it out of use."
        )


def _alias_problems(
    registry: Registry,
    ledger: LedgerFacts,
    version: ModelVersion,
    tags: VersionTags,
    aliases: tuple[str, ...],
    verdict: str,
) -> list[str]:
    """An alias says that a model is in use: the ledger must say so too, once it speaks."""
    if not aliases:
        return []
    last = ledger.last(version.name)
    names = " and ".join(f"'{alias}'" for alias in aliases)
    if last is not None and last.version == str(version.number):
        return list(_promoted_problems(registry, ledger, version, tags, verdict))
    if last is not None:
        return [
            f"Alias {names} was moved past the gate: the ledger promoted version "
            f"{last.version}. `damp promote {version.name}/{last.version}` puts it back"
            f"{', and MLflow takes its stage away' if version.stage else ''}."
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


def _promoted_problems(
    registry: Registry,
    ledger: LedgerFacts,
    version: ModelVersion,
    tags: VersionTags,
    verdict: str,
) -> Iterator[str]:
    """The entry of a promotion is not signed: the version itself must deserve it."""
    if tags.kind != SUCCESSOR:
        yield "The ledger says that it was promoted, and no statement vouches for it."
    elif verdict != "PASSED":
        yield "An alias points to it without a valid PASSED. Move it to another version."
    yield from order_problems(registry, ledger, version)


def order_problems(registry: Registry, ledger: LedgerFacts, version: ModelVersion) -> Iterator[str]:
    """A version may not take the place of one that has forgotten more."""
    line = {str(number) for number in line_of(registry, version)}
    promoted = dict.fromkeys(each.version for each in ledger.promotions.get(version.name, ()))
    for number in promoted:
        if number not in line:
            yield (
                f"version {number} was promoted before and this was not made from it, so that "
                "what it has forgotten would come back"
            )
