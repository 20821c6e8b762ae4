"""The policy: what must be measured, within which margins, at which level of assurance.

It is fixed, and its digest written into the ledger, before an audit runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from audits import catalogue
from compliance.documents.methods import METHODS, RETRAIN
from compliance.formats import callback_urls, strict_json, yaml_reader
from compliance.formats.errors import PolicyError
from compliance.formats.validation import Strict, check

LEAST_REFERENCES = 3
LEAST_SHADOWS = 8
"""Shadow models from which membership attacks can be calibrated."""

Share = Annotated[float, Field(ge=0)]
Days = Annotated[int, Field(gt=0)]
Level = Annotated[float, Field(gt=0)]
Address = Annotated[str, AfterValidator(callback_urls.checked)]
Regulation = Literal["gdpr", "ccpa", "contract", "recall", "other"]
Role = Literal["executor", "reviewer", "auditor"]
Assurance = Literal["L1", "L2", "L3"]
Outcome = Literal["FAILED", "INCONCLUSIVE"]
Kind = Literal["probe", "few_labels", "geometry", "nonlinear", "earlier"]
"""Kinds of readers, each of which sees what the others miss; docs/policies.md."""


@lru_cache(maxsize=65536)
def _matches(measurement: str, glob: str) -> bool:
    """`fnmatchcase`, remembered: an event asks about the same few hundred names for every model."""
    return fnmatchcase(measurement, glob)


class Rule(Strict):
    """A margin for the measurements that a glob names, of one of four kinds.

    `at_most`: the value's upper bound, of a share of images at alpha. `below` and `above`: the 90%
    interval of the difference to the baseline lies between -below and +above; one left out is no
    limit on that side. `remainder` and `overshoot`: the same, as shares of what the original
    differs from the baseline, so that one rule fits every data set: at most this share of what the
    original knew may remain, and at most that share may be lost beyond the baseline. Where the
    original itself is not distinguished from the baseline by them, the measurement decides nothing.
    `spreads_below` and `spreads_above`: as `below` and `above`, in true standard deviations of the
    baseline, whose uncertainty counts: not much further off than models that never saw the class
    are from one another. Beside `below` or `above` the wider of both counts, so that five models
    that happen to agree narrow nothing.

    `required`: must be within for a pass, and fails the model outside. `veto`: fails it outside
    too, and holds nothing up where the samples do not tell: for single readers beside a pooled one
    that is required, so that no reader that overshoots hides one that remembers.

    `same_architecture`: outside, it fails only a model of the retrained models' architecture. One
    of another cannot pass there and is not failed: the measurement was studied between alike ones.
    """

    measurement: Annotated[str, Field(min_length=1, pattern=r"^[A-Za-z0-9_.@*?\[\]!-]+$")]
    at_most: float | None = None
    below: Share | None = None
    above: Share | None = None
    remainder: Annotated[float, Field(gt=0, lt=1)] | None = None
    overshoot: Annotated[float, Field(gt=0)] | None = None
    spreads_below: Annotated[float, Field(gt=0)] | None = None
    spreads_above: Annotated[float, Field(gt=0)] | None = None
    required: bool = False
    veto: bool = False
    same_architecture: bool = False

    @model_validator(mode="after")
    def _one_kind_of_margin(self) -> Rule:
        if self.required and self.veto:
            raise ValueError("`required` fails what lies outside already: leave `veto` out")
        if self.same_architecture and not self.tested:
            raise ValueError("`same_architecture` limits what fails: it needs `required` or `veto`")
        absolute = self.below is not None or self.above is not None
        kinds = (self.at_most is not None, absolute or self.in_spreads, self.relative)
        if sum(kinds) != 1:
            raise ValueError(
                "give either `at_most`, or `below` and `above` (or `spreads_below` and "
                "`spreads_above`), or `remainder` and `overshoot`"
            )
        if self.relative and self.remainder is None:
            raise ValueError("`overshoot` alone lets the original pass: give `remainder` too")
        if absolute and not (self.below or self.above):
            raise ValueError("margins of 0 allow nothing: give `below` or `above` more than 0")
        return self

    @property
    def tested(self) -> bool:
        """Whether being outside fails a model."""
        return self.required or self.veto

    @property
    def relative(self) -> bool:
        """Whether its margins are shares of what the original differs from the baseline."""
        return self.remainder is not None or self.overshoot is not None

    @property
    def in_spreads(self) -> bool:
        """Whether its margins are in standard deviations of the baseline."""
        return self.spreads_below is not None or self.spreads_above is not None

    def names(self, measurement: str) -> bool:
        """Whether the rule speaks about this measurement."""
        return _matches(measurement, self.measurement)

    @property
    def deep(self) -> bool:
        """Whether it speaks about what is inside the network."""
        audit, _, depth = self.measurement.partition("@")
        return audit.split(".")[0] in catalogue.deep() and depth != "logits"

    def sentence(self, confidence: float = 0.9) -> str:
        """The rule in words; the confidence is 1 - 2 alpha, by the level of its tests.

        >>> Rule(measurement="few_shot.1@penultimate", below=0.2, above=0.1).sentence()
        'the 90% interval of the difference lies between -0.2 and +0.1'
        """
        only = "; outside fails, undecided holds nothing up" if self.veto else ""
        alike = (
            "; of another architecture, outside is undecided and no pass"
            if self.same_architecture
            else ""
        )
        return self._margin_sentence(confidence) + only + alike

    def _margin_sentence(self, confidence: float) -> str:
        if self.at_most is not None:
            return f"the upper end of its interval is at most {self.at_most:g}"
        if self.remainder is not None:
            return _relative_sentence(self.remainder, self.overshoot, confidence)
        least, most = (
            self._edge("-", self.below, self.spreads_below),
            self._edge("+", self.above, self.spreads_above),
        )
        interval = f"the {100 * confidence:.3g}% interval of the difference lies"
        if not most:
            return f"{interval} above {least}"
        if not least:
            return f"{interval} below {most}"
        return f"{interval} between {least} and {most}"

    @staticmethod
    def _edge(sign: str, width: float | None, spreads: float | None) -> str:
        """One side in words; empty where nothing limits it."""
        widths = [] if width is None else [f"{sign}{width:g}"]
        if spreads is not None:
            widths.append(f"{sign}{spreads:g} standard deviations of the baseline")
        wider = ", whichever is wider" if len(widths) > 1 else ""
        return " or ".join(widths) + wider


def _relative_sentence(remainder: float, overshoot: float | None, confidence: float) -> str:
    beyond = "" if overshoot is None else f" and at most {overshoot:.0%} of it is lost beyond"
    return (
        f"the {100 * confidence:.3g}% interval of the difference shows that at most "
        f"{remainder:.0%} of what the original differs from the baseline remains{beyond}"
    )


class Yardstick(Strict):
    """What takes the place of retrained models: a qualification, by the digest of its statement.

    By nothing else: a name could come to mean another one.
    """

    qualification: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Policy(Strict):
    """What the verdict rests on. docs/record.md explains each key.

    `kinds`: kinds of readers of which a row each must have decided. `near_margin`: the share of
    what the original knows that a control holds, which must not pass. `unseen_classes`: how many
    classes that nobody was trained on an L2 verdict needs. `shadows_cost`: shadow models are
    trained only as far as they cost at most this many times what the references cost. `levels`:
    the error level of each of the attempts, alpha in equal parts where they say nothing.
    `yardstick`: a qualification of the procedure, under which no reference is trained.
    """

    apiVersion: Literal["damp/v1"] = "damp/v1"  # noqa: N815 - the key in the file
    kind: Literal["Policy"] = "Policy"
    name: Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9._-]+$")]
    assurance: Assurance
    references: Annotated[int, Field(ge=0, le=50)]
    shadows: Annotated[int, Field(ge=0, le=512)] = 0
    edited_shadows: bool = False
    shadows_cost: Annotated[float, Field(gt=0)] | None = None
    alpha: Annotated[float, Field(gt=0, le=0.1)] = 0.05
    yardstick: Yardstick | None = None
    rules: Annotated[tuple[Rule, ...], Field(strict=False, min_length=1)]
    kinds: Annotated[tuple[Kind, ...], Field(strict=False)] = ()
    near_margin: Annotated[float, Field(gt=0, lt=1)] | None = None
    unseen_classes: Annotated[int, Field(ge=0, le=1000)] = 0
    minimum_samples: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    fallback: Literal["retrain", "none"] = "none"
    max_attempts: Annotated[int, Field(ge=1, le=10)] = 2
    attempts: Annotated[tuple[Literal[METHODS], ...], Field(strict=False, max_length=10)] = ()  # type: ignore[valid-type]
    levels: Annotated[tuple[Level, ...], Field(strict=False)] = ()
    fallback_on: Annotated[tuple[Outcome, ...], Field(strict=False, min_length=1)] = ("FAILED",)
    signoffs: Annotated[tuple[Role, ...], Field(strict=False, min_length=1)] = ("executor",)
    unknown_artefacts: Literal["report", "inconclusive"] = "report"
    identity: Literal["report", "required"] = "report"
    callbacks: Annotated[tuple[Address, ...], Field(strict=False)] = ()
    clocks: dict[Regulation, Days] = Field(default_factory=dict)
    extensions: dict[Regulation, Days] = Field(default_factory=dict)
    reaudit_days: Days = 90
    keep_days: Days = 2190
    limits: Annotated[tuple[str, ...], Field(strict=False)] = ()
    _outside_at: float | None = PrivateAttr(default=None)

    @field_validator("references")
    @classmethod
    def _enough_references(cls, count: int, info: ValidationInfo) -> int:
        if info.data.get("assurance") == "L3" and count < LEAST_REFERENCES:
            raise ValueError(f"assurance L3 needs at least {LEAST_REFERENCES} retrained references")
        return count

    @field_validator("shadows")
    @classmethod
    def _pairs_of_shadows(cls, count: int) -> int:
        if count and (count < LEAST_SHADOWS or count % 2):
            raise ValueError(
                f"shadow models share out the rows in pairs: 0, or an even number from "
                f"{LEAST_SHADOWS} on"
            )
        return count

    @field_validator("edited_shadows")
    @classmethod
    def _shadows_to_edit(cls, edited: bool, info: ValidationInfo) -> bool:
        if edited and not info.data.get("shadows"):
            raise ValueError("there are no shadow models to edit: set `shadows` to 8 or more")
        return edited

    @field_validator("rules")
    @classmethod
    def _rules_that_can_judge(
        cls, rules: tuple[Rule, ...], info: ValidationInfo
    ) -> tuple[Rule, ...]:
        if not any(rule.required for rule in rules):
            raise ValueError("no rule is required, so that anything would pass: require some")
        for number, rule in enumerate(rules):
            for earlier in rules[:number]:
                if earlier.names(rule.measurement):
                    raise ValueError(
                        f"the rule for {rule.measurement} is never reached, as the one for "
                        f"{earlier.measurement} stands before it: put it first"
                    )
        qualified = info.data.get("yardstick") is not None  # which looks inside for all of them
        deep = qualified or any(rule.required and rule.deep for rule in rules)
        if info.data.get("assurance") in ("L2", "L3") and not deep:
            raise ValueError(
                "assurance L2 and L3 need a required rule on the inside of the network: "
                f"{', '.join(catalogue.deep())}, not at @logits"
            )
        return rules

    @field_validator("attempts")
    @classmethod
    def _a_ladder(cls, attempts: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(attempts)) < len(attempts):
            raise ValueError("a method is declared twice: the same attempt has the same outcome")
        if RETRAIN in attempts[:-1]:
            raise ValueError("nothing forgets more than `retrain` does: declare it last")
        return attempts

    @model_validator(mode="after")
    def _levels_of_attempts(self) -> Policy:
        if not self.levels:
            return self
        if len(self.levels) != len(self.attempts):
            raise ValueError(
                f"`levels` names one error level for each of the attempts: {len(self.attempts)}, "
                f"not {len(self.levels)}"
            )
        # decimal parts of alpha need not add up to it in binary
        if math.fsum(self.levels) > self.alpha * (1 + 1e-9):
            raise ValueError(
                f"`levels` add up to {math.fsum(self.levels):g}, more than alpha ({self.alpha:g}): "
                "the chance that any attempt passes by mistake is their sum"
            )
        return self

    @model_validator(mode="after")
    def _one_way_on(self) -> Policy:
        former = {"fallback", "max_attempts"} & self.model_fields_set
        if self.attempts and former:
            raise ValueError(
                f"`attempts` says what follows what: leave out {' and '.join(sorted(former))}"
            )
        return self

    @model_validator(mode="after")
    def _one_yardstick(self) -> Policy:
        if self.yardstick is None:
            return self
        if self.assurance != "L2" or self.references or self.shadows or self.unseen_classes:
            raise ValueError(
                "under a qualification no model is trained to compare with: write `assurance: L2` "
                "and `references: 0`, without `shadows` and `unseen_classes`"
            )
        if not self.attempts or RETRAIN in self.attempts:
            raise ValueError(
                "a qualification is of a ladder of cuts: give it as `attempts`, without `retrain`, "
                "which asks for a policy with retrained models"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_what_says_nothing(self, content: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Keys that came later are left out where they are not used: digests stay as they were."""
        keys: dict[str, Any] = content(self)
        if self.attempts:
            del keys["fallback"], keys["max_attempts"]
        else:
            del keys["attempts"]
        if not self.levels:
            del keys["levels"]
        if self.fallback_on == ("FAILED",):
            del keys["fallback_on"]
        if self.yardstick is None:
            del keys["yardstick"]
        return keys

    def at_level(self, level: float) -> Policy:
        """The same rules at the error level of one of several attempts.

        What lies outside at the policy's own level lies outside of each attempt: to pass by mistake
        is what several attempts make likelier. An attempt that fails by mistake has the next one.
        """
        copied = self.model_copy(update={"alpha": level})
        copied._outside_at = self.outside_at
        return copied

    @property
    def outside_at(self) -> float:
        """The level of the tests for "outside": alpha, whatever the level of an attempt."""
        return self.alpha if self._outside_at is None else self._outside_at

    def rule_for(self, measurement: str) -> Rule | None:
        """The first rule that names the measurement."""
        return next((rule for rule in self.rules if rule.names(measurement)), None)

    def days(self, regulation: str) -> int:
        """Days from receipt to the due date."""
        return self.clocks.get(regulation, 30)  # type: ignore[call-overload]

    def extension(self, regulation: str) -> int:
        """Days by which the due date may be moved, once; 0 where it may not."""
        return self.extensions.get(regulation, 0)  # type: ignore[call-overload]

    def rules_digest(self) -> str:
        """SHA-256 of what decides about figures alone, whatever the policy is called and asks else.

        A qualification names it: events under it are judged as its study was.
        """
        whole = self.model_dump(mode="json")
        content = {key: value for key, value in whole.items() if key in DECIDING}
        content["rules"] = [_as_before(rule, RULE_KEYS_SINCE) for rule in content["rules"]]
        return strict_json.digest(content)

    def digest(self) -> str:
        """SHA-256 of the content in canonical form: the same rules, the same digest."""
        content = self.model_dump(mode="json")
        content["rules"] = [_as_before(rule, RULE_KEYS_SINCE) for rule in content["rules"]]
        return strict_json.digest(_as_before(content, KEYS_SINCE))


