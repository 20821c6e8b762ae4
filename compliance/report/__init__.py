"""The report of an attempt, pages about many, and ways out for other tools.

    render.py            one attempt as a page, as Markdown, as JSON
    page.py              all that the report says, as plain data
    officer.py           the officer's two pages, in several languages
    sections.py          the sections in their order; a new one is a row here and a template
    verdict_section.py   the verdict box: what a reader must know before anything else
    controls_section.py  the controls: models whose right answer is known
    coverage_section.py  what the audits looked at, and what they did not
    mappings.py          which duties the record supports, by clause
    qualified.py         the page about a qualification
    index.py             an index of all events, and attempts side by side
    pages.py             what those pages read of each report.json, as typed facts
    exports.py           OpenLineage, CycloneDX, model card, CSV
    attestations.py      in-toto's statements: test result, evaluation result, pre-registration
    dossiers.py          the record in the order of the AI Act's Annex IV, and of ISO/IEC 42001
    templates.py         how templates become text: escaping and filters

`__all__` is the door: what other rooms import.
"""

__all__ = [
    "attestations",
    "dossiers",
    "exports",
    "index",
    "officer",
    "qualified",
    "render",
]
