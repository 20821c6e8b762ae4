"""`damp doctor`: what would keep an event from running here, each with its remedy."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import psutil

from flows import console, processes
from flows.errors import FlowError
from flows.layout import Home
from flows.settings import prepare_environment, settings

LEAST_DISK, LEAST_MEMORY = 2 << 30, 1 << 30
"""Bytes free below which an event may not finish."""
SKEW = 5.0
"""Seconds that clocks of two machines may differ."""
GOOD, WARNING, BAD = "ok", "warning", "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """One thing that was looked at.

    Attributes:
        what: The thing.
        level: `ok`, `warning`, or `problem`: an event would fail.
        found: What was seen.
        remedy: What to do; empty where it is well.
    """

    what: str
    level: str
    found: str
    remedy: str = ""


def show(*, as_json: bool) -> int:
    """Look at everything, say it, and end with 1 where there is a problem."""
    home = Home(settings().home)
    prepare_environment(home.root)
    signs = examine(home)
    if as_json:
        console.emit([asdict(sign) for sign in signs])
    else:
        _tell(signs)
    return int(any(sign.level == BAD for sign in signs))


def examine(home: Home) -> list[Sign]:
    """Every check; one that cannot be made is a problem of its own."""
    return [sign for check in CHECKS for sign in _tried(check, home)]


def _tried(check: Callable[[Home], Iterator[Sign]], home: Home) -> Iterator[Sign]:
    try:
        yield from check(home)
    except (OSError, FlowError) as error:
        yield Sign(
            what=check.__name__.strip("_"),
            level=BAD,
            found=str(error),
            remedy="Mend that, then run `damp doctor` again.",
        )


def _versions(home: Home) -> Iterator[Sign]:
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
        yield Sign(what="versions", level=BAD, found=", ".join(wrong), remedy=remedy)
    else:
        yield Sign(what="versions", level=GOOD, found="within the ranges that were tried")


def _folder(home: Home) -> Iterator[Sign]:
    place = home.root
    while not place.exists():
        place = place.parent
    probe = place / f".damp-doctor-{os.getpid()}"
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        remedy = "Make it writable for you, or name another one with --home or DAMP_HOME."
        yield Sign(
            what="state folder", level=BAD, found=f"{place}: {error.strerror}", remedy=remedy
        )
        return
    yield Sign(what="state folder", level=GOOD, found=str(home.root))
    free = shutil.disk_usage(place).free
    low = free < LEAST_DISK
    remedy = "Free some space: references/ and observations/ can be made again." if low else ""
    yield Sign(what="disk", level=WARNING if low else GOOD, found=_size(free), remedy=remedy)


def _memory(home: Home) -> Iterator[Sign]:
    free = psutil.virtual_memory().available
    low = free < LEAST_MEMORY
    remedy = "End other programs, or lower `workers`." if low else ""
    yield Sign(what="memory", level=WARNING if low else GOOD, found=_size(free), remedy=remedy)


def _keys(home: Home) -> Iterator[Sign]:
    from compliance.errors import ComplianceError
    from flows import keyring

    try:
        known = keyring.trusted(home)
    except ComplianceError as error:
        yield Sign(what="keys", level=BAD, found=str(error), remedy="Restore trust.json.")
        return
    now = datetime.now(UTC)
    mine = [
        key
        for keyid, key in known.keys.items()
        if key.role == "executor"
        and any((folder / f"{keyid}.pem").exists() for folder in keyring.folders(home))
    ]
    valid = [key for key in mine if key.covers(now)]
    if not valid:
        found = "the keys that sign here have expired" if mine else "no key signs here"
        remedy = "Make one: `damp keys new`. The demo makes its own."
        yield Sign(what="keys", level=WARNING, found=found, remedy=remedy)
    elif not any(key.covers(now + timedelta(days=14)) for key in valid):
        remedy = "Make the next one now: `damp keys new`, and hand on trust.json."
        yield Sign(what="keys", level=WARNING, found="expires within 14 days", remedy=remedy)
    else:
        yield Sign(what="keys", level=GOOD, found=f"{len(valid)} can sign as executor")
    for folder in keyring.folders(home):
        for file in folder.glob("*.pem") if folder.is_dir() else ():
            if file.stat().st_mode & 0o077:
                remedy = f"chmod 600 {file}"
                yield Sign(what="keys", level=BAD, found=f"{file} is open to others", remedy=remedy)


def _ledger(home: Home) -> Iterator[Sign]:
    from compliance.ledger import Ledger

    if not home.ledger.exists():
        yield Sign(what="ledger", level=GOOD, found="none yet")
        return
    check = Ledger(home.ledger).verify()
    remedy = "Compare with a copy; do not write to it before. `damp verify --ledger` says more."
    if check.problem:
        yield Sign(what="ledger", level=BAD, found=check.problem, remedy=remedy)
    else:
        yield Sign(what="ledger", level=GOOD, found=f"{check.count} entries, the chain holds")


def _servers(home: Home) -> Iterator[Sign]:
    from flows import addresses, services

    for name, told, asked in (
        ("prefect", settings().prefect_api_url, addresses.prefect_api),
        ("mlflow", settings().mlflow_uri, addresses.mlflow_server),
    ):
        if told is not None:
            try:
                asked()
            except FlowError as error:
                yield Sign(what=name, level=BAD, found=str(error), remedy="See the message.")
                continue
            yield Sign(what=name, level=GOOD, found=f"answers at {told}, same version")
            yield from _clock(name, told)
            continue
        found = services.running(home, name)
        if found is None:
            yield Sign(what=name, level=GOOD, found="embedded: started when needed")
        elif processes.answers(found.health):
            yield Sign(what=name, level=GOOD, found=f"runs at {found.url}")
        else:
            remedy = f"Read {found.log}; then `damp down` and `damp up`."
            yield Sign(what=name, level=BAD, found=f"{found.url} is silent", remedy=remedy)


def _ports(home: Home) -> Iterator[Sign]:
    """Whether `damp up` finds the ports that people expect the pages on."""
    from flows import services

    taken = [
        f"{port} ({name})"
        for name, port in services.USUAL.items()
        if services.running(home, name) is None and not processes.is_free(port)
    ]
    if taken:
        remedy = "`damp up` takes free ones and says which; or name some (--prefect-port, ...)."
        found = f"taken by other programs: {', '.join(taken)}"
        yield Sign(what="ports", level=WARNING, found=found, remedy=remedy)
    else:
        yield Sign(what="ports", level=GOOD, found="free, or used by the servers of `damp up`")


def _clock(name: str, url: str) -> Iterator[Sign]:
    """What the server's `Date` says against ours: deadlines and key validity rest on clocks."""
    import urllib.request

    with urllib.request.urlopen(url.rstrip("/") + ("/health"), timeout=5) as reply:  # noqa: S310
        told = reply.headers.get("Date")
    if told is None:
        return
    skew = abs(parsedate_to_datetime(told).timestamp() - time.time())
    bad = skew > SKEW
    remedy = "Set both clocks by NTP: deadlines and key validity rest on them." if bad else ""
    found = f"differs from {name}'s by {skew:.0f} s"
    yield Sign(what="clock", level=WARNING if bad else GOOD, found=found, remedy=remedy)


