"""How the house is to live in, counted: crowded folders, string keys, idiom, comments, lines.

    python -m benchmarks.house [--json] [FOLDER]

Counts the Python sources of `damp`, `audits`, `compliance` and `flows` under FOLDER (default: this
checkout), so that two checkouts can be compared. Lines are lines of files, blank ones and
docstrings included; a look-up is a subscript by a string literal that is read, written or deleted.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

BUILDINGS = ("damp", "audits", "compliance", "flows")
IDIOM = frozenset({"told", "found", "made", "known", "seen", "gave", "did"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was counted in one building.

    Attributes:
        lines: Of all files.
        crowded: Most files in one folder, `__init__.py` left out.
        look_ups: Subscripts by a string literal, per 1,000 lines.
        idiom: Bindings called told, found, made, known, seen, gave or did, per 1,000 lines.
        comments: Comments per 100 lines.
    """

    lines: int
    crowded: int
    look_ups: float
    idiom: float
    comments: float


def bindings(tree: ast.AST) -> Iterator[str]:
    """Every name that is bound: assigned, looped over, taken as a parameter, defined, a field."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name


def count_comments(text: str) -> int:
    """Comments, those on a line of code included."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return sum(token.type == tokenize.COMMENT for token in tokens)


def count_look_ups(tree: ast.AST) -> int:
    """Subscripts by a string literal."""
    return sum(
        isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.slice.value, str)
        for node in ast.walk(tree)
    )


def count(folder: Path) -> Figures:
    """The figures of one building."""
    files = sorted(folder.rglob("*.py"))
    texts = [file.read_text(encoding="utf-8") for file in files]
    trees = [ast.parse(text) for text in texts]
    lines = sum(text.count("\n") for text in texts)
    folders = Counter(file.parent for file in files if file.name != "__init__.py")
    idiom = sum(name in IDIOM for tree in trees for name in bindings(tree))
    return Figures(
        lines=lines,
        crowded=max(folders.values()),
        look_ups=round(1000 * sum(map(count_look_ups, trees)) / lines, 1),
        idiom=round(1000 * idiom / lines, 1),
        comments=round(100 * sum(map(count_comments, texts)) / lines, 1),
    )


def main() -> None:
    """Print the figures, a line for each building."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = {name: count(options.folder / name) for name in BUILDINGS}
    total = sum(one.lines for one in figures.values())
    if options.json:
        content = {name: asdict(one) for name, one in figures.items()}
        print(json.dumps({"buildings": content, "lines": total}, indent=1))
        return
    print(f"{'':<11} {'lines':>6} {'crowded':>8} {'look-ups':>9} {'idiom':>6} {'comments':>9}")
    for name, one in figures.items():
        print(
            f"{name:<11} {one.lines:>6} {one.crowded:>8} {one.look_ups:>9} {one.idiom:>6} "
            f"{one.comments:>9}"
        )
    print(f"{'all':<11} {total:>6}")


if __name__ == "__main__":
    main()
