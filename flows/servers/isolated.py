"""A function of ours in a process of its own, for what runs code of somebody else.

The process gets no passphrase, no address and no key folder: its environment is made of what it
needs. Where the kernel allows it (`unshare`), it has no network, sees empty folders where the keys
lie, and of the state folder it writes into what its work needs alone: not into settings, trust or
the records of events. It answers in JSON, which is read and never executed; whatever else it does,
exit codes and signals included, is a refusal. It runs as the same user: what lies elsewhere in that
user's folders it can read and write.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

from flows.servers.die_with_parent import die_with
from flows.state import code_files, errors, keyring, others_code
from flows.state.errors import EventError, FlowError
from flows.state.paths import Home
from flows.state.settings import prepared

Json = dict[str, Any]

PASSED_ON = (
    *("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "USER", "LOGNAME"),
    *("LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "DAMP_CODE", "DAMP_DEVICE", "DAMP_THREADS"),
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "COVERAGE_PROCESS_START"),
)
"""Variables of the caller's that it may see: none holds a secret or an address."""
ENGINES = ("prefect", "services")
"""Folders of the state folder from which programs and pages are started: never to be seen there."""
WORKED_IN = (
    *("references", "shadows", "observations", "statistics", "models", "fetched"),
    *("data", "locks", "logs", "replays"),
)
"""Folders of the state folder that such a process writes into. The rest it can only read."""
APPENDED_TO = ("ledger.jsonl", "ledger.jsonl.lock")
"""Files of the state folder that it writes into."""
SEPARATE = ("--user", "--map-root-user", "--net", "--mount")
"""What such a process has of its own, in `unshare`'s words."""
LARGEST = 256 << 20
"""Bytes of an answer at most."""
PRINTED, READ = "printed", "read"
"""Files of such a process: what it printed, and what it read as code."""
SHOWN = 400
"""Characters of what it printed, in a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What such a process is asked to do.

    Attributes:
        home: The state folder that it works in.
        target: `package.module:function` of ours, which takes and gives JSON.
        arguments: Its keywords.
        code: Digests of the modules that may run, by name.
        read: Digests of the files that earlier processes read as code, by path.
        keys: Folders with private keys, which it must not see, and those of the engines: what lies
            there is run by whoever signs.
        attempt: The folder of the attempt that it works on, if it does.
        event_key: What it commits to rows with; the home's key lies among those it must not see.
    """

    home: Home
    target: str
    arguments: Json
    code: Mapping[str, str]
    read: Mapping[str, str]
    keys: tuple[Path, ...]
    attempt: Path | None
    event_key: bytes

    @classmethod
    def of(
        cls,
        home: Home,
        target: str,
        arguments: Json,
        code: Mapping[str, str],
        read: Mapping[str, str] = MappingProxyType({}),
        attempt: Path | None = None,
        event_key: bytes = b"",
    ) -> Job:
        """A job that sees no key of a state folder."""
        return cls(
            home=home,
            target=target,
            arguments=arguments,
            code=code,
            read=read,
            keys=(*keyring.folders(home), *(home.root / name for name in ENGINES)),
            attempt=attempt,
            event_key=event_key,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a job.

    Attributes:
        result: What the function returned.
        read: Digests of the files that were read as code so far, by path: those of the job too.
    """

    result: Any
    read: Mapping[str, str]


def run(job: Job) -> Answer:
    """The answer of the function, and what was read as code on the way.

    Raises:
        EventError: A module or a file has changed, or its code ended the process or answered no
            JSON.
        FlowError: The function refused.
    """
    others_code.require_unchanged(job.code)
    code_files.require(job.read)
    with _folders(job), tempfile.TemporaryDirectory(prefix="damp-") as place:
        folder = Path(place)
        command = [*_walls(job), sys.executable, "-P", "-m", "flows.servers.isolated"]
        with (folder / PRINTED).open("wb") as printed:
            child = subprocess.Popen(
                [*command, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=printed,
                env=_environment(job, folder / READ),
            )
            try:
                question = {"target": job.target, "arguments": job.arguments}
                answer, _ = child.communicate(json.dumps(question).encode())
            except BaseException:  # interrupted: nobody waits for it
                child.kill()
                child.wait()
                raise
        return _read(job, answer, child.returncode, folder)


@contextmanager
def _folders(job: Job) -> Iterator[None]:
    """Make what such a process writes into: where the state folder can only be read, it could not.

    Where no attempt is worked on, a document is checked: what stayed empty is taken away again.
    """
    wanted = [job.home.root / name for name in WORKED_IN] if has_walls() else []
    created = [folder for folder in wanted if not folder.exists()]
    for folder in (*created, *([job.attempt] if job.attempt else [])):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for folder in [] if job.attempt else created:
            with suppress(OSError):  # it is not empty
                folder.rmdir()


def has_walls() -> bool:
    """Whether network and keys are out of reach of such a process, not only out of its sight."""
    return bool(_unshare())


def _environment(job: Job, record: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    paths = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if os.path.isabs(p)]
    rooms = str(Path(__file__).resolve().parents[2])
    if rooms != sysconfig.get_path("purelib"):
        paths.append(rooms)
    return kept | {
        "DAMP_HOME": str(job.home.root),
        others_code.INSIDE: ",".join(job.code),
        others_code.RECORD: str(record),
        others_code.EVENT_KEY: job.event_key.hex(),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@cache
def _unshare() -> str | None:
    """The program that gives a process a network and mounts of its own, where it works."""
    program = shutil.which("unshare")
    if program is None:
        return None
    probe = [program, *SEPARATE, "sh", "-c", "mount -t tmpfs none /tmp && exec unshare -U true"]
    tried = subprocess.run(probe, capture_output=True, check=False)
    return program if tried.returncode == 0 else None


def _walls(job: Job) -> list[str]:
    """The beginning of a command that hides network and keys, and locks what decides."""
    program = _unshare()
    if program is None:
        return []
    home = job.home.root
    rw = [home / name for name in (*WORKED_IN, *APPENDED_TO)]
    rw += [job.attempt] if job.attempt else []
    steps = [
        *(_mounted(path, "ro") for path in (home, job.home.trust) if path.exists()),
        *(_mounted(path, "rw") for path in rw if path.exists()),
        *(f"mount -t tmpfs -o ro,size=4k none {_quoted(p)}" for p in job.keys if p.is_dir()),
        "cd /",  # a working folder that was entered before would still be the one below
    ]
    # a second user namespace: what is mounted in the first cannot be taken away from there
    script = " && ".join([*steps, f'exec {shlex.quote(program)} --user --map-root-user "$@"'])
    return [program, *SEPARATE, "sh", "-c", script, "sh"]


def _mounted(path: Path, how: str) -> str:
    return f"mount --bind {_quoted(path)} {_quoted(path)} && mount -o remount,bind,{how} " + (
        _quoted(path)
    )


def _quoted(path: Path) -> str:
    return shlex.quote(str(path.absolute()))


def _read(job: Job, answer: bytes, code: int, folder: Path) -> Answer:
    """The result in an answer; a refusal in it is raised here."""
    names = ", ".join(job.code)
    try:
        content = json.loads(answer) if 0 < len(answer) <= LARGEST else None
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict) and content.keys() == {"result"}:
        read = code_files.recorded(folder / READ, others_code.places(job.code), job.read)
        return Answer(result=content["result"], read=read)
    if isinstance(content, dict) and content.keys() == {"kind", "message"}:
        raise _refusal(str(content["kind"]))(str(content["message"]))
    end = f"signal {-code}" if code < 0 else f"exit code {code}"
    said = _printable((folder / PRINTED).read_bytes()[-4 * SHOWN :].decode(errors="replace"))[
        -SHOWN:
    ]
    raise EventError(
        f"The code of {names} ended its process ({end}) or answered for us. Nothing was signed. "
        f"Its last words: '{said}'. Have whoever wrote it correct it."
    )


def _refusal(kind: str) -> type[FlowError]:
    """Ours of that name, where one message makes it."""
    error = getattr(errors, kind, None)
    if not isinstance(error, type) or not issubclass(error, FlowError):
        return EventError
    return EventError if error is errors.RecipeFileError else error


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text).strip()


def main() -> None:
    """Answer the question on standard input; what the code prints goes to standard error."""
    die_with(int(sys.argv[1]))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    question = json.load(sys.stdin)
    others_code.watch_in_here()
    json.dump(_answer(question["target"], question["arguments"]), answers)
    answers.flush()


def _answer(target: str, arguments: Json) -> Json:
    room, _, name = target.partition(":")
    try:
        prepared()
        return {"result": getattr(import_module(room), name)(**arguments)}
    except Exception as error:
        if not errors.is_refusal(error):
            raise
        return {"kind": type(error).__name__, "message": str(error)}


if __name__ == "__main__":
    main()
