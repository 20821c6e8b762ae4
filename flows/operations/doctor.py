"""`damp doctor`: what would keep an event from running here, each with its remedy."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import psutil

from flows.servers import processes
from flows.state import secrets
from flows.state.errors import FlowError
from flows.state.paths import Home
from flows.state.settings import settings

LEAST_DISK, LEAST_MEMORY = 2 << 30, 1 << 30
"""Bytes free below which an event may not finish."""
SKEW = 5.0
"""Seconds that clocks of two machines may differ."""
GOOD, WARNING, BAD = "ok", "warning", "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """One thing that was checked.

    Attributes:
        what: The thing.
        level: `ok`, `warning`, or `problem`: an event would fail.
        finding: What the check says; `found` in JSON.
        remedy: What to do; empty where it is well.
    """

    what: str
    level: str
    finding: str
    remedy: str = ""

    def to_json(self) -> dict[str, str]:
        """The fields of `damp doctor --json`."""
        fields = {"what": self.what, "level": self.level, "found": self.finding}
        return fields | {"remedy": self.remedy}


def _good(what: str, finding: str) -> HealthCheck:
    return HealthCheck(what=what, level=GOOD, finding=finding)


def _bad(what: str, finding: str, remedy: str) -> HealthCheck:
    return HealthCheck(what=what, level=BAD, finding=finding, remedy=remedy)


def _warning(what: str, finding: str, remedy: str) -> HealthCheck:
    return HealthCheck(what=what, level=WARNING, finding=finding, remedy=remedy)


def examine(home: Home) -> list[HealthCheck]:
    """Every check; one that cannot be made is a problem of its own."""
    checks = [health for check in CHECKS for health in _checked(check, home)]
    return [replace(health, finding=secrets.hidden(health.finding)) for health in checks]


def _checked(check: Callable[[Home], Iterator[HealthCheck]], home: Home) -> Iterator[HealthCheck]:
    try:
        yield from check(home)
    except (OSError, FlowError) as error:
        what = check.__name__.strip("_")
        yield _bad(what, str(error), "Fix that, then run `damp doctor` again.")


def _versions(home: Home) -> Iterator[HealthCheck]:
    """Ranges that were tried: what lies outside may fail in silence (docs/dependencies.md)."""
    from packaging.requirements import Requirement

    wrong = []
    for text in importlib.metadata.requires("damp-unlearning") or []:
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            there = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            there = "missing"
        if there == "missing" or not wanted.specifier.contains(there, prereleases=True):
            wrong.append(f"{wanted.name} {there} (needs {wanted.specifier or 'any'})")
    if wrong:
        remedy = "Install the locked versions: `make demo` in a checkout, or requirements.lock."
        yield _bad("versions", ", ".join(wrong), remedy)
    else:
        yield _good("versions", "within the ranges that were tried")


def _folder(home: Home) -> Iterator[HealthCheck]:
    place = home.root
    while not place.exists():
        place = place.parent
    probe = place / f".damp-doctor-{os.getpid()}"
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        remedy = "Make it writable for you, or name another one with --home or DAMP_HOME."
        yield _bad("state folder", f"{place}: {error.strerror}", remedy)
        return
    yield _good("state folder", str(home.root))
    free = shutil.disk_usage(place).free
    remedy = "Free some space: references/ and observations/ can be made again."
    yield _enough("disk", free, LEAST_DISK, remedy)


def _memory(home: Home) -> Iterator[HealthCheck]:
    free = psutil.virtual_memory().available
    yield _enough("memory", free, LEAST_MEMORY, "End other programs, or lower `workers`.")


def _enough(what: str, free: int, least: int, remedy: str) -> HealthCheck:
    size = f"{free / (1 << 30):.1f} GiB free"
    return _warning(what, size, remedy) if free < least else _good(what, size)


def _keys(home: Home) -> Iterator[HealthCheck]:
    from compliance.formats.errors import ComplianceError
    from flows.state import keyring

    try:
        trust = keyring.trusted(home)
    except ComplianceError as error:
        yield _bad("keys", str(error), "Restore trust.json.")
        return
    now = datetime.now(UTC)
    mine = [
        key
        for keyid, key in trust.keys.items()
        if key.role == "executor" and keyring.signs_here(home, keyid)
    ]
    valid = [key for key in mine if key.covers(now)]
    if not valid:
        finding = "the keys that sign here have expired" if mine else "no key signs here"
        remedy = "Make one: `damp keys new`. The demo makes its own."
        yield _warning("keys", finding, remedy)
    elif not any(key.covers(now + timedelta(days=14)) for key in valid):
        remedy = "Make the next one now: `damp keys new`, and hand on trust.json."
        yield _warning("keys", "expires within 14 days", remedy)
    else:
        yield _good("keys", f"{len(valid)} can sign as executor")
    for folder in keyring.folders(home):
        for file in folder.glob("*.pem") if folder.is_dir() else ():
            if file.stat().st_mode & 0o077:
                yield _bad("keys", f"{file} is open to others", f"chmod 600 {file}")


def _ledger(home: Home) -> Iterator[HealthCheck]:
    from compliance.ledger import Ledger

    if not home.ledger.exists():
        yield _good("ledger", "none yet")
        return
    check = Ledger(home.ledger).verify()
    remedy = "Compare with a copy; do not write to it before. `damp verify --ledger` says more."
    if check.problem:
        yield _bad("ledger", check.problem, remedy)
    else:
        yield _good("ledger", f"{check.count} entries, the chain holds")


def _servers(home: Home) -> Iterator[HealthCheck]:
    from flows.servers import endpoints, local_services

    for name, address, reach in (
        ("prefect", settings().prefect_api_url, endpoints.prefect_api),
        ("mlflow", settings().mlflow_uri, endpoints.mlflow_server),
    ):
        if address is not None:
            try:
                reach()
            except FlowError as error:
                yield _bad(name, str(error), "See the message.")
                continue
            yield _good(name, f"answers at {address}, same version")
            yield from _clock(name, address)
            continue
        service = local_services.running(home, name)
        if service is None:
            yield _good(name, "embedded: started when needed")
        elif processes.answers(service.health):
            yield _good(name, f"runs at {service.url}")
        else:
            remedy = f"Read {service.log}; then `damp down` and `damp up`."
            yield _bad(name, f"{service.url} is silent", remedy)


def _ports(home: Home) -> Iterator[HealthCheck]:
    """Whether `damp up` finds the ports that people expect the pages on."""
    from flows.servers import local_services

    taken = [
        f"{port} ({name})"
        for name, port in local_services.USUAL.items()
        if local_services.running(home, name) is None and not processes.is_free(port)
    ]
    if taken:
        remedy = "`damp up` takes free ones and says which; or name some (--prefect-port, ...)."
        finding = f"taken by other programs: {', '.join(taken)}"
        yield _warning("ports", finding, remedy)
    else:
        yield _good("ports", "free, or used by the servers of `damp up`")


def _clock(name: str, url: str) -> Iterator[HealthCheck]:
    """What the server's `Date` says against ours: deadlines and key validity rest on clocks."""
    address = url.rstrip("/") + "/health"
    with processes.opener(address).open(address, timeout=5) as reply:
        date = reply.headers.get("Date")
    if date is None:
        return
    skew = abs(parsedate_to_datetime(date).timestamp() - time.time())
    finding = f"differs from {name}'s by {skew:.0f} s"
    remedy = "Set both clocks by NTP: deadlines and key validity rest on them."
    yield _warning("clock", finding, remedy) if skew > SKEW else _good("clock", finding)


