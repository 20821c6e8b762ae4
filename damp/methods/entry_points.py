"""A team's own methods, by Python entry points of the group `damp.methods`.

    [project.entry-points."damp.methods"]
    ours = "our_package.forgetting:run"

Such a function is called as every method is, `run(job, **settings)`, and gives a network back. It
is foreign code in the operator's own environment: a record names its distribution, version and the
digest of its source, and whoever runs it under another digest is refused.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from damp.methods.catalogue import METHODS
from damp.methods.errors import BadSetting

if TYPE_CHECKING:
    from damp.methods.running import Method

GROUP = "damp.methods"


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamMethod:
    """A method that an installed package brings along; nothing of it was imported yet.

    Attributes:
        name: What a request's `method.name` takes.
        target: "package.module:function".
        distribution: Name of the package as it was installed.
        version: Of the package.
        sha256: Of every Python file below the package's folder, or of the one file that it is.
    """

    name: str
    target: str
    distribution: str
    version: str
    sha256: str

    def load(self) -> Method:
        """Import it.

        Raises:
            BadSetting: It cannot be imported, or is no function.
        """
        point = EntryPoint(name=self.name, value=self.target, group=GROUP)
        try:
            function: Method = point.load()
        except Exception as problem:  # foreign code may raise anything
            raise BadSetting(
                f"The method '{self.name}' of {self.distribution} {self.version} cannot be "
                f"imported ({type(problem).__name__}: {problem}). Install it anew, or take another."
            ) from problem
        if not callable(function):
            raise BadSetting(f"The method '{self.name}', {self.target}, is no function.")
        return function


def names() -> tuple[str, ...]:
    """Of the methods that installed packages bring along."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def find(name: str) -> TeamMethod:
    """The installed method of a name.

    Raises:
        BadSetting: There is none, more than one, or one without source.
    """
    points = entry_points(group=GROUP, name=name)
    distinct = {(point.value, point.dist.name if point.dist else ""): point for point in points}
    if name in METHODS or len(distinct) != 1:
        raise BadSetting(_why_not_one(name, len(distinct)))
    (point,) = distinct.values()
    if point.dist is None:
        raise BadSetting(f"The method '{name}' belongs to no installed package: install one.")
    return TeamMethod(
        name=name,
        target=point.value,
        distribution=point.dist.name,
        version=point.dist.version,
        sha256=digest_of_source(point.module),
    )


def _why_not_one(name: str, count: int) -> str:
    if name in METHODS:
        return f"'{name}' is a method of damp's table: give your own another name."
    if count:
        return f"{count} installed packages bring a method '{name}': uninstall all but one."
    others = ", ".join((*METHODS, *names()))
    return f"There is no method '{name}'. There are: {others}."


def digest_of_source(module: str) -> str:
    """SHA-256 over the Python files of a module's outermost package, by path; nothing is imported.

    Raises:
        BadSetting: It has no source file.
    """
    outermost = module.partition(".")[0]
    spec = find_spec(outermost)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    root = Path(folders[0]) if folders else Path(spec.origin or "") if spec else Path()
    files = sorted(root.rglob("*.py")) if folders else [root]
    if not files or not all(file.is_file() and file.suffix == ".py" for file in files):
        raise BadSetting(
            f"'{outermost}' has no Python source to be pinned: install it with source."
        )
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        name = file.relative_to(root).as_posix() if folders else file.name
        digest.update(f"{name}\n{len(content)}\n".encode() + content)
    return digest.hexdigest()
