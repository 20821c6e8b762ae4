"""Text from files, keys and people, made to mean only itself wherever a person reads it.

A name can hold what a terminal obeys (escapes), what reorders a line (direction marks) or what
Markdown follows (links, images). `visible` spells such characters out, and every way to a reader
passes it: the console, Prefect's pages, Markdown, HTML, logs and the messages of errors.
"""

from __future__ import annotations

import re
import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(value: object) -> object:
    """Text without invisible tricks: control, direction and surrogate characters are spelled out.

    A right-to-left override in a name could make "DETELED" read "DELETED" in a signed report.
    Line ends and tabs stay. Values that are not plain `str` (numbers, finished markup) pass
    unchanged.

    >>> visible("a\\x1b[2Jb")
    'a\\\\u001b[2Jb'
    """
    if type(value) is not str:
        return value
    return clean(value)


def clean(text: str) -> str:
    """The text as `visible` has it."""
    if text.isprintable():
        return text
    return "".join(_spelled(c) if unicodedata.category(c) in _HIDDEN else c for c in text)


def one_line(value: object) -> str:
    """A value as visible text on one line."""
    return " ".join(clean(str(value)).split())


def markdown(value: object) -> str:
    """A value as Markdown that means only itself: on one line, without markup, link or mention."""
    escaped = re.sub(r"([\\`*_\[\]#|~$@])", r"\\\1", one_line(value))
    unlinked = re.sub(r"(?i)(www)\.|:(?=//)", lambda m: f"{m[1]}\\." if m[1] else "\\:", escaped)
    return unlinked.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(value: object) -> str:
    """A value as a code span of Markdown; signs that could end it are left out."""
    return f"`{bare(value).replace('|', '/')}`"


def bare(value: object) -> str:
    """A value on one line, without backticks."""
    return one_line(value).replace("`", "")


def unreadable(text: str) -> str:
    """Which character of a text no file should hold, in words; empty where there is none."""
    for character in text:
        category = unicodedata.category(character)
        if category == "Cs":
            return f"half a character (U+{ord(character):04X})"
        if category == "Cc" and character not in "\n\t\r":
            return f"a control character (U+{ord(character):04X})"
    return ""


def _spelled(character: str) -> str:
    return character if character in "\n\t" else f"\\u{ord(character):04x}"
