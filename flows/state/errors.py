"""What can go wrong between damp and the world, as errors for people.

FlowError                 exit code 1
├── StoreError            a file or folder could not be read or written
├── FactsError            what a step left behind cannot be read
├── DataError             a data set cannot be used
├── ModelError            a model file or architecture cannot be used
│   └── PreprocessingError  a preprocessing file with mistakes; `problems` has line, column, key
├── RecipeError           a training recipe is unknown or incomplete
│   └── RecipeFileError   a recipe file with mistakes; `problems` has line, column, key
├── DataVersionError      DVC refused
├── RegistryError         MLflow refused, or holds something else than expected
├── ServerError           a server did not start, does not answer, or is not the one expected
├── SettingsError         settings.toml or a DAMP_* variable cannot be used
├── GateError             a model version may not be promoted
├── BrowserError          no browser to print with, or it refused
├── EventError            an event cannot be run as asked
└── BusyError             exit code 4: another event holds this model
"""

from __future__ import annotations

from collections.abc import Sequence

from compliance.formats.errors import DocumentError
from compliance.formats.plain_text import clean


class FlowError(Exception):
    """Something outside damp is not as it must be; the message says what, where and what to do.

    A message can quote what somebody else wrote: it is shown with nothing that a terminal obeys.
    """

    exit_code = 1

    def __str__(self) -> str:
        return clean(super().__str__())


class StoreError(FlowError):
    """A file or folder could not be read or written."""


class FactsError(FlowError):
    """What a step left behind is not of the form that the next one needs."""


class DataError(FlowError):
    """A data set cannot be used."""


class ModelError(FlowError):
    """A model file or an architecture cannot be used."""


class PreprocessingError(ModelError, DocumentError):
    """A preprocessing file with mistakes, all of them listed."""


class RecipeError(FlowError):
    """A training recipe is unknown or incomplete."""


class RecipeFileError(RecipeError, DocumentError):
    """A recipe file with mistakes, all of them listed."""


class DataVersionError(FlowError):
    """DVC refused, or a data version does not match its record."""


class RegistryError(FlowError):
    """MLflow refused, or holds something else than expected."""


class ServerError(FlowError):
    """A server did not start, does not answer, or is not the one expected."""


class SettingsError(FlowError):
    """settings.toml or a DAMP_* variable cannot be used."""


class GateError(FlowError):
    """A model version has no valid PASSED statement, so no alias may point to it."""


class BrowserError(FlowError):
    """No browser to print with, or it refused."""


class EventError(FlowError):
    """An unlearning event cannot be run as asked."""


class BusyError(FlowError):
    """Another event holds this model's lineage."""

    exit_code = 4


def first_few(names: Sequence[str], *, most: int = 5) -> str:
    """Names for a message, which says how many it leaves out.

    >>> first_few(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


ROOMS = frozenset({"damp", "audits", "compliance", "flows"})


def is_refusal(error: BaseException) -> bool:
    """Whether an error is one of ours, made for people; anything else is a defect."""
    return type(error).__module__.split(".")[0] in ROOMS
