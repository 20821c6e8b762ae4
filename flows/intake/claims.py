"""Claims on their way in: somebody says that a model has forgotten, and hands in both models.

Checked as a whole before anything is logged: whether the files can be read, whether the original
ever knew the class, whether what is called held out was held out. Code that a claim names is the
other side's: it runs only where it was allowed, and then in a process without keys.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from compliance.documents.claim import Claim, load_claim
from compliance.documents.policy import Policy, load_policy
from compliance.qualification import checking
from compliance.qualification.checking import Checked
from compliance.signing import load_trust
from flows.intake import clock, receipts, requests
from flows.intake.receipts import Receipt
from flows.registry import model_source
from flows.registry.model_source import Located
from flows.servers import isolated
from flows.state import code_files, locks, others_code
from flows.state.errors import DataError, EventError, ModelError
from flows.state.files import digest_file
from flows.state.paths import Home
from flows.state.settings import settings

if TYPE_CHECKING:
    import torch
    from torch import nn

    from flows.data.dataset import Dataset

OVERLAP = 0.01
"""Share of the test images that may be training images as well: chance twins, not a leak."""
COMPARED = 500
"""Test images on which one file is run in two architectures."""
SAME = 1e-3
"""Difference between two logits of one file, as a share of the largest, that rounding explains."""
LEARNED = 0.5
"""Share of a class that the original must recognise to have learned it."""


def file_claim(home: Home, file: Path, *, allow: Collection[str] = ()) -> Receipt:
    """Check a claim against its data and models, and log its receipt.

    The same claim about the same bytes has no second effect.

    Args:
        home: The state folder.
        file: The claim.
        allow: Modules of the other side that may run.

    Raises:
        ClaimError, PolicyError, DataError, ModelError, EventError: It cannot be audited as it
            stands; nothing was written.
    """
    claim, origin = load_claim(file), file.resolve().parent
    policy = load_policy(requests.policy_source(claim.policy, origin))
    code = others_code.allowed(code_of(home, claim, origin), allow, document=file)
    _refuse_yardstick(policy)
    files = digests(home, claim, origin) | others_code.as_files(code) | _handed(claim, origin)
    event = claim.event_id(files)
    new = receipts.logged(home, event) is None
    warnings: tuple[str, ...] = ()
    if new:
        read: Mapping[str, str] = {}
        if code:
            arguments = {"home": str(home.root), "file": str(file.resolve())}
            job = isolated.Job.of(home, f"{__name__}:check_file", arguments, code)
            read = isolated.run(job).read
        else:
            check(home, claim, policy, origin)
        warnings = foreseen(claim, policy, origin, others=bool(code))
        located = sources(home, claim, origin)
        started = clock.of_claim(policy, now=datetime.now(UTC), zone=settings().zone)
        # another process may have handed in the same claim since: the first one is the event
        with locks.exclusive(home, "receipts"):
            new = receipts.logged(home, event) is None
            if new:
                receipts.enter(
                    home,
                    event,
                    home.claim(event),
                    file.read_bytes(),
                    {
                        "folder": str(origin),
                        "files": files,
                        **({"read": dict(read)} if code else {}),
                    },
                    document=claim.digest(files),
                    regulation="other",
                    policy=policy,
                    started=started,
                    identity="report",
                    claim=True,
                    architectures={
                        name: located[name].architecture for name in ("original", "edited")
                    },
                    **(_of_code(code, read) if code else {}),
                )
    return receipts.receipt(home, event, new=new, warnings=warnings)


QUALIFICATION = "qualification"
"""Name among a claim's files of the qualification that was handed in."""


def _refuse_yardstick(policy: Policy) -> None:
    """A claim is judged under no qualification: how its model was made is not known.

    Raises:
        EventError: The policy names one.
    """
    if policy.yardstick is not None:
        raise EventError(
            f"Policy '{policy.name}' judges under a qualification, which is of a way to cut: how a "
            "claimed model was made is not known. Name a policy with retrained models, and hand "
            "the claimant's qualification in under `qualification`."
        )


def _handed(claim: Claim, origin: Path) -> dict[str, str]:
    """The digest of a qualification that was handed in, if it holds by the claimant's keys.

    Raises:
        EventError: It does not.
    """
    if claim.qualification is None:
        return {}
    theirs_of(claim, origin)
    return {QUALIFICATION: digest_file(origin / claim.qualification.file)}


