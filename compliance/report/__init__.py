"""The report of an event, and pages of many: HTML, Markdown, JSON and exports.

    controls_section.py  The controls: models whose right answer is known, and what the audits made
    coverage_section.py  What the audits looked at, and what they did not
    exports.py           Ways out of a record, each in a published format. Pure: JSON values and tex
    index.py             Two pages about many attempts: an index of all events, and several attempts
    mappings.py          Which duties the parts of a record support, by clause: a dated data file, n
    page.py              All that the report says, as plain data: the page shows it, `report.json` h
    render.py            The report of one attempt: a self-contained A4 page for people, the same as
    templates.py         How templates become text: what is escaped, and which filters and words eve
    verdict_section.py   The first part of the report: the verdict, and what a reader must know befo

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "exports",
    "index",
    "render",
]
