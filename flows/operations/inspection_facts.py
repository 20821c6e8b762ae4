"""What `damp inspect` says of data and a model, as typed facts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from compliance.documents.preprocessing import Preprocessing, content_of
from flows.intake.forecasts import Planned


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Of the image files that were looked at.

    Attributes:
        files: How many were.
        least: Width and height of the smallest.
        middle: Median width and height.
        greatest: Of the largest.
        modes: How many there are in each of Pillow's modes.
        turned: In how many a camera noted that they have to be turned.
        broken: How many cannot be opened.
    """

    files: int
    least: tuple[int, int]
    middle: tuple[int, int]
    greatest: tuple[int, int]
    modes: dict[str, int]
    turned: int
    broken: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRow:
    """One class: its index, images, and the share of held-out ones that the model recognises."""

    index: int
    train: int
    test: int
    accuracy: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What the surgery can cut of a model.

    Attributes:
        parameters: Of the whole model.
        cut: In layers that can be cut.
        operators: How many layers these are.
        left: Names of the layers that stay, with the reason of each.
    """

    parameters: int
    cut: int
    operators: int
    left: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """Whether a policy's sample sizes are there.

    Attributes:
        policy: Its name.
        too_small: Classes that have fewer than it needs; empty where all can be requested.
        out_of_reach: What its margins cannot be met with, in sentences, at the sizes of the
            smallest class that has enough; empty where sizes rule nothing out.
        minutes: A request by it takes, about, with nothing cached; None without a model.
    """

    policy: str
    too_small: tuple[int, ...]
    out_of_reach: tuple[str, ...]
    minutes: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What there is, as `damp inspect --json` prints it.

    Attributes:
        data: As it was named.
        classes: Each with its images.
        sizes: Of image files; None where the data are arrays.
        preprocessing: That which the figures were made with; None where images are seen as they
            are.
        guessed: Whether damp chose it.
        tried: Accuracy with each one that was tried, by its words.
        accuracy: Mean over the classes; None without a model.
        reach: None without a model.
        disk: Bytes that decoded images take.
        free: Bytes free where the state folder lies.
        supports: By policy.
        left_out: Files that are not read, by reason.
        plans: What plans about the model expected, where there were some.
        seconds: What each step took of the last event that was carried out here.
    """

    data: str
    classes: tuple[ClassRow, ...]
    sizes: Sizes | None
    preprocessing: Preprocessing | None
    guessed: bool
    tried: dict[str, float]
    accuracy: float | None
    reach: Reach | None
    disk: int
    free: int
    supports: tuple[Support, ...]
    left_out: dict[str, int]
    plans: tuple[Planned, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        applied = content_of(self.preprocessing)
        plans = [plan.to_json() for plan in self.plans]
        return asdict(replace(self, preprocessing=None)) | {
            "preprocessing": applied,
            "plans": plans,
        }
