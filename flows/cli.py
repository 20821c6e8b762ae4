"""The command line. Each command says what it does, where its results are, and what to do next.

Nothing heavy is imported here: `damp --help` and `damp verify` must answer at once.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from damp.version import __version__

DONE, INVALID, NOT_PASSED, INTERRUPTED = 0, 1, 2, 130

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)

as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
data = click.option(
    "--data", required=True, help="Data set: digits, mnist, imagefolder:PATH, package.module:name."
)
data_root = click.option("--data-root", type=FOLDER, help="Where the data set's files lie.")


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96},
    epilog="Exit codes: 0 done and PASSED (or nothing wrong), 1 refused or failed, 2 done but not "
    "PASSED, 3 unsupported schema, 4 busy, 130 interrupted.",
)
@click.version_option(__version__, prog_name="damp", message="%(prog)s %(version)s")
@click.option("--home", type=FOLDER, envvar="DAMP_HOME", help="State folder. [default: .damp]")
def app(home: Path | None) -> None:
    """Make an image classifier forget whole classes, audit it, and keep a signed record.

    Start with `damp demo`. For a model of your own: train or register it, `damp request`,
    `damp submit`, `damp run`, then open the report.
    """
    if home is not None:
        os.environ["DAMP_HOME"] = str(home)


@app.command()
@click.option("--forget", type=click.IntRange(0, 9), default=3, show_default=True, help="Digit.")
@as_json
def demo(forget: int, as_json: bool) -> int:
    """Train a digit classifier, make it forget a digit, audit it, report.

    A second call finds the finished event and shows it again.

    \b
    Examples:
      damp demo
      damp demo --forget 8 --json
    """
    from flows import commands

    return commands.demo(forget, as_json=as_json)


@app.command()
@data
@data_root
@click.option("--name", required=True, help="Name of the model in the registry.")
@click.option("--recipe", help="How to train; default: the recipe of the data set.")
@click.option("--architecture", help="Instead of the recipe's: torchvision:resnet18, ...")
@click.option("--seed", default=0, show_default=True, help="Initialisation and shuffling.")
@as_json
def train(as_json: bool, **asked: Any) -> int:
    """Train a base model and register it as NAME@champion.

    \b
    Examples:
      damp train --data mnist --data-root ../shared/data --name mnist
      damp train --data imagefolder:photos --recipe default --name photos
    """
    from flows import commands

    return commands.train(as_json=as_json, **asked)


@app.command()
@click.option("--forget", multiple=True, required=True, type=int, help="Class index; repeatable.")
@click.option("--model", required=True, help="NAME@ALIAS or NAME/VERSION, or a .safetensors file.")
@click.option("--architecture", help="For a file: damp:cnn, torchvision:resnet18, ...")
@data
@data_root
@click.option("--recipe", help="How references are trained; default: the data set's recipe.")
@click.option("--policy", default="default-v1", show_default=True, help="Policy name or file.")
@click.option("--regulation", default="gdpr", show_default=True, help="gdpr, ccpa, contract, ...")
@click.option("--preset", default="mixture", show_default=True, help="mixture, paper or retrain.")
def request(**asked: Any) -> int:
    """Print a request with a new id, to look through and submit.

    \b
    Examples:
      damp request --forget 3 --model mnist@champion --data mnist > request.yaml
    """
    from flows import intake

    sys.stdout.write(intake.template(**asked))
    return DONE


@app.command()
@click.argument("file", type=FILE)
@as_json
def submit(file: Path, as_json: bool) -> int:
    """Check a request and write it into the ledger.

    `damp run` or the schedule carries it out. The same request again gives the same answer and
    has no second effect.

    \b
    Examples:
      damp submit request.yaml
    """
    from flows import commands

    return commands.submit(file, as_json=as_json)


@app.command()
@click.option("--event", help="Id of one event; default: all that are pending.")
@as_json
def run(event: str | None, as_json: bool) -> int:
    """Carry out pending requests, the nearest deadline first.

    An event that was interrupted goes on after its last finished step.

    \b
    Examples:
      damp run
      damp run --event 5f0c7c2e-4a53-4d0b-9f3e-1f4f5f0a9c11
    """
    from flows import commands

    return commands.run(event, as_json=as_json)


@app.command()
@as_json
def status(as_json: bool) -> int:
    """Show every event: state, verdict, what it does now, its report.

    \b
    Examples:
      damp status
      damp status --json
    """
    from flows import commands

    return commands.status(as_json=as_json)


@app.command()
@click.argument("statement", type=FILE)
@click.option("--trust", type=FILE, help="Trusted keys. [default: trust.json of the state folder]")
@click.option("--model", type=FILE, help="The model file that the statement must be about.")
@click.option("--ledger", type=FILE, help="The ledger that must hold the statement.")
@as_json
def verify(as_json: bool, **asked: Any) -> int:
    """Check a signed statement offline.

    Exit codes: 0 valid and PASSED, 1 invalid, 2 valid but not PASSED, 3 unsupported schema.

    \b
    Examples:
      damp verify .damp/events/ID/attempt-1/statement.dsse.json
      damp verify statement.dsse.json --trust trust.json --model after.safetensors
    """
    from flows import verifying

    return verifying.verify(home=_home(), as_json=as_json, **asked)


@app.command()
@click.option("--every", default="60s", show_default=True, help="How often: 60s, 15m, 6h, 1d.")
def serve(every: str) -> int:
    """Stay and carry out pending requests on Prefect's schedule.

    \b
    Examples:
      damp serve --every 60s
    """
    from flows import commands

    return commands.serve(every)


@app.group()
def keys() -> None:
    """Signing keys, and which keys are trusted."""


@keys.command("list")
@as_json
def keys_list(as_json: bool) -> int:
    """Show the keys in trust.json: role, validity, whether it can sign here.

    \b
    Examples:
      damp keys list
    """
    from flows import keyring

    return keyring.show(_home(), as_json=as_json)


@keys.command("new")
@click.option("--role", default="executor", show_default=True, help="executor or reviewer.")
@click.option("--days", default=365, show_default=True, type=click.IntRange(1), help="Validity.")
@as_json
def keys_new(role: str, days: int, as_json: bool) -> int:
    """Make an Ed25519 key pair and trust it.

    A passphrase for the private half is taken from DAMP_KEY_PASSPHRASE.

    \b
    Examples:
      damp keys new --role executor --days 365
    """
    from flows import keyring

    return keyring.make(_home(), role=role, days=days, as_json=as_json)


@app.command()
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


def _home() -> Path:
    return Path(os.environ.get("DAMP_HOME", ".damp")).expanduser().absolute()


def main() -> None:
    """Run a command; a mistake of the user ends in one clear message and a stable exit code."""
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
    from flows.errors import is_refusal

    if is_refusal(error):
        return _say(str(error), getattr(error, "exit_code", INVALID))
    if isinstance(error, OSError):
        place = f" ({error.filename})" if error.filename else ""
        remedy = "Nothing under a final name was changed; mend this and run the command again."
        return _say(f"{error.strerror or error}{place}. {remedy}", INVALID)
    raise error


def _say(message: str, code: int) -> int:
    if "--json" in sys.argv:
        sys.stdout.write(json.dumps({"error": message, "exit_code": code}) + "\n")
    click.secho("error: ", fg="red", bold=True, nl=False, err=True)
    click.echo(message, err=True)
    return code


if __name__ == "__main__":
    main()
