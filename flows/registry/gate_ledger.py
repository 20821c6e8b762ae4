"""What the ledger says about registered models, read once for a walk through the registry.

Its entries are chained, not signed. So an entry is believed in what it makes worse (a re-audit
that did not pass, weights to be forgotten, an earlier promotion); what makes anything better is
signed itself, or bound to a digest that is: a plan by its digest in the statement, a PASSED
re-audit by its own signature, the ledger as a whole by the checkpoints that are kept. An entry that
is not of its kind's form says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from compliance.formats.errors import NoteError, TrustError
from compliance.ledger import Entry, Ledger, checkpoint, states
from compliance.qualification import standing
from compliance.signing import Trust, load_trust
from compliance.verification import against_ledger
from flows.registry import reaudits
from flows.state.files import canonical, digest_bytes
from flows.state.paths import Attempt, Home


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """A promotion of a name.

    Attributes:
        name: Of the registered model.
        version: As the entry writes it.
        event: That made the version.
        model: SHA-256 of its weights.
        files: Digest over all files of the version (`manifest`); None from before it was entered.
        tensors_before: Digest over the tensors of the model before; None where it was not there.
    """

    name: str
    version: str
    event: str = ""
    model: str | None = None
    files: str | None = None
    tensors_before: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredPlan:
    """What the gate needs of an attempt's plan.

    Attributes:
        digest: Of the plan, computed now; a statement names its own.
        attempt: Whose it is.
        model_before: SHA-256 of the weights that the event was to make forget; None where the plan
            names none.
        signoffs: Roles whose signature the policy asks for; None where it names none.
    """

    digest: str
    attempt: tuple[str, int]
    model_before: str | None
    signoffs: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFacts:
    """What the ledger says.

    Attributes:
        home: The state folder.
        promotions: All promotions of each registered name, oldest first.
        plans: All that were registered.
        failed_again: When an event's re-audit was that did not pass, unless a signed one did since.
        unfinished: Events with work to do.
        erased: Digests of weights that an event has made forget, with its attempts that passed.
        purged: Digests of weights that `damp purge` has deleted.
        problems: Checkpoints that the ledger does not continue.
        in_doubt: Events under a qualification that was suspended since.
    """

    home: Home
    promotions: Mapping[str, Sequence[Promotion]]
    plans: Sequence[RegisteredPlan]
    failed_again: Mapping[str, str]
    unfinished: frozenset[str]
    erased: Mapping[str, Sequence[Attempt]]
    purged: frozenset[str]
    problems: Sequence[str] = field(default=())
    in_doubt: frozenset[str] = frozenset()

    @classmethod
    def read(cls, home: Home) -> LedgerFacts:
        """The facts of a state folder's ledger.

        Raises:
            LedgerError: It cannot be read.
        """
        ledger = Ledger(home.ledger)
        return cls.of(home, ledger.entries(), lines=ledger.lines())

    @classmethod
    def of(
        cls, home: Home, entries: Sequence[Entry], *, lines: Sequence[bytes] = ()
    ) -> LedgerFacts:
        """The facts of these entries; their lines are held against the checkpoints kept here."""
        trust = _trust(home)
        plans = [plan for entry in entries if (plan := _plan(entry)) is not None]
        passed = {
            (entry.event, body.get("attempt"))
            for entry, body in _of_kind(entries, "statement_signed")
            if body.get("verdict") == "PASSED"
        }
        gone = {entry.event for entry, _ in _of_kind(entries, "artefacts_purged")}
        erased: dict[str, list[Attempt]] = {}
        for plan in plans:
            if plan.model_before is not None and plan.attempt in passed:
                erased.setdefault(plan.model_before, []).append(Attempt(home, *plan.attempt))
        return cls(
            home=home,
            promotions=_promotions(entries),
            plans=plans,
            failed_again=reaudits.failed(entries, trust),
            unfinished=frozenset(event.id for event in states.pending(entries)),
            erased=erased,
            purged=_models_before(plan for plan in plans if plan.attempt[0] in gone),
            problems=tuple(_rewritten(home, trust, entries, lines)),
            in_doubt=frozenset(_in_doubt(entries, trust)),
        )

    def last(self, name: str) -> Promotion | None:
        """The last promotion of a name."""
        return next(reversed(self.promotions.get(name, ())), None)

    def promotion(self, name: str, number: int) -> Promotion | None:
        """The first promotion of a version: what was entered later changes nothing of it."""
        of_name = self.promotions.get(name, ())
        return next((each for each in of_name if each.version == str(number)), None)

    def signoffs(self, plan_digest: str) -> tuple[str, ...] | None:
        """Roles that the plan of this digest asks for; None where there is none or it names none.

        The executor's is always asked for: without it, nothing that a statement says is believed.
        """
        plan = next((plan for plan in self.plans if plan.digest == plan_digest), None)
        if plan is None or plan.signoffs is None:
            return None
        return tuple(dict.fromkeys(("executor", *plan.signoffs)))


def _trust(home: Home) -> Trust:
    """The trusted keys; none where there is no trust file: then nothing signed counts."""
    try:
        return load_trust(home.trust)
    except TrustError:
        return Trust(keys={})


def _rewritten(
    home: Home, trust: Trust, entries: Sequence[Entry], lines: Sequence[bytes]
) -> Iterator[str]:
    """What the checkpoints that were signed here say against the ledger."""
    if not lines or not home.checkpoints.is_dir():
        return
    for path in sorted(home.checkpoints.glob("*.txt")):
        try:
            held = checkpoint.load(path, trust)
        except NoteError as error:
            yield f"A checkpoint of the ledger cannot be used: {error}"
        else:
            yield from against_ledger.against(held, lines, entries)


def _in_doubt(entries: Sequence[Entry], trust: Trust) -> Iterator[str]:
    """Events whose qualification was suspended, as no good spot check covers them."""
    for digest in dict.fromkeys(
        str(body.get("qualification", "")) for _, body in _of_kind(entries, standing.SUSPENDED)
    ):
        yield from standing.in_doubt(entries, digest, trust)


def _of_kind(entries: Sequence[Entry], kind: str) -> Iterator[tuple[Entry, Mapping[str, Any]]]:
    """The entries of a kind, each with its body."""
    return ((entry, entry.body) for entry in entries if entry.kind == kind)


def _plan(entry: Entry) -> RegisteredPlan | None:
    """The plan in an entry; None where it holds none."""
    content, attempt = entry.body.get("plan"), entry.body.get("attempt")
    if entry.kind != "plan_registered" or not isinstance(content, dict) or type(attempt) is not int:
        return None
    policy, before = content.get("policy"), content.get("modelBefore")
    roles = policy.get("signoffs") if isinstance(policy, dict) else None
    return RegisteredPlan(
        digest=digest_bytes(canonical(content)),
        attempt=(entry.event, attempt),
        model_before=before if isinstance(before, str) else None,
        signoffs=tuple(map(str, roles)) if isinstance(roles, list) else None,
    )


def _promotions(entries: Sequence[Entry]) -> dict[str, list[Promotion]]:
    promotions: dict[str, list[Promotion]] = {}
    for entry, body in _of_kind(entries, "model_promoted"):
        if "name" not in body or "version" not in body:
            continue
        promotion = Promotion(
            name=str(body["name"]),
            version=str(body["version"]),
            event=entry.event,
            model=body.get("model"),
            files=body.get("files"),
            tensors_before=body.get("tensorsBefore"),
        )
        promotions.setdefault(promotion.name, []).append(promotion)
    return promotions


def _models_before(plans: Iterable[RegisteredPlan]) -> frozenset[str]:
    return frozenset(plan.model_before for plan in plans if plan.model_before is not None)
