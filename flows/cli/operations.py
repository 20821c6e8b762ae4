"""What the commands of an operator do, and what they say."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from flows.cli import console
from flows.state import interrupts
from flows.state.errors import GateError, ServerError
from flows.state.files import write_atomically
from flows.state.paths import Home
from flows.state.settings import prepare_environment, settings

if TYPE_CHECKING:
    from flows.registry import VersionCheck
    from flows.servers.local_services import Service

DONE, INTERRUPTED = 0, 130


def up(ports: Mapping[str, int | None], *, as_json: bool) -> int:
    """Start both servers and say where their pages are."""
    from flows.servers import local_services

    home = _prepared()
    found = local_services.up(home, ports)
    if as_json:
        console.emit([each.to_json() for each in found])
    else:
        _tell("serves", found)
        console.out.print("Next: damp serve --every 15m, or damp run. End both with damp down.")
    return DONE


def down(*, as_json: bool) -> int:
    """End both servers."""
    from flows.servers import local_services

    ended = local_services.down(Home(settings().home))
    if as_json:
        console.emit([each.name for each in ended])
    elif ended:
        _tell("ended", ended)
    else:
        console.out.print("No server runs: nothing was done.")
    return DONE


def deploy(pool: str, *, as_json: bool, **often: str) -> int:
    """Hand the schedules to a work pool."""
    home = _prepared()
    _use_server(home)
    from flows.orchestration import schedule

    made = schedule.deploy(home, pool, **often)
    if as_json:
        console.emit({"pool": pool, "deployments": made})
    else:
        console.out.print(f"Work pool '{pool}' has {', '.join(made)}.", soft_wrap=True)
        console.out.print(f"Next: damp worker --pool {pool}, on this machine or others.")
    return DONE


def worker(pool: str) -> int:
    """Become Prefect's worker, with damp's environment."""
    home = _prepared()
    os.environ["DAMP_HOME"] = str(home.root)
    os.environ["PREFECT_LOGGING_LEVEL"] = "INFO"  # a worker has no bars: its log is what it says
    url = _use_server(home)
    sys.stdout.write(f"Worker of pool '{pool}' at {url}; Ctrl-C ends it.\n")
    sys.stdout.flush()
    from prefect.cli import app

    sys.argv = ["prefect", "worker", "start", "--pool", pool, "--type", "process"]
    with interrupts.left_to_asyncio():
        try:
            app()
        except SystemExit as error:
            if error.code not in (0, None, INTERRUPTED):
                raise
    return DONE


def alert(url: str, *, as_json: bool) -> int:
    """Make or renew the automation that calls `url` when a run fails."""
    home = _prepared()
    _use_server(home)
    from flows.orchestration import automations

    made = automations.call_on_failure(url)
    if as_json:
        console.emit({"automation": made, "url": url})
    else:
        told = f"Automation '{made}' calls {url} when a run of damp fails."
        console.out.print(told, soft_wrap=True)
    return DONE


def _use_server(home: Home) -> str:
    """The Prefect server that others can reach: a private one would vanish with this command."""
    from flows.servers import endpoints, local_services

    url = endpoints.prefect_api() or local_services.prefect_api(home)
    if url is None:
        raise ServerError(
            "No Prefect server runs for this. Start one with `damp up`, or name the team's "
            "(`prefect_api_url` in settings.toml, DAMP_PREFECT_API_URL)."
        )
    os.environ["PREFECT_API_URL"] = url
    return url


def lineage(model: str, svg: Path | None, *, as_json: bool) -> int:
    """Draw the versions of a model."""
    from flows.registry import lineage as lines

    found = lines.nodes(_prepared(), model)
    if svg is not None:
        write_atomically(svg.absolute(), lines.svg(model, found).encode())
    if as_json:
        console.emit([node.to_json() for node in found])
    elif svg is None:
        console.out.print(lines.tree(model, found), soft_wrap=True)
    else:
        console.out.print(f"Drawn in {svg}.")
    return DONE


def promote(reference: str, *, as_json: bool) -> int:
    """Move the alias past the gate."""
    from flows.operations import promote as promoting
    from flows.registry import resolve

    named = resolve.REFERENCE.fullmatch(reference)
    if named is None or named["version"] is None:
        raise GateError(f"'{reference}' is no version. Write NAME/VERSION, as in digits/3.")
    done = promoting.promote(_prepared(), named["name"], int(named["version"]))
    if as_json:
        console.emit(done.to_json())
    else:
        told = f"{done.name}@{resolve.CHAMPION} is version {done.version} of event {done.event}"
        console.out.print(f"{told}: weights, statement, signatures and ledger agree.")
    return DONE


def audit_registry(*, as_json: bool) -> int:
    """Walk through all versions and aliases."""
    from flows.registry import gate

    found = gate.audit_registry(_prepared())
    if as_json:
        console.emit([each.to_json() for each in found])
    else:
        for each in found:
            _tell_version(each)
        wrong = sum(bool(each.problems) for each in found)
        console.out.print(f"{len(found)} looked at, {wrong} with problems.")
    return int(any(each.problems for each in found))


def _tell_version(each: VersionCheck) -> None:
    what = each.name if each.version is None else f"{each.name}/{each.version}"
    aliases = f" @{' @'.join(each.aliases)}" if each.aliases else ""
    mark = "[red]✘[/red]" if each.problems else "[green]✔[/green]"
    console.out.print(f"{mark} {what}{aliases}  {each.kind} {each.verdict}", highlight=False)
    for problem in each.problems:
        console.out.print(f"    {problem}", markup=False, highlight=False, soft_wrap=True)


def _tell(word: str, found: list[Service]) -> None:
    for each in found:
        console.out.print(
            f"{each.name:<8} {word}  {each.url}  (log: {console.short(each.log)})", soft_wrap=True
        )


def _prepared() -> Home:
    home = Home(settings().home)
    prepare_environment(home.root)
    return home
