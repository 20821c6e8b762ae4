"""The family that a qualification is of: everything on which the procedure's outcome depends.

Two things are of one family where every digest is the same: nothing is taken to be similar enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from compliance.formats import strict_json, typed


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One way to cut, with its settings: a preset alone says too little."""

    preset: str
    gain: float
    sequential: bool
    skip: tuple[str, ...]

    @property
    def words(self) -> str:
        """For people, defaults left out."""
        more = [
            *([f"gain {self.gain:g}"] if self.gain != 1 else []),
            *(["sequential"] if self.sequential else []),
            *([f"without {', '.join(self.skip)}"] if self.skip else []),
        ]
        return f"{self.preset} ({', '.join(more)})" if more else self.preset


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What a study is about, fixed before a class is drawn.

    Attributes:
        model: SHA-256 of the base model's file.
        architecture: How its network is built.
        recipe: SHA-256 of how it was trained, start and trainer's code included.
        data: Version of its training data, `<md5>.dir`.
        preprocessing: SHA-256 of what it sees of an image; "" where that is the image as it is.
        ladder: The ways to cut, in the order in which they are tried.
        rules: SHA-256 of the rules by which an event under the qualification is judged.
        policy: SHA-256 of the policy by which the study judges against retrained models.
        suite: SHA-256 of the audits' source.
        code: SHA-256 of the source of whatever cuts, trains, reads data and judges.
    """

    model: str
    architecture: str
    recipe: str
    data: str
    preprocessing: str
    ladder: tuple[Rung, ...]
    rules: str
    policy: str
    suite: str
    code: str

    def to_json(self) -> dict[str, Any]:
        """As ledger and statement hold it."""
        content: dict[str, Any] = typed.plain(self)
        return content

    @classmethod
    def of(cls, content: Any) -> Family:
        """What `to_json` gave.

        Raises:
            JsonError: It is no family.
        """
        return typed.read(cls, content, "The family")

    def digest(self) -> str:
        """SHA-256 of all of it: its name."""
        return strict_json.digest(self.to_json())


WORDS = {
    "model": "the model",
    "architecture": "the architecture",
    "recipe": "the recipe",
    "data": "the data version",
    "preprocessing": "the preprocessing",
    "ladder": "the ladder of cuts",
    "rules": "the rules of the policy",
    "policy": "the policy of the study",
    "suite": "the suite of audits",
    "code": "the code",
}
"""Each part in words, in the order in which differences are named."""


def differences(qualified: Family, other: Family, *, but: Sequence[str] = ()) -> Iterator[str]:
    """What is not as it was qualified, in words.

    Args:
        qualified: The family of a qualification.
        other: That of an event.
        but: Parts that are compared elsewhere.
    """
    for name, words in WORDS.items():
        own, given = getattr(qualified, name), getattr(other, name)
        if name not in but and own != given:
            yield f"{words} is {_short(given)}, qualified was {_short(own)}"


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(rung.words for rung in value) or "none"
    text = str(value)
    return text[:16] if len(text) == 64 else text or "none"