def theirs_of(claim: Claim, origin: Path) -> Checked:
    """The claimant's qualification, checked by the keys that they name.

    Raises:
        EventError: It does not hold.
        TrustError: Their trust file cannot be read.
    """
    if claim.qualification is None:
        raise EventError("The claim brings no qualification.")
    checked = checking.check(
        origin / claim.qualification.file, load_trust(origin / claim.qualification.trust)
    )
    if checked.content is None:
        raise EventError(
            f"The claimant's qualification does not hold: {' '.join(checked.problems)}"
        )
    return checked


def foreseen(claim: Claim, policy: Policy, origin: Path, *, others: bool) -> tuple[str, ...]:
    """Why no verdict can be reached whatever the models are, said before any of them is audited.

    Args:
        others: Whether the claim names code of the other side, which is not run for this.
    """
    from compliance.verdict import blockers
    from flows.data import image_folder, loaders

    references = len(claim.references or ()) or (policy.references if claim.recipe else 0)
    unseen: int | None = None
    if claim.unseen is None:
        unseen = 0
    elif not others:
        spec = requests.spec_of(claim.unseen, origin)
        files = image_folder.of_spec(spec)  # classes are counted without reading a pixel
        unseen = len(files.classes if files else loaders.load(spec).test_labels.unique())
    return tuple(blockers.foreseen(policy, references=references, unseen=unseen))


def _of_code(code: Mapping[str, str], read: Mapping[str, str]) -> dict[str, Mapping[str, str]]:
    """What a receipt says of code that ran: the modules that were allowed, the files they read."""
    return {"code": code, "codeFiles": code_files.named(read, others_code.places(code))}


def claim_of(home: Home, event: str) -> Claim:
    """The event's claim, unchanged since it was received.

    Raises:
        EventError: The file is not what the ledger says was received.
    """
    claim = load_claim(home.claim(event))
    if receipts.logged(home, event) != claim.digest(files_of(home, event)):
        raise EventError(
            f"{home.claim(event)} is not the claim that the ledger received. Restore the file, or "
            "hand the claim in again."
        )
    return claim


def files_of(home: Home, event: str) -> dict[str, str]:
    """SHA-256 of each of the claim's models, as they were when it was received."""
    return dict(receipts.origin(home, event)["files"])


def code_of(home: Home, claim: Claim, origin: Path) -> list[str]:
    """What a claim names that may be code of the other side: data, architectures, its recipe's."""
    from flows.models import recipes

    recipe = recipe_source(claim, origin)
    return [
        claim.data.name,
        *([claim.unseen.name] if claim.unseen else []),
        *(recipes.code_of(recipe) if recipe else []),
        *(source.architecture for source in sources(home, claim, origin).values()),
    ]


def require_allowed(home: Home, claim: Claim, origin: Path, files: Mapping[str, str]) -> None:
    """Refuse a received claim whose code nobody allowed: one of before that was asked.

    Raises:
        EventError: It names a module that is not pinned among its files.
    """
    others_code.allowed(
        code_of(home, claim, origin), others_code.in_files(files), document=origin / "claim.yaml"
    )


def recipe_source(claim: Claim, origin: Path) -> str | None:
    """The claim's recipe as `intake.recipe_source` finds it; None where it names none."""
    return requests.recipe_source(claim.recipe, origin) if claim.recipe else None


def sources(home: Home, claim: Claim, origin: Path) -> dict[str, Located]:
    """Where each model lies: `original`, `edited`, `reference_0` and so on."""
    original = model_source.locate(home, claim.original, origin)
    edited = model_source.locate(home, claim.edited, origin)
    references = {
        f"reference_{number}": Located(
            path=(origin / file).resolve(), architecture=original.architecture
        )
        for number, file in enumerate(claim.references or ())
    }
    return {"original": original, "edited": edited, **references}


def digests(home: Home, claim: Claim, origin: Path) -> dict[str, str]:
    """SHA-256 of each model's bytes.

    Raises:
        ModelError: A file cannot be read.
    """
    pinned = {}
    for name, source in sources(home, claim, origin).items():
        try:
            pinned[name] = digest_file(source.path)
        except OSError as problem:
            raise ModelError(
                f"Cannot read {source.path} ({name}): {problem.strerror}. Name a safetensors "
                "file that is there and that you may read."
            ) from problem
    return pinned


def check_file(home: str, file: str) -> None:
    """The same as `check`, in a process of its own for code of the other side."""
    place = Path(file)
    claim, origin = load_claim(place), place.parent
    check(
        Home(Path(home)), claim, load_policy(requests.policy_source(claim.policy, origin)), origin
    )


