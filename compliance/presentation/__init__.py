"""The words, numbers and colours by which people read a statement.

    next_steps.py   what to do after a verdict, computed
    row_text.py     each judged row with its outcome and margin in words
    labels.py       outcomes, levels and states in words
    glossary.py     the terms, from `glossary.json`; docs/glossary.md is made of the same
    numbers.py      figures, intervals and times
    strip.py        where the marks of a row's small picture stand
    palette.py      colours, and which of them meet as ink and paper

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "glossary",
    "labels",
    "next_steps",
    "numbers",
    "palette",
    "row_text",
    "strip",
]
