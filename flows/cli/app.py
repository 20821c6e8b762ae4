"""The command line. Each command says what it does, where its results are, and what to do next.

The commands are in the files beside this one; a new one goes into `SECTIONS` below. Their files
import nothing heavy at the top: `damp --help` and `damp verify` answer at once.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import click

from compliance.formats.plain_text import clean
from damp.version import __version__
from flows.cli import (
    audits,
    copies,
    demo,
    doctor,
    events,
    export,
    inspection,
    keys,
    ledger,
    models,
    registry,
    report,
    requests,
    servers,
    statements,
)
from flows.cli.options import DONE, FOLDER, INTERRUPTED, INVALID
from flows.state import secrets


class Sections(click.Group):
    """A group whose help lists its commands by section, in the order of the story."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list for each section."""
        width = max(len(command.name or "") for command in self.commands.values())
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                room = formatter.width - width - 6
                rows = [((c.name or "").ljust(width), c.get_short_help_str(room)) for c in commands]
                formatter.write_dl(rows)


@click.group(
    cls=Sections,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96},
    epilog="Exit codes: 0 done and PASSED (or nothing wrong), 1 refused or failed, 2 done but not "
    "PASSED, 3 unsupported schema, 4 busy, 5 cannot judge, 130 interrupted.",
)
@click.version_option(__version__, prog_name="damp", message="%(prog)s %(version)s")
@click.option("--home", type=FOLDER, envvar="DAMP_HOME", help="State folder. [default: .damp]")
@click.option(
    "--code",
    type=FOLDER,
    envvar="DAMP_CODE",
    help="Folder that a package.module:callable of yours is imported from. [default: none]",
)
def app(home: Path | None, code: Path | None) -> None:
    """Make an image classifier forget whole classes, audit it, and keep a signed record.

    Start with `damp demo`. For a model of your own: train or register it, `damp request`,
    `damp submit`, `damp run`, then open the report.
    """
    if home is not None:
        os.environ["DAMP_HOME"] = str(home)
    if code is not None:
        os.environ["DAMP_CODE"] = str(code.expanduser().absolute())
    secrets.withdraw(os.environ)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print the script that completes damp's commands in a shell.

    \b
    Examples:
      damp completion bash >> ~/.bashrc
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"click knows no completion for {shell}.")
    sys.stdout.write(kind(app, {}, "damp", "_DAMP_COMPLETE").source() + "\n")
    return DONE


SECTIONS: Mapping[str, Sequence[click.Command]] = {
    "Events": (
        *(demo.demo, events.request, events.submit, events.run, events.status, events.serve),
    ),
    "Requests": (
        *(requests.inbox, requests.verify_identity, requests.extend, requests.pause),
        *(requests.resume, requests.deny, requests.duplicate, requests.cancel),
        *(requests.retry, statements.approve, requests.close),
    ),
    "Audits": (audits.audit, audits.references, audits.qualify, audits.spot_check),
    "Models and data": (
        *(inspection.inspect, models.classes, models.train, models.adopt, models.cost),
    ),
    "The record": (
        *(report.report, copies.declare, copies.purge, export.stats, export.export),
        *(statements.verify, statements.sign, statements.stamp, statements.replay),
        *(keys.keys, ledger.ledger),
    ),
    "Operations": (
        *(registry.lineage, registry.promote, registry.audit_registry),
        *(servers.up, servers.down, servers.deploy, servers.worker, servers.alert),
        doctor.doctor,
    ),
    "This command line": (completion,),
}
"""Every command, by the sections of `damp --help`, in the order of the story."""

for _commands in SECTIONS.values():
    for _command in _commands:
        app.add_command(_command)


def main() -> None:
    """Run a command; a mistake of the user ends in one clear message and a stable exit code."""
    sys.excepthook = _show_defect
    sys.exit(_exit_code())


def _exit_code() -> int:
    try:
        outcome = app(prog_name="damp", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return INVALID
    except (click.Abort, KeyboardInterrupt):
        return _say("interrupted. Nothing is lost: the same command goes on.", INTERRUPTED)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" See `{context.command_path} --help`." if context else ""
        return _say(error.format_message() + hint, INVALID)
    except Exception as error:  # noqa: BLE001 - sorted into user mistakes and defects just below
        return _explain(error)
    return outcome if isinstance(outcome, int) else DONE


def _explain(error: Exception) -> int:
    """Our own errors speak for themselves; anything unforeseen is a defect and shows where."""
    from flows.state.errors import is_refusal

    if is_refusal(error):
        return _say(str(error), getattr(error, "exit_code", INVALID))
    if isinstance(error, OSError):
        place = f" ({error.filename})" if error.filename else ""
        remedy = "Nothing under a final name was changed; fix this and run the command again."
        return _say(f"{error.strerror or error}{place}. {remedy}", INVALID)
    raise error


def _show_defect(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """A defect's traceback; what it quotes is shown with nothing that a terminal obeys."""
    sys.stderr.write(clean("".join(traceback.format_exception(kind, error, trace))))


def _say(message: str, code: int) -> int:
    message = secrets.hidden(message)
    if "--json" in sys.argv:
        sys.stdout.write(json.dumps({"error": message, "exit_code": code}) + "\n")
    click.secho("error: ", fg="red", bold=True, nl=False, err=True)
    click.echo(clean(message), err=True)
    return code


if __name__ == "__main__":
    main()
