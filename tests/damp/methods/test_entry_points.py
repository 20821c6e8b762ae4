"""A team's own methods: which is meant by a name, and what its digest is of."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from damp.methods import BadSetting, entry_points


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python imports from."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def install(place: Path, package: str, point: str, *, version: str = "1.0") -> None:
    info = place / f"{package.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[damp.methods]\n{point}\n")


def expected(files: dict[str, bytes]) -> str:
    text = b"".join(f"{n}\n{len(c)}\n".encode() + c for n, c in sorted(files.items()))
    return hashlib.sha256(text).hexdigest()


def test_a_method_is_named_with_its_package_and_the_digest_of_its_source(place: Path) -> None:
    source = b"def run(job):\n    return job\n"
    (place / "team_alpha.py").write_bytes(source)
    install(place, "team-alpha", "alpha = team_alpha:run", version="2.3")
    method = entry_points.find("alpha")
    assert (method.name, method.target) == ("alpha", "team_alpha:run")
    assert (method.distribution, method.version) == ("team-alpha", "2.3")
    assert method.sha256 == expected({"team_alpha.py": source})
    assert method.load()(7) == 7  # type: ignore[arg-type]
    assert "alpha" in entry_points.names()


def test_a_digest_is_of_every_python_file_below_the_outermost_package(place: Path) -> None:
    files = {"__init__.py": b"", "deep/__init__.py": b"# deep\n", "deep/run.py": b"x = 1\n"}
    for name, content in {**files, "notes.txt": b"no source"}.items():
        file = place / "team_beta" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    assert entry_points.digest_of_source("team_beta.deep.run") == expected(files)
    (place / "team_beta" / "notes.txt").write_bytes(b"other")
    assert entry_points.digest_of_source("team_beta") == expected(files)
    (place / "team_beta" / "deep" / "run.py").write_bytes(b"x = 2\n")
    assert entry_points.digest_of_source("team_beta") != expected(files)


@pytest.mark.parametrize("kind", ["nothing", "compiled", "empty package", "folder"])
def test_what_has_no_python_source_is_refused(place: Path, kind: str) -> None:
    name = f"team_{kind.replace(' ', '_')}"
    if kind == "compiled":
        import py_compile

        (place / "source.py").write_text("x = 1\n")
        py_compile.compile(str(place / "source.py"), str(place / f"{name}.pyc"))
    if kind == "empty package":
        (place / name).mkdir()
    if kind == "folder":  # one that only looks like a file of source
        (place / name / "a.py").mkdir(parents=True)
    with pytest.raises(BadSetting, match=f"'{name}' has no Python source to be pinned"):
        entry_points.digest_of_source(f"{name}.run")


def test_names_that_mean_nothing_or_too_much_are_refused_in_words(place: Path) -> None:
    for package in ("team-gamma", "team-delta"):
        install(place, package, f"twice = {package.replace('-', '_')}:run")
    words = "2 installed packages bring a method 'twice': uninstall all but one"
    with pytest.raises(BadSetting, match=words):
        entry_points.find("twice")
    with pytest.raises(BadSetting, match=r"There is no method 'nobody'\. There are: .*twice"):
        entry_points.find("nobody")
    install(place, "team-epsilon", "fine_tune = team_epsilon:run")
    with pytest.raises(BadSetting, match="'fine_tune' is a method of damp's table"):
        entry_points.find("fine_tune")


@pytest.mark.parametrize(
    ("source", "words"),
    [("raise RuntimeError('broken')", "RuntimeError: broken"), ("run = 3", "is no function")],
)
def test_what_cannot_be_called_is_refused_where_it_is_loaded(
    place: Path, source: str, words: str
) -> None:
    name = f"team_zeta_{len(source)}"
    (place / f"{name}.py").write_text(source + "\n")
    install(place, name.replace("_", "-"), f"zeta = {name}:run")
    method = entry_points.find("zeta")
    with pytest.raises(BadSetting, match=words):
        method.load()