def check(home: Home, claim: Claim, policy: Policy, origin: Path) -> None:
    """Whether the claim can be audited at all, before anything is logged.

    Raises:
        DataError, ModelError, RecipeError, EventError: With what is wrong and what to do.
    """
    from flows.data import loaders
    from flows.models import recipes

    recipe = recipe_source(claim, origin)
    if recipe is not None:
        recipes.get(recipe)
    applied = model_source.locate(home, claim.original, origin).preprocessing
    dataset = loaders.load(requests.spec_of(claim.data, origin, applied))
    requests.check_classes(dataset, list(claim.forget), policy)
    _refuse_overlap(dataset)
    located = sources(home, claim, origin)
    networks = {name: source.load(dataset) for name, source in located.items()}  # all readable
    original, edited = networks["original"], networks["edited"]
    refuse_other_reading(located["original"], located["edited"], edited, dataset)
    _refuse_same(original, edited)
    _refuse_stranger(original, edited, dataset, claim.forget)


def _refuse_overlap(dataset: Dataset) -> None:
    """What was trained on is no held-out data: membership and few-shot would look at memories."""
    from flows.data.leakage import shared_rows

    shared, count = shared_rows(dataset), len(dataset.test_labels)
    if shared > OVERLAP * count:
        raise DataError(
            f"{shared} of {count} test images of '{dataset.name}' are training images as well, "
            "pixel by pixel. What was trained on is not held out: take them out of one part."
        )


def _refuse_same(original: nn.Module, edited: nn.Module) -> None:
    import torch

    before, after = original.state_dict(), edited.state_dict()
    if before.keys() == after.keys() and all(torch.equal(before[n], after[n]) for n in before):
        raise EventError(
            "Original and edited hold the same weights: nothing was changed, so there is nothing "
            "to audit. Name the model before and the model after."
        )


def refuse_other_reading(
    original: Located, edited: Located, network: nn.Module, dataset: Dataset
) -> None:
    """Run the edited file in the original's architecture too, where it fits: one file, one model.

    An architecture that answers by something else than the file's tensors is found so, as long as
    the original's is another.

    Raises:
        EventError: The answers differ.
    """
    if edited.architecture == original.architecture:
        return
    try:
        plain = replace(edited, architecture=original.architecture).load(dataset)
    except ModelError:
        return  # it does not fit: a network of another kind
    images = dataset.test_inputs[:COMPARED]
    one, other = _answers(network, images), _answers(plain, images)
    scale = float(other.abs().max())
    if one.shape != other.shape or float((one - other).abs().max()) > SAME * max(scale, 1.0):
        raise EventError(
            f"{edited.path} fits '{original.architecture}' as well, and answers otherwise there "
            f"than in '{edited.architecture}': the architecture decides what was forgotten, not "
            "the weights. Name the original's architecture for the edited model."
        )


def _answers(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Logits of images, (n, C); the network holds the same tensors before and after."""
    import torch

    from flows.models import held_tensors

    with held_tensors.unchanged(network, "The network"), torch.inference_mode():
        return torch.cat([network(part) for part in images.split(500)])


def _refuse_stranger(
    original: nn.Module, edited: nn.Module, dataset: Dataset, forget: tuple[int, ...]
) -> None:
    """An original that never learned the class, or that answers in another order of labels."""
    retain = tuple(sorted(set(dataset.test_labels.tolist()) - set(forget)))
    kept = sum(_recognised(original, dataset, c) for c in retain) / len(retain)
    if kept < LEARNED:
        raise EventError(
            f"The original recognises {kept:.0%} of the classes that stay. Its outputs stand in "
            "another order than the data's labels, or it was trained on other data: name the data "
            "that it was trained on, with labels in the order of its outputs."
        )
    for c in forget:
        before = _recognised(original, dataset, c)
        if before < LEARNED:
            after = _recognised(edited, dataset, c)
            hint = (
                f"The edited one recognises {after:.0%}: the two are probably swapped."
                if after > before + 0.25
                else "What it never knew cannot have been forgotten: check the class's index."
            )
            raise EventError(f"The original recognises {before:.0%} of class {c}. {hint}")


def _recognised(network: nn.Module, dataset: Dataset, c: int) -> float:
    """Share of a class's test images that a model answers right."""
    rows: torch.Tensor = dataset.test_labels == c
    return float((_answers(network, dataset.test_inputs[rows]).argmax(1) == c).float().mean())
