"""The audits' findings as a file, for the candidate and each control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from audits.errors import AuditError
from audits.finding import Finding
from compliance.formats import files, strict_json
from compliance.formats.errors import FindingsError, JsonError

Found = tuple[list[Finding], dict[str, list[Finding]]]


def load_findings(path: Path) -> Found:
    """The candidate's findings, and those of each control by name.

    Raises:
        FindingsError: unreadable, or no `{"candidate": [...], "controls": {name: [...]}}`.
    """
    try:
        content = strict_json.loads(files.read(path), path.name)
        controls = {name: _all(findings) for name, findings in content["controls"].items()}
        return _all(content["candidate"]), controls
    except OSError as error:
        raise FindingsError(f"{path}: cannot be read: {error.strerror}.") from error
    except (JsonError, AuditError, KeyError, TypeError, AttributeError) as error:
        raise FindingsError(
            f"{path}: these are no findings of this version ({error}). Run the audits again."
        ) from error


def impossible_controls(path: Path) -> dict[str, str]:
    """Controls that could not be built, with the reason of each."""
    content = strict_json.loads(path.read_bytes(), path.name)
    return {str(name): str(why) for name, why in content.get("impossible", {}).items()}


def to_json(findings: Sequence[Finding], controls: Mapping[str, Sequence[Finding]]) -> Any:
    """What `load_findings` reads, as plain JSON values."""
    return {
        "candidate": [finding.to_json() for finding in findings],
        "controls": {name: [f.to_json() for f in own] for name, own in controls.items()},
    }


def _all(content: Sequence[Mapping[str, Any]]) -> list[Finding]:
    return [Finding.from_json(finding) for finding in content]
