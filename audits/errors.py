"""What can go wrong in an audit. Every message names the thing, the reason and the remedy.

    AuditError (a ValueError)
    ├── BadEvidence         observations, labels and classes that do not belong together
    ├── BadFigure           a figure that is no finite number, or a record that cannot be read
    ├── BadStatistic        a statistic asked of data that cannot give it
    │   ├── TooFewSamples   fewer samples than the statistic needs
    │   └── NotConverged    a fit that did not come to an end
    ├── BadRecipe           a training recipe or its data that cannot be used
    └── BadControl          a control that cannot be built from these models

What an audit cannot measure is no error: it is a finding with status NOT_RUN and a reason.
"""
# ruff: noqa: N818  (a name says what is wrong, its base that it is an error)

from __future__ import annotations


class AuditError(ValueError):
    """Anything that the audits refuse."""


class BadEvidence(AuditError):
    """Observations, labels and classes that do not belong together."""


class BadFigure(AuditError):
    """A figure that is no finite number, or a record that cannot be read."""


class BadStatistic(AuditError):
    """A statistic asked of data that cannot give it."""


class TooFewSamples(BadStatistic):
    """Fewer samples than the statistic needs."""


class NotConverged(BadStatistic):
    """A fit that did not come to an end."""


class BadRecipe(AuditError):
    """A training recipe or its data that cannot be used."""


class BadControl(AuditError):
    """A control that cannot be built from these models."""
