"""What MkDocs needs to build docs/ as it lies here: the first page, and pages linked from outside.

The README is the site's first page. Results that the pages link to are taken along. A link to a
source file stays as its text: the site holds no code but that of the API pages.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
TWO_WORDS = re.compile(r"^```(\w+) \w+$", flags=re.MULTILINE)
"""A block with a second word for the tests, which MkDocs takes for no fence at all."""
TARGET = re.compile(r"\]\(([^)\s]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """The README as first page, and the results beside the pages."""
    files.append(File.generated(config, "index.md", content=(ROOT / "README.md").read_text()))
    for path in sorted(RESULTS.iterdir()):
        if path.suffix in (".md", ".json"):
            name = f"benchmarks/{path.name}"
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page with its links as the site has them."""
    source = page.file.src_uri
    depth = "../" * source.count("/")

    def moved(link: re.Match[str]) -> str:
        target = link[1]
        if "://" in target or target.startswith(("#", "mailto:")):
            return link[0]
        if source == "index.md":
            target = target.removeprefix("docs/")
        elif source.startswith("benchmarks/"):
            target = re.sub(r"^(\.\./)+docs/", depth, target)
        else:
            target = re.sub(r"^(\.\./)+benchmarks/results/", f"{depth}benchmarks/", target)
            target = re.sub(r"^(\.\./)+README\.md", f"{depth}index.md", target)
        if _is_source(target):
            return "]"
        return f"]({target})"

    linked = TARGET.sub(moved, TWO_WORDS.sub(r"```\1", markdown))
    return re.sub(r"\[([^\[\]]+)\](?![(\[:])", _text_of_a_lost_link(markdown, linked), linked)


def _is_source(target: str) -> bool:
    """Whether a link points to a file that the site does not have."""
    path = target.partition("#")[0]
    return bool(path) and Path(path).suffix not in (".md", ".json", ".png", ".svg", ".html")


def _text_of_a_lost_link(before: str, after: str) -> Any:
    """Replaces `[text]` by its text where the link behind it was taken away, and nowhere else."""
    lost = {
        match[1]
        for match in re.finditer(r"\[([^\[\]]+)\]\(([^)\s]+)\)", before)
        if f"[{match[1]}](" not in after
    }
    return lambda match: match[1] if match[1] in lost else match[0]
