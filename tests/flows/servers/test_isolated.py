"""Code of somebody else: it sees no key, no passphrase and no address, and cannot end a command."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.servers import isolated
from flows.state import code_files, keyring, others_code
from flows.state.errors import EventError, ModelError
from flows.state.files import digest_file
from flows.state.paths import Home

Users = Callable[[str], str]

SPY = """
import os, pathlib, socket, torch
from torch import nn
def build(classes, input_shape):
    environment = dict(os.environ)
    listed = {folders}
    keys = [p.name for f in listed for p in pathlib.Path(f).rglob('*.pem')]
    try:
        socket.create_connection(('127.0.0.1', {port}), timeout=2)
        reached = True
    except OSError:
        reached = False
    raise ValueError(repr((sorted(n for n in environment if n.startswith('DAMP')), keys, reached)))
"""


def built(home: Home, architecture: str, code: dict[str, str] | None = None) -> object:
    module = architecture.partition(":")[0]
    arguments = {"architecture": architecture, "classes": 4, "input_shape": [1, 8, 8]}
    allowed = others_code.allowed([architecture], [module], document=Path("claim.yaml"))
    return isolated.run(
        isolated.Job.of(home, "flows.models.architectures:build", arguments, code or allowed)
    )


def test_it_sees_no_key_no_passphrase_and_no_address(
    home: Home, users_module: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    pair = keyring.new(home, role="executor", days=1)
    monkeypatch.setenv("DAMP_KEY_PASSPHRASE", "secret")
    monkeypatch.setenv("DAMP_MLFLOW_URI", "http://127.0.0.1:5000")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        folders = [str(folder) for folder in keyring.folders(home)]
        name = users_module(SPY.format(folders=folders, port=port))
        with pytest.raises(ModelError) as caught:
            built(home, f"{name}:build")
        message = str(caught.value)
    for variable in ("PASSPHRASE", "DAMP_KEYS", "MLFLOW"):
        assert variable not in message
    if isolated.has_walls():
        assert "[], False)" in message
    assert next(keyring.folders(home)[0].glob("*.pem")).stem == pair.keyid  # here they are


WRITES = """
import os, pathlib
def build(classes, input_shape):
    home, done = pathlib.Path(os.environ["DAMP_HOME"]), []
    for name in {names}:
        for folder in (home, home.relative_to("/")):
            try:
                os.chdir("/")
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text("theirs")
                done.append(name)
            except OSError:
                pass
    for move in (lambda: os.rename(home, str(home) + "2"), lambda: os.unlink(home / "trust.json")):
        try:
            move()
            done.append("moved")
        except OSError:
            pass
    raise ValueError(repr(done))
