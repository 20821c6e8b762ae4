"""Structured logs: one JSON object a line in `logs/damp.jsonl`, each with its event."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import MutableMapping
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from typing import Any

from flows.state.paths import Home

SIZE, KEPT = 10 << 20, 5
"""Bytes of a log file, and how many old ones are kept."""


class _Lines(logging.Formatter):
    """A record as JSON: time, level, message, process, and the facts of its event."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "pid": record.process,
        } | getattr(record, "damp", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


class _Writer(RotatingFileHandler):
    """A log that cannot be written neither ends the work nor prints into its output."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Print nothing: the step that needs the same disk reports it."""


class _About(logging.LoggerAdapter[logging.Logger]):
    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        more = kwargs.pop("facts", {})
        kwargs["extra"] = {"damp": dict(self.extra or {}) | more}
        return msg, kwargs


def event(event: str, attempt: int | None = None) -> _About:
    """A logger whose lines name the event."""
    names: dict[str, object] = {"event": event} | ({"attempt": attempt} if attempt else {})
    return _About(logging.getLogger("damp"), names)


def write_to(home: Home) -> None:
    """Write the lines of this process into the state folder; a second call changes nothing."""
    path = home.root / "logs" / "damp.jsonl"
    logger = logging.getLogger("damp")
    for handler in list(logger.handlers):
        if isinstance(handler, _Writer):
            if handler.baseFilename == os.path.abspath(path):
                return
            logger.removeHandler(handler)
            handler.close()
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = _Writer(path, maxBytes=SIZE, backupCount=KEPT, delay=True)
    writer.setFormatter(_Lines())
    logger.addHandler(writer)
    logger.setLevel(logging.INFO)
    logger.propagate = False