def _locks(home: Home) -> Iterator[Sign]:
    if settings().locks_url is None:
        if settings().mlflow_uri is not None:
            remedy = "Set `locks_url` to a PostgreSQL database that all machines reach."
            found = "a shared registry, but locks hold on this machine only"
            yield Sign(what="locks", level=WARNING, found=found, remedy=remedy)
        return
    from flows import locks

    with locks.lineage(home, "damp doctor"):
        yield Sign(what="locks", level=GOOD, found="PostgreSQL grants advisory locks")


def _device(home: Home) -> Iterator[Sign]:
    wanted = settings().device
    if not wanted.startswith("cuda"):
        yield Sign(what="device", level=GOOD, found=wanted)
        return
    import torch

    there = torch.cuda.is_available()
    remedy = "" if there else "Install a driver that this torch fits, or set DAMP_DEVICE=cpu."
    found = torch.cuda.get_device_name(wanted) if there else f"{wanted}: torch sees no GPU"
    yield Sign(what="device", level=GOOD if there else BAD, found=found, remedy=remedy)


def _profile(home: Home) -> Iterator[Sign]:
    """A profile of the user's that points elsewhere: damp does not read it, other programs do."""
    given = os.environ.get("PREFECT_API_URL", "")
    if given and settings().prefect_api_url is None:
        remedy = "damp does not use it; set DAMP_PREFECT_API_URL if that is the server you mean."
        yield Sign(what="profile", level=WARNING, found=f"PREFECT_API_URL={given}", remedy=remedy)


CHECKS = (
    *(_versions, _folder, _memory, _keys, _ledger),
    *(_profile, _servers, _ports, _locks, _device),
)


def _size(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB free"


def _tell(signs: list[Sign]) -> None:
    looks = {GOOD: "green", WARNING: "yellow", BAD: "red"}
    for sign in signs:
        console.out.print(f"[{looks[sign.level]}]{sign.level:<8}[/] {sign.what:<13}", end="")
        console.out.print(f" {sign.found}", markup=False, highlight=False, soft_wrap=True)
        if sign.remedy:
            console.out.print(f"{'':22} → {sign.remedy}", markup=False, soft_wrap=True)
