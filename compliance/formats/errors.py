"""What this room can refuse. Every message names the thing, the reason and the remedy.

ComplianceError (a ValueError)      exit code 1
├── DocumentError                   a YAML file with mistakes; `problems` has line, column, key
│   ├── RequestError                a request that cannot be accepted
│   ├── ClaimError                  a claim that cannot be audited
│   ├── PolicyError                 a policy that cannot judge
│   └── StudyError                  a study that cannot qualify anything
├── JsonError                       bytes that are no unambiguous JSON
├── TimeError                       a text that is no time with a zone
├── FindingsError                   a file of findings that cannot be read
├── StatementError                  a statement that breaks its schema or contradicts itself
├── SigningError                    a key or an envelope that cannot be used
│   ├── TrustError                  a trust file that cannot be relied on
│   ├── EnvelopeError               an envelope that is no proper DSSE
│   └── NoteError                   a checkpoint or proof that shows nothing
├── LedgerError                     a ledger that cannot be written or read
│   ├── LedgerBroken                its chain does not hold; `index` is the first bad entry
│   └── LedgerConflict              the same key was entered before with other content
└── StateError                      a step that the state of an event does not allow
"""
# ruff: noqa: N818  (a name says what is wrong, its base that it is an error)

from __future__ import annotations

from collections.abc import Sequence

from compliance.formats.plain_text import clean


class ComplianceError(ValueError):
    """Anything that the compliance room refuses.

    A message can quote what somebody else wrote: it is shown with nothing that a terminal obeys.
    """

    exit_code = 1

    def __str__(self) -> str:
        return clean(super().__str__())


class DocumentError(ComplianceError):
    """A YAML file with mistakes, all of them listed.

    Attributes:
        problems: One line each: file, line, column, key, reason, remedy.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(map(clean, problems))
        super().__init__("\n".join(self.problems))


class RequestError(DocumentError):
    """A request that cannot be accepted."""


class ClaimError(DocumentError):
    """A claim that cannot be audited."""


class PolicyError(DocumentError):
    """A policy that cannot judge."""


class StudyError(DocumentError):
    """A study that cannot qualify anything."""


class JsonError(ComplianceError):
    """Bytes that are no unambiguous JSON."""


class TimeError(ComplianceError):
    """A text that is no time with a zone."""


class FindingsError(ComplianceError):
    """A file of findings that cannot be read."""


class StatementError(ComplianceError):
    """A statement that breaks its schema or contradicts itself.

    Attributes:
        problems: One line each.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("This is no valid statement:\n" + "\n".join(f"- {p}" for p in problems))


class SigningError(ComplianceError):
    """A key or an envelope that cannot be used."""


class TrustError(SigningError):
    """A trust file that cannot be relied on."""


class EnvelopeError(SigningError):
    """An envelope that is no proper DSSE."""


class NoteError(SigningError):
    """A checkpoint or a proof of the ledger that shows nothing."""


class LedgerError(ComplianceError):
    """A ledger that cannot be written or read."""


class LedgerBroken(LedgerError):
    """The chain does not hold.

    Attributes:
        index: Number of the first bad entry, from 0.
    """

    def __init__(self, message: str, index: int) -> None:
        self.index = index
        super().__init__(message)


class LedgerConflict(LedgerError):
    """The same kind, event and key were entered before with other content."""


class StateError(ComplianceError):
    """A step that the state of an event does not allow."""
