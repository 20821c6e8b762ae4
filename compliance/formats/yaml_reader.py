"""YAML as people write it, with the line and column of every key.

Plain data only: mappings, lists, strings, numbers, truth values, null. Tags, anchors and equal keys
are refused, dates stay text (their reader must see the zone). All problems are reported together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compliance.formats import files, plain_text
from compliance.formats.errors import DocumentError

LARGEST = 256 * 1024  # bytes; a request or a policy is far below
Place = tuple[int, int]
Keys = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
_TEXT = frozenset({f"{_TAG}str", f"{_TAG}timestamp"})
_SCALARS = frozenset(f"{_TAG}{kind}" for kind in ("int", "float", "bool", "null"))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Document:
    """A YAML file's content and where each key of it stands.

    Attributes:
        name: Name of the file, for messages.
        content: Plain data.
        places: Keys from the top, ("scope", "selector", "index"), to (line, column), from 1.
        problems: What is wrong with the YAML itself, as keys and reason; the content is what is
            left without it.
    """

    name: str
    content: Any
    places: Mapping[Keys, Place]
    problems: Sequence[tuple[Keys, str]] = ()

    def place(self, keys: Keys) -> Place:
        """Line and column of a key; where it is missing, of what should hold it."""
        nearest = next(keys[:n] for n in range(len(keys), -1, -1) if keys[:n] in self.places)
        return self.places[nearest]

    def problem(self, keys: Keys, reason: str) -> str:
        """One line that points at a key."""
        line, column = self.place(keys)
        dotted = ".".join(str(key) for key in keys) or "the file"
        return f"{self.name}, line {line}, column {column}, {dotted}: {reason}"


def read(path: Path, refusal: type[DocumentError]) -> Document:
    """The file's content.

    Raises:
        refusal: unreadable, too large, no UTF-8, and what `parse` refuses.
    """
    try:
        raw = files.read(path, LARGEST + 1)
        text = raw.decode("utf-8")
    except OSError as error:
        raise refusal([f"{path}: cannot be read: {error.strerror}. Check the path."]) from error
    except UnicodeDecodeError as error:
        raise refusal(
            [f"{path}: no UTF-8 text at byte {error.start}. Save it as UTF-8."]
        ) from error
    if len(raw) > LARGEST:
        raise refusal([f"{path}: larger than {LARGEST} bytes, which no such file needs."])
    return parse(text, path.name, refusal)


def parse(text: str, name: str, refusal: type[DocumentError]) -> Document:
    """The content of a YAML text.

    Equal keys, tags and anchors are among the `problems` of what is returned, so that they can be
    told together with the mistakes in the content.

    Raises:
        refusal: no YAML, or several documents.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    reader = YAML(typ="safe", pure=True)
    try:
        node = reader.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise refusal([f"{name}{where}: {error.problem or error.context}."]) from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise refusal([f"{name}: no YAML: {' '.join(str(error).split())[:200]}."]) from error
    if node is None:
        raise refusal([f"{name}: the file is empty."])
    walk = _Walk(constructor=reader.constructor)
    try:
        content = walk.value(node, ())
    except (RecursionError, ValueError) as error:
        raise refusal([f"{name}: no plain YAML: {error}."]) from error
    return Document(name=name, content=content, places=walk.places, problems=walk.problems)


@dataclass(slots=True)
class _Walk:
    """From ruamel's nodes to plain data, noting places and problems on the way."""

    constructor: Any
    places: dict[Keys, Place] = field(default_factory=dict)
    problems: list[tuple[Keys, str]] = field(default_factory=list)

    def value(self, node: Any, keys: Keys) -> Any:
        self.places.setdefault(keys, (node.start_mark.line + 1, node.start_mark.column + 1))
        if node.anchor is not None:
            self.problems.append((keys, "anchors (&) and aliases (*) are not read: write it out."))
            return None
        if isinstance(node.value, list):
            return self._collection(node, keys)
        if node.tag in _TEXT:
            if sign := plain_text.unreadable(node.value):
                self.problems.append((keys, f"holds {sign}, which is no text: take it out."))
            return node.value
        if node.tag in _SCALARS:
            return self.constructor.construct_object(node)
        self.problems.append((keys, f"the tag {node.tag} is not read: write plain YAML."))
        return None

    def _collection(self, node: Any, keys: Keys) -> Any:
        if node.tag == f"{_TAG}seq":
            return [self.value(item, (*keys, i)) for i, item in enumerate(node.value)]
        if node.tag == f"{_TAG}map":
            return dict(self._pairs(node, keys))
        self.problems.append((keys, f"the tag {node.tag} is not read: write plain YAML."))
        return None

    def _pairs(self, node: Any, keys: Keys) -> Iterator[tuple[str, Any]]:
        for key, value in node.value:
            place = (key.start_mark.line + 1, key.start_mark.column + 1)
            here = (*keys, str(key.value))
            if sign := plain_text.unreadable(str(key.value)):
                self.places[here] = place
                self.problems.append((here, f"the key holds {sign}: take it out."))
            elif key.tag != f"{_TAG}str":
                self.places[here] = place
                self.problems.append((here, "a key must be text: put it in quotes."))
            elif here in self.places:
                line = self.places[here][0]
                self.problems.append(
                    (here, f"given twice, here and in line {place[0]}: keep one.")
                    if line != place[0]
                    else (here, "given twice: keep one.")
                )
            else:
                self.places[here] = place
                yield key.value, self.value(value, here)
