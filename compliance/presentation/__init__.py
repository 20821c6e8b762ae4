"""The words, numbers and colours by which a report shows a finding.

    glossary.py     What the words of the report mean, for a reader who is not an engineer
    labels.py       Outcomes, levels and states in words that a compliance officer reads without hel
    numbers.py      Figures, intervals and times as readers write them
    palette.py      The colours of the report, and which of them meet as ink and paper
    row_text.py     The evidence, grouped by audit: each judged row with its outcome and margin in w
    strip.py        Where the marks of one row's strip picture stand: the model, the retrained model

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "glossary",
    "labels",
    "numbers",
    "palette",
    "row_text",
    "strip",
]
