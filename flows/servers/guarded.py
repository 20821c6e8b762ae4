"""Serve Prefect or MLflow behind the guard. What to serve, and how, comes as JSON on its input.

    python -P -m flows.servers.guarded < instructions
    python -P -m flows.servers.guarded FILE

Passwords of databases and of the server itself come this way too: they are on no command line, and
in no environment that another process can read.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from flows.servers.die_with_parent import die_with
from flows.state import children, prefect_files

HOSTS = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instructions:
    """How a server is to be run.

    Attributes:
        application: What makes it, as `module:callable`.
        arguments: What that is called with.
        variables: Its settings; they reach no environment but its own.
        auth: `user:password` that the guard asks for; None where the application asks itself.
        port: Where it listens.
        address: On which of the machine's addresses.
        hosts: Names that it is reached by.
        owner: The process that it ends with; None where it outlives the command.
    """

    application: str
    port: int
    arguments: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    auth: str | None = None
    address: str = "127.0.0.1"
    hosts: tuple[str, ...] = HOSTS
    owner: int | None = None

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def of_json(cls, text: bytes) -> Instructions:
        fields = json.loads(text)
        return cls(**fields | {"hosts": tuple(fields.get("hosts", HOSTS))})


def prefect(
    port: int, *, auth: str, variables: Mapping[str, str], owner: int | None = None
) -> Instructions:
    """Prefect's API and its page. It asks for the password itself, and its page does."""
    own = {
        "PREFECT_SERVER_API_AUTH_STRING": auth,
        "PREFECT_API_AUTH_STRING": auth,  # its services are clients of its own
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(f"http://{host}:{port}" for host in HOSTS),
    }
    return Instructions(
        application="prefect.server.api.server:create_app",
        port=port,
        variables={**variables, **own},
        owner=owner,
    )


def mlflow(port: int, *, auth: str, database: str, artifacts: str) -> Instructions:
    """MLflow's API and its page. It asks nobody for a password, so the guard does."""
    return Instructions(
        application="flows.registry.mlflow_server:application",
        arguments={"database": database, "artifacts": artifacts},
        port=port,
        variables={"MLFLOW_LOGGING_LEVEL": "WARNING"},
        auth=auth,
    )


def start(instructions: Instructions, log: IO[bytes], home: Path) -> subprocess.Popen[bytes]:
    """Start such a server in the state folder, in a session of its own."""
    process = subprocess.Popen(
        children.python("flows.servers.guarded"),
        env=children.environment("PREFECT_", "MLFLOW_"),
        cwd=home,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        start_new_session=True,  # Ctrl-C is for the flow, which then ends its server in order
    )
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    with contextlib.suppress(BrokenPipeError), process.stdin as pipe:  # its end is noticed later
        pipe.write(instructions.to_json())
    process.stdin = None
    return process


def serve(instructions: Instructions) -> None:
    """Serve until the process is ended."""
    if instructions.owner is not None:
        die_with(instructions.owner)
    os.environ.update(instructions.variables)
    prefect_files.ignore_those_of_the_folder()
    module, _, name = instructions.application.partition(":")
    application: Any = getattr(importlib.import_module(module), name)(**instructions.arguments)
    import uvicorn

    from flows.servers.guard import Guard

    uvicorn.run(
        Guard(
            application,
            port=instructions.port,
            hosts=instructions.hosts,
            auth=instructions.auth,
        ),
        host=instructions.address,
        port=instructions.port,
        log_level="error",
        lifespan="on",
        server_header=False,
    )


def main() -> None:
    """Read the instructions to their end, and serve."""
    file = sys.argv[1] if len(sys.argv) > 1 else None
    serve(Instructions.of_json(Path(file).read_bytes() if file else sys.stdin.buffer.read()))


if __name__ == "__main__":
    main()