"""
DECIDES = (
    *("trust.json", "settings.toml", "servers.auth", "new.txt", "dvc.yaml"),
    *("prefect/results/key", "services/prefect.json", "checkpoints/1.txt", "events/e/origin.json"),
    *(
        "mlflow.db",
        "index.html",
        "events/e/claim.yaml",
        "events/e/attempt-1/statement.dsse.json",
        "keys/own.pem",
    ),
)
"""What the process that signs reads: code or words planted there would count beside the key."""


@pytest.mark.parametrize("before", [True, False], ids=["there-already", "not-there-yet"])
def test_what_decides_and_what_is_started_is_out_of_its_reach(
    home: Home, users_module: Users, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    if not isolated.has_walls():
        pytest.skip("NOT TESTED: this kernel gives no process mounts of its own")
    keyring.new(home, role="executor", days=1)
    for name in DECIDES if before else ():
        (home.root / name).parent.mkdir(parents=True, exist_ok=True)
        if not (home.root / name).exists():
            (home.root / name).write_text("# ours")
    trust = home.trust.read_bytes()
    name = users_module(WRITES.format(names=DECIDES))
    monkeypatch.chdir(home.root)  # a folder that was entered before the mounts are made
    with pytest.raises(ModelError, match=r"ValueError: \[\]"):
        built(home, f"{name}:build")
    assert home.trust.read_bytes() == trust
    for each in DECIDES[1:]:
        assert (home.root / each).exists() is before
        assert not before or (home.root / each).read_text() == "# ours"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("os.abort()", f"signal {int(signal.SIGABRT)}"),
        ("os._exit(0)", "exit code 0"),
        ("os.write(1, b'{}'); os._exit(2)", "exit code 2"),
        ("os.kill(os.getpid(), 9)", "signal 9"),
        ("print('\\x1b[2J' * 9, flush=True); os._exit(1)", "exit code 1"),
    ],
)
def test_whatever_it_does_to_its_process_is_a_refusal(
    home: Home, users_module: Users, line: str, words: str
) -> None:
    name = users_module(f"import os\ndef build(classes, input_shape):\n    {line}\n")
    with pytest.raises(EventError) as caught:
        built(home, f"{name}:build")
    assert words in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_check_leaves_no_empty_folders(home: Home, users_module: Users) -> None:
    name = users_module("def build(classes, input_shape): raise ValueError('no')")
    before = sorted(home.root.iterdir()) if home.root.exists() else []
    with pytest.raises(ModelError, match="ValueError: no"):
        built(home, f"{name}:build")
    assert (sorted(home.root.iterdir()) if home.root.exists() else []) == before


def test_a_module_that_was_not_allowed_is_not_imported_there(
    home: Home, users_module: Users, tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    name = users_module(f"open({str(mark)!r}, 'w')")
    with pytest.raises(EventError, match=f"Module '{name}' was to be imported"):
        built(
            home,
            f"{name}:build",
            code={"json": digest_file(others_code.file_of("json"))},
        )
    assert not mark.exists()


def test_a_module_that_has_changed_since_it_was_allowed_does_not_run(
    home: Home, users_module: Users
) -> None:
    name = users_module("")
    digest = others_code.allowed([f"{name}:build"], [name], document=Path("claim.yaml"))
    Path(os.environ["DAMP_CODE"], f"{name}.py").write_text("import os; os.abort()")
    with pytest.raises(EventError, match="has changed since it was allowed"):
        built(home, f"{name}:build", code=digest)


def test_bytecode_beside_the_source_is_not_what_runs(
    home: Home, users_module: Users, tmp_path: Path
) -> None:
    """An unchecked `.pyc` runs in place of the source whose digest was pinned."""
    import importlib.util
    import py_compile

    name = users_module("def build(classes, input_shape): raise ValueError('the source')\n")
    other = tmp_path / "other.py"
    other.write_text("def build(classes, input_shape): raise ValueError('the bytecode')\n")
    target = importlib.util.cache_from_source(
        str(Path(os.environ["DAMP_CODE"], f"{name}.py").absolute())
    )
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(other), cfile=target, invalidation_mode=mode)
    with pytest.raises(ModelError, match="ValueError: the source"):
        built(home, f"{name}:build")


BESIDE = """
def build(classes, input_shape):
    import sys
    import {beside}.deep
    del sys.modules["{beside}.deep"], sys.modules["{beside}"]
    from torch import nn
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
"""
"""Imports what lies beside it when it is called, not when it is imported, and hides that."""


def beside(text: str) -> Path:
    """A package beside the users' module, with a module in it; the module's file."""
    import uuid

    folder = Path(os.environ["DAMP_CODE"], f"beside_{uuid.uuid4().hex}")
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "deep.py").write_text(text)
    return folder / "deep.py"


def parameters(home: Home, module: str, read: dict[str, str] | None = None) -> isolated.Answer:
    """What came of counting the parameters of the module's network, where it may run."""
    code = others_code.allowed([f"{module}:build"], [module], document=Path("claim.yaml"))
    arguments = {
        "architecture": f"{module}:build",
        "classes": 4,
        "input_shape": [1, 8, 8],
    }
    target = "tests.flows.servers.counted:parameters"
    return isolated.run(isolated.Job.of(home, target, arguments, code, read or {}))


def test_what_it_imports_from_beside_it_is_written_down(home: Home, users_module: Users) -> None:
    """Also where it takes itself out of `sys.modules`, and is imported late."""
    users_module("")
    deep = beside("")
    name = users_module(BESIDE.format(beside=deep.parent.name))
    answer = parameters(home, name)
    own = Path(os.environ["DAMP_CODE"], f"{name}.py")
    files = {str(own), str(deep), str(deep.parent / "__init__.py")}
    assert answer.read == {file: digest_file(Path(file)) for file in files}
    named = code_files.named(answer.read, others_code.places([name]))
    assert set(named) == {
        f"{name}.py",
        *(f"{deep.parent.name}/{n}.py" for n in ("deep", "__init__")),
    }


