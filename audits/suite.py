"""The audits by name, in the catalogue's order; a module is imported when its audit is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module

from audits import catalogue
from audits.evidence import Evidence
from audits.finding import Finding

Audit = Callable[[Evidence], Finding]


class _Suite(Mapping[str, Audit]):
    def __getitem__(self, name: str) -> Audit:
        if name not in catalogue.AUDITS:
            raise KeyError(name)
        audit: Audit = import_module(f"audits.{name}").audit
        return audit

    def __iter__(self) -> Iterator[str]:
        return iter(catalogue.AUDITS)

    def __len__(self) -> int:
        return len(catalogue.AUDITS)


AUDITS: Mapping[str, Audit] = _Suite()
