"""Digests of what code does: docstrings and comments may change, and nothing is measured again.

What measures has one; an edit of ours has another one, of what makes it, so that a better preset
makes its own findings stale and nobody else's.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
READING = ("errors", "hooks", "layouts", "operators", "outputs", "running", "tracing")
"""Modules of `damp` by which audits and controls read a network."""
MEASURING = (
    *("audits", "benchmarks/validity/cheats", "benchmarks/validity/bench.py"),
    *(f"damp/{name}.py" for name in READING),
)
NATURAL = (
    *("natural", "natural_edit", "natural_plan", "natural_share", "gated_writing"),
    *("sum_writers", "dense_writer", "sums", "rows", "parts"),
)
"""Modules of `damp` that make the preset `natural` and no other edit."""
TRAINING = {"renewed": ("flows/models/renewal.py",)}
"""What makes an edit beside `damp`, by its name."""


def source_digest(files: Iterable[Path]) -> str:
    """Sixteen hexadecimal digits of what the statements of some files are.

    Args:
        files: Python modules, in the order in which they count.
    """
    digest = hashlib.sha256()
    for file in files:
        tree = ast.parse(file.read_text())
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list):
                node.body = [each for each in body if not _is_text(each)]  # type: ignore[attr-defined]
        digest.update(ast.dump(tree).encode())
    return digest.hexdigest()[:16]


@cache
def measuring() -> str:
    """Of audits, controls, cheats and the bench."""
    return source_digest(_files(MEASURING))


@cache
def editing(name: str) -> str:
    """Of what makes one of our own edits: all of `damp`, and what trains where it trains."""
    own = (f"damp/{module}.py" for module in NATURAL)
    files = _files(("damp", *TRAINING.get(name, ())))
    left_out = set() if name == "natural" else {ROOT / path for path in own}
    return source_digest(file for file in files if file not in left_out)


def _files(sources: Iterable[str]) -> list[Path]:
    paths = [ROOT / source for source in sources]
    return [
        file for path in paths for file in (sorted(path.glob("*.py")) if path.is_dir() else [path])
    ]


def _is_text(statement: ast.AST) -> bool:
    """Whether a statement is a docstring, of a module, class, function or attribute."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