def test_what_was_read_before_must_be_unchanged_before_anything_runs(
    home: Home, users_module: Users, tmp_path: Path
) -> None:
    users_module("")
    deep = beside("")
    name = users_module(BESIDE.format(beside=deep.parent.name))
    read = dict(parameters(home, name).read)
    mark = tmp_path / "ran"
    deep.write_text(f"open({str(mark)!r}, 'w')")
    with pytest.raises(EventError, match=r"deep\.py has changed since it was read as code"):
        parameters(home, name, read)
    assert not mark.exists()


def test_code_that_writes_itself_anew_is_refused(home: Home, users_module: Users) -> None:
    users_module("")
    deep = beside("open(__file__, 'a').write('# again')")
    name = users_module(BESIDE.format(beside=deep.parent.name))
    with pytest.raises(EventError, match=r"deep\.py (has changed|was read as code twice)"):
        parameters(home, name)


@pytest.mark.parametrize("line", ["no json", "[1, 2]", '["/etc/passwd", "{digest}"]'])
def test_a_record_that_the_code_has_forged_is_refused(
    home: Home, users_module: Users, line: str
) -> None:
    users_module("")
    forged = line.format(digest="0" * 64)
    deep = beside(f"import os; open(os.environ['DAMP_CODE_READ'], 'a').write({forged!r} + chr(10))")
    name = users_module(BESIDE.format(beside=deep.parent.name))
    with pytest.raises(EventError, match="written by that code itself"):
        parameters(home, name)


def test_bytecode_of_what_is_imported_late_is_not_what_runs(
    home: Home, users_module: Users, tmp_path: Path
) -> None:
    import importlib.util
    import py_compile

    users_module("")
    deep = beside("raise ValueError('the source')")
    name = users_module(BESIDE.format(beside=deep.parent.name))
    other = tmp_path / "other.py"
    other.write_text("raise ValueError('the bytecode')")
    target = importlib.util.cache_from_source(str(deep))
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(other), cfile=target, invalidation_mode=mode)
    with pytest.raises(ModelError, match="ValueError: the source"):
        parameters(home, name)


def test_where_code_lies(tmp_path: Path) -> None:
    """A module of the user's: its folder. One among others' packages: its package, or itself."""
    import abc
    import json.decoder

    import click

    for module, place in {
        "abc": Path(abc.__file__),
        "json.decoder": Path(json.__file__).parent,
        "click": Path(click.__file__).parent,
    }.items():
        assert code_files.places({module: others_code.file_of(module)}, None) == (place,)
    theirs = {"theirs.nets": tmp_path / "theirs" / "nets.py"}
    assert code_files.places(theirs, None) == (tmp_path,)
    assert code_files.places({}, tmp_path) == (tmp_path,)
    ours = Path(isolated.__file__)
    assert not code_files.below(str(ours), (ours.parents[2],))


@pytest.mark.parametrize(
    ("text", "modules"),
    [
        ("theirs:network", ["theirs"]),
        ("os:abort", ["os"]),
        ("torchvision:resnet18", []),
        ("damp:cnn", []),
        ("imagefolder:photos", []),
        ("digits", []),
        ("a.b.c:d", ["a.b.c"]),
    ],
)
def test_what_is_code_of_somebody_else(text: str, modules: list[str]) -> None:
    assert others_code.modules([text, None]) == modules


def test_a_module_is_refused_with_its_file_unless_it_was_allowed(users_module: Users) -> None:
    name = users_module("raise SystemExit('ran')")
    texts, document = [f"{name}:data", "damp:cnn"], Path("claim.yaml")
    for allow in ([], ["os"], [f"{name}:data"], [f"{name}."]):
        with pytest.raises(EventError) as caught:
            others_code.allowed(texts, allow, document=document)
        for word in ("claim.yaml", f"{name}.py", f"--allow-code {name}", "Nothing of it was run"):
            assert word in str(caught.value)
    assert list(others_code.allowed(texts, [name], document=document)) == [name]


def test_nothing_is_imported_to_find_where_a_module_lies(
    users_module: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(os.environ["DAMP_CODE"], f"{users_module('')}_package")
    folder.mkdir()
    (folder / "__init__.py").write_text("raise SystemExit('ran')")
    (folder / "inner.py").write_text("raise SystemExit('ran')")
    file = others_code.file_of(f"{folder.name}.inner")
    assert file == (Path(os.getcwd()) / folder / "inner.py")
    assert not [name for name in sys.modules if name.startswith(folder.name)]
    with pytest.raises(EventError, match="no file of a module"):
        others_code.file_of("no_such_module")
