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


def examine(home: Home) -> list[HealthCheck]:
    """Every check; one that cannot be made is a problem of its own."""
    checks = [health for check in CHECKS for health in _checked(check, home)]
    return [replace(health, finding=secrets.hidden(health.finding)) for health in checks]


def _checked(check: Callable[[Home], Iterator[HealthCheck]], home: Home) -> Iterator[HealthCheck]:
    try:
        yield from check(home)
    except (OSError, FlowError) as error:
        yield HealthCheck(
            what=check.__name__.strip("_"),
            level=BAD,
            finding=str(error),
            remedy="Fix that, then run `damp doctor` again.",
        )


def _versions(home: Home) -> Iterator[HealthCheck]:
    """Pins that were measured: a wrong one fails in silence (docs/operations.md, upgrades)."""
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
        yield HealthCheck(what="versions", level=BAD, finding=", ".join(wrong), remedy=remedy)
    else:
        yield HealthCheck(what="versions", level=GOOD, finding="as pinned")


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
        yield HealthCheck(
            what="state folder", level=BAD, finding=f"{place}: {error.strerror}", remedy=remedy
        )
        return
    yield HealthCheck(what="state folder", level=GOOD, finding=str(home.root))
    free = shutil.disk_usage(place).free
    low = free < LEAST_DISK
    remedy = "Free some space: references/ and observations/ can be made again." if low else ""
    yield HealthCheck(
        what="disk", level=WARNING if low else GOOD, finding=_size(free), remedy=remedy
    )


def _memory(home: Home) -> Iterator[HealthCheck]:
    free = psutil.virtual_memory().available
    low = free < LEAST_MEMORY
    remedy = "End other programs, or lower `workers`." if low else ""
    yield HealthCheck(
        what="memory", level=WARNING if low else GOOD, finding=_size(free), remedy=remedy
    )


def _keys(home: Home) -> Iterator[HealthCheck]:
    from compliance.formats.errors import ComplianceError
    from flows.state import keyring

    try:
        trust = keyring.trusted(home)
    except ComplianceError as error:
        yield HealthCheck(what="keys", level=BAD, finding=str(error), remedy="Restore trust.json.")
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
        yield HealthCheck(what="keys", level=WARNING, finding=finding, remedy=remedy)
    elif not any(key.covers(now + timedelta(days=14)) for key in valid):
        remedy = "Make the next one now: `damp keys new`, and hand on trust.json."
        yield HealthCheck(
            what="keys", level=WARNING, finding="expires within 14 days", remedy=remedy
        )
    else:
        yield HealthCheck(what="keys", level=GOOD, finding=f"{len(valid)} can sign as executor")
    for folder in keyring.folders(home):
        for file in folder.glob("*.pem") if folder.is_dir() else ():
            if file.stat().st_mode & 0o077:
                remedy = f"chmod 600 {file}"
                yield HealthCheck(
                    what="keys", level=BAD, finding=f"{file} is open to others", remedy=remedy
                )


def _ledger(home: Home) -> Iterator[HealthCheck]:
    from compliance.ledger.ledger import Ledger

    if not home.ledger.exists():
        yield HealthCheck(what="ledger", level=GOOD, finding="none yet")
        return
    check = Ledger(home.ledger).verify()
    remedy = "Compare with a copy; do not write to it before. `damp verify --ledger` says more."
    if check.problem:
        yield HealthCheck(what="ledger", level=BAD, finding=check.problem, remedy=remedy)
    else:
        yield HealthCheck(
            what="ledger", level=GOOD, finding=f"{check.count} entries, the chain holds"
        )


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
                yield HealthCheck(
                    what=name, level=BAD, finding=str(error), remedy="See the message."
                )
                continue
            yield HealthCheck(what=name, level=GOOD, finding=f"answers at {address}, same version")
            yield from _clock(name, address)
            continue
        service = local_services.running(home, name)
        if service is None:
            yield HealthCheck(what=name, level=GOOD, finding="embedded: started when needed")
        elif processes.answers(service.health):
            yield HealthCheck(what=name, level=GOOD, finding=f"runs at {service.url}")
        else:
            remedy = f"Read {service.log}; then `damp down` and `damp up`."
            yield HealthCheck(
                what=name, level=BAD, finding=f"{service.url} is silent", remedy=remedy
            )


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
        yield HealthCheck(what="ports", level=WARNING, finding=finding, remedy=remedy)
    else:
        yield HealthCheck(
            what="ports", level=GOOD, finding="free, or used by the servers of `damp up`"
        )


def _clock(name: str, url: str) -> Iterator[HealthCheck]:
    """What the server's `Date` says against ours: deadlines and key validity rest on clocks."""
    address = url.rstrip("/") + "/health"
    with processes.opener(address).open(address, timeout=5) as reply:
        date = reply.headers.get("Date")
    if date is None:
        return
    skew = abs(parsedate_to_datetime(date).timestamp() - time.time())
    bad = skew > SKEW
    remedy = "Set both clocks by NTP: deadlines and key validity rest on them." if bad else ""
    finding = f"differs from {name}'s by {skew:.0f} s"
    yield HealthCheck(what="clock", level=WARNING if bad else GOOD, finding=finding, remedy=remedy)


def _locks(home: Home) -> Iterator[HealthCheck]:
    if settings().locks_url is None:
        if settings().mlflow_uri is not None:
            remedy = "Set `locks_url` to a PostgreSQL database that all machines reach."
            finding = "a shared registry, but locks hold on this machine only"
            yield HealthCheck(what="locks", level=WARNING, finding=finding, remedy=remedy)
        return
    from flows.state import locks

    with locks.lineage(home, "damp doctor"):
        yield HealthCheck(what="locks", level=GOOD, finding="PostgreSQL grants advisory locks")


def _device(home: Home) -> Iterator[HealthCheck]:
    wanted = settings().device
    if not wanted.startswith("cuda"):
        yield HealthCheck(what="device", level=GOOD, finding=wanted)
        return
    import torch

    there = torch.cuda.is_available()
    remedy = "" if there else "Install a driver that this torch fits, or set DAMP_DEVICE=cpu."
    finding = torch.cuda.get_device_name(wanted) if there else f"{wanted}: torch sees no GPU"
    yield HealthCheck(what="device", level=GOOD if there else BAD, finding=finding, remedy=remedy)


def _profile(home: Home) -> Iterator[HealthCheck]:
    """A profile of the user's that points elsewhere: damp does not read it, other programs do."""
    given = os.environ.get("PREFECT_API_URL", "")
    if given and settings().prefect_api_url is None:
        remedy = "damp does not use it; set DAMP_PREFECT_API_URL if that is the server you mean."
        yield HealthCheck(
            what="profile", level=WARNING, finding=f"PREFECT_API_URL={given}", remedy=remedy
        )


CHECKS = (
    *(_versions, _folder, _memory, _keys, _ledger),
    *(_profile, _servers, _ports, _locks, _device),
)


def _size(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB free"
