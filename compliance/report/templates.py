"""How templates become text: what is escaped, and which filters and words every template knows."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from compliance.formats import plain_text
from compliance.presentation import glossary, labels, numbers, palette, strip
from compliance.report import sections
from compliance.signing import facts

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


@cache
def html() -> Environment:
    """For pages: everything is escaped that is not markup of our own."""
    environment = _environment(autoescape=True)
    environment.filters |= {"breakable": _breakable, "coded": _coded}
    return environment


@cache
def markdown() -> Environment:
    """For Markdown: each value passes `md`, which leaves nothing that could be markup."""
    environment = _environment(autoescape=False)
    environment.filters |= {
        "md": plain_text.markdown,
        "code": plain_text.code,
        "bare": plain_text.bare,
    }
    return environment


def _environment(*, autoescape: bool) -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("compliance", "templates"),
        autoescape=autoescape,  # noqa: S701 - Markdown has rules of its own, see `markdown`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=plain_text.visible,
    )
    environment.filters |= {
        "number": numbers.number,
        "figure": numbers.figure,
        "setting": numbers.setting,
        "signed": numbers.signed,
        "span": numbers.span,
        "signed_span": lambda interval: numbers.span(interval, sign=True),
        "chance": numbers.chance,
        "clock": numbers.clock,
        "duration": numbers.duration,
        "strip": lambda worded: strip.strip(facts.row(worded)),
        "tick": numbers.tick,
    }
    environment.globals |= {
        "colours": palette.COLOURS,
        "glossary": glossary.GLOSSARY,
        "section_of": sections.section,
        "sections": sections.SECTIONS,
        "regulations": labels.REGULATIONS,
    }
    return environment


def _breakable(name: object) -> Markup:
    """A dotted name that may break after its separators instead of anywhere."""
    from markupsafe import Markup, escape

    shown = str(escape(plain_text.visible(str(name))))
    return Markup(re.sub(r"([._@])(?=\w)", r"\1<wbr>", shown))  # noqa: S704  escaped above


def _coded(text: object) -> Markup:
    """Text in which what stands between backticks is set as code."""
    from markupsafe import Markup, escape

    shown = str(escape(plain_text.visible(str(text))))
    return Markup(re.sub(r"`([^`\n]+)`", r"<code>\1</code>", shown))  # noqa: S704  escaped above