def _locks(home: Home) -> Iterator[HealthCheck]:
    if settings().locks_url is None:
        if settings().mlflow_uri is not None:
            remedy = "Set `locks_url` to a PostgreSQL database that all machines reach."
            finding = "a shared registry, but locks hold on this machine only"
            yield _warning("locks", finding, remedy)
        return
    from flows.state import locks

    with locks.lineage(home, "damp doctor"):
        yield _good("locks", "PostgreSQL grants advisory locks")


def _device(home: Home) -> Iterator[HealthCheck]:
    wanted = settings().device
    if not wanted.startswith("cuda"):
        yield _good("device", wanted)
        return
    import torch

    if torch.cuda.is_available():
        yield _good("device", torch.cuda.get_device_name(wanted))
    else:
        remedy = "Install a driver that this torch fits, or set DAMP_DEVICE=cpu."
        yield _bad("device", f"{wanted}: torch sees no GPU", remedy)


def _profile(home: Home) -> Iterator[HealthCheck]:
    """A profile of the user's that points elsewhere: damp does not read it, other programs do."""
    address = os.environ.get("PREFECT_API_URL", "")
    if address and settings().prefect_api_url is None:
        remedy = "damp does not use it; set DAMP_PREFECT_API_URL if that is the server you mean."
        yield _warning("profile", f"PREFECT_API_URL={address}", remedy)


CHECKS = (
    *(_versions, _folder, _memory, _keys, _ledger),
    *(_profile, _servers, _ports, _locks, _device),
)