DECIDING = {
    "assurance",
    "references",
    "alpha",
    "levels",
    "rules",
    "kinds",
    "near_margin",
    "minimum_samples",
}
"""Keys that decide what figures mean."""
KEYS_SINCE: dict[str, Any] = {
    "levels": [],
    "shadows_cost": None,
    "kinds": [],
    "near_margin": None,
    "unseen_classes": 0,
}
RULE_KEYS_SINCE = {"veto": False, "same_architecture": False}
"""Keys that policies of before do not have, with what they mean without them: a policy that says
nothing by them keeps the digest that is in ledgers and statements."""


def _as_before(content: dict[str, Any], since: Mapping[str, object]) -> dict[str, Any]:
    return {k: v for k, v in content.items() if k not in since or v != since[k]}


def shipped() -> list[str]:
    """Names of the policies that come with the package."""
    folder = files("compliance").joinpath("policies")
    names = (item.name for item in folder.iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def load_policy(name_or_path: str | Path) -> Policy:
    """A shipped policy by name, or the policy in a file.

    Raises:
        PolicyError: neither a shipped name nor a readable file, or mistakes in it.
    """
    if str(name_or_path) in shipped():
        resource = files("compliance").joinpath("policies", f"{name_or_path}.yaml")
        text, name = resource.read_text("utf-8"), resource.name
        return check(Policy, yaml_reader.parse(text, name, PolicyError), PolicyError)
    path = Path(name_or_path)
    if not path.exists():
        raise PolicyError(
            [f"{path}: no such policy. Give a file, or one of: {', '.join(shipped())}."]
        )
    return check(Policy, yaml_reader.read(path, PolicyError), PolicyError)
