"""A training as a recipe says: from which weights, what stays frozen, by whose trainer, with what
is kept of it on the way.

A start is a safetensors file of the same architecture; its head may have other classes, and begins
anew then. The references start where the model did: whatever that file holds of a class, it holds
in all of them.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compliance.presentation import numbers
from flows.models import architectures, recipes, tensor_names, users_trainers
from flows.state import others_code, progress, users_calls
from flows.state.errors import ModelError, RecipeError, first_few
from flows.state.files import digest_file, write_atomically

if TYPE_CHECKING:
    from torch import Tensor, nn

    from audits.images import Images
    from audits.references import Epoch, Recipe

KEPT_EVERY = 10.0
"""Seconds between two states that are written: short trainings write none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Weights that a training begins with.

    Attributes:
        path: A safetensors file.
        sha256: Of its bytes.
    """

    path: Path
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Regime:
    """How a model is trained, with all that decides its bytes.

    Attributes:
        recipe: The settings.
        start: Where it begins; None from random weights.
        freeze: Patterns of the names of parameters that stay.
        trainer: The user's own, `package.module:callable`; None for damp's.
        code: sha256 of that trainer's file.
    """

    recipe: Recipe
    start: Start | None = None
    freeze: tuple[str, ...] = ()
    trainer: str | None = None
    code: str | None = None

    @classmethod
    def of(cls, named: recipes.NamedRecipe) -> Regime:
        """That of a recipe.

        Raises:
            RecipeError: Its start is not there.
            EventError: Its trainer has no file.
        """
        trainer = named.train
        return cls(
            recipe=named.training,
            start=_start(named.start) if named.start else None,
            freeze=named.freeze,
            trainer=trainer,
            code=digest_file(others_code.file_of(trainer.partition(":")[0])) if trainer else None,
        )

    def content(self) -> dict[str, Any]:
        """What names a model beside its recipe; empty where there was nothing of it before."""
        return (
            ({"start": self.start.sha256} if self.start else {})
            | ({"freeze": list(self.freeze)} if self.freeze else {})
            | ({"train": self.trainer, "trainCode": self.code} if self.trainer else {})
        )

    def to_json(self) -> dict[str, Any]:
        """All of it, for a process elsewhere."""
        return {
            "recipe": self.recipe.content(),
            "start": [str(self.start.path), self.start.sha256] if self.start else None,
            "freeze": list(self.freeze),
            "trainer": self.trainer,
            "code": self.code,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Regime:
        """What `to_json` gave."""
        from audits.references import Recipe

        start = content["start"]
        return cls(
            recipe=Recipe.of_content(content["recipe"]),
            start=Start(path=Path(start[0]), sha256=start[1]) if start else None,
            freeze=tuple(content["freeze"]),
            trainer=content["trainer"],
            code=content["code"],
        )


def _start(named: str) -> Start:
    path = Path(named)
    if not path.is_file():
        raise RecipeError(
            f"The recipe starts from {path}, which is not there. Bring the file back, or correct "
            "`start`; it is looked for from the recipe's folder."
        )
    return Start(path=path, sha256=digest_file(path))


def check(
    named: str, *, architecture: str, classes: int, input_shape: tuple[int, ...]
) -> tuple[str, ...]:
    """Whether a recipe can be carried out at all, before anything is logged.

    Returns:
        Sentences for the statement: what a start means for the references.
    Raises:
        RecipeError, ModelError: The start, a frozen part or the trainer does not fit.
    """
    regime = Regime.of(recipes.get(named))
    if regime.start is not None or regime.freeze:
        begun(regime, architecture, classes, input_shape)
    if regime.trainer is not None:
        users_calls.loaded(
            regime.trainer, RecipeError, "network", "rows", "seed", "device", "progress"
        )
    return limits(named)


def limits(named: str) -> tuple[str, ...]:
    """What a recipe means for what the references can show, in sentences for the statement."""
    recipe = recipes.get(named)
    sentences = []
    if recipe.start is not None:
        digest = Regime.of(recipe).start
        sentences.append(
            f"The references start from the weights {Path(recipe.start).name} (sha256 "
            f"{digest.sha256 if digest else ''}), as the model did. Those may have seen the class: "
            "what they hold of it is in the model and in every reference alike, and no audit here "
            "measures it."
        )
    if recipe.freeze:
        sentences.append(
            f"Parameters named {', '.join(recipe.freeze)} were frozen in the model's training and "
            "in the references': they are equal in all of them, so audits that compare weights see "
            "no difference there."
        )
    if recipe.train is not None:
        sentences.append(
            f"The references were trained by code of the user's own, {recipe.train}: that it left "
            "the class's rows out was given to it, not checked inside it."
        )
    return tuple(sentences)


def run(
    regime: Regime,
    *,
    architecture: str,
    classes: int,
    input_shape: tuple[int, ...],
    inputs: Images,
    labels: Tensor,
    seed: int,
    exclude: Sequence[int] = (),
    kept: Path | None = None,
    what: str = "",
    later: int = 0,
) -> nn.Module:
    """A trained network, in evaluation mode on the CPU.

    Args:
        regime: How.
        architecture: And `classes`, `input_shape`: of the network.
        inputs: Training rows.
        labels: Their classes, (n,).
        seed: Of initialisation, order and augmentation.
        exclude: Classes whose rows are left out.
        kept: Where a state is written on the way; deleted in the end.
        what: For progress: "references: model 1 of 5".
        later: Trainings like this one that follow, for the time left.

    Raises:
        BadRecipe: No rows are left, or the loss is not finite.
        ModelError: The start is of another architecture.
        RecipeError: The user's trainer raises, or gives no such network.
    """
    from audits.references import train
    from flows.state.settings import settings

    build = partial(begun, regime, architecture, classes, input_shape)
    shown = _Shown(what, later)
    if regime.trainer is not None:
        return users_trainers.train(
            regime.trainer, build, inputs, labels, seed, exclude, classes, shown.user
        )
    checkpoint = _Kept(kept) if kept is not None else None
    network = train(
        build,
        inputs,
        labels,
        recipe=regime.recipe,
        seed=seed,
        exclude=exclude,
        device=settings().device,
        watch=shown,
        checkpoint=checkpoint,
    )
    if checkpoint is not None:
        checkpoint.remove()
    return network


def begun(
    regime: Regime, architecture: str, classes: int, input_shape: tuple[int, ...]
) -> nn.Module:
    """A network as the recipe starts it: drawn at random, or from its start, with frozen parts.

    Raises:
        ModelError: The start is of another architecture.
        RecipeError: A frozen part is not there.
    """
    network = architectures.build(architecture, classes, input_shape)
    if regime.start is not None:
        load_start(network, regime.start, architecture)
    freeze(network, regime.freeze, architecture)
    return network


def load_start(network: nn.Module, start: Start, architecture: str) -> None:
    """Give a network the weights of a file, all but a head that has other classes.

    Raises:
        ModelError: The file has changed, is damaged, or is of another architecture.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from damp.operators import find
    from flows.models import held_tensors, weights

    weights.read_metadata(start.path)  # refuses what is no safetensors file, in words
    if digest_file(start.path) != start.sha256:
        raise ModelError(
            f"{start.path} has changed since the training was begun. Restore the file, or submit "
            "anew."
        )
    try:
        held = load_file(start.path)
    except (SafetensorError, ValueError) as problem:
        raise ModelError(f"{start.path} is damaged: {problem}. Fetch it again.") from problem
    own = held_tensors.of(network)
    head = find(network)[0][-1].name
    names = tensor_names.in_file(held, own)
    taken = {name: held[place] for name, place in names.items() if name in own}
    other = [n for n, value in taken.items() if value.shape != own[n].shape]
    lacking = [n for n in own if n not in taken and not tensor_names.may_lack(n)]
    strange = [n for n in names if n not in own]
    if wrong := [n for n in (*other, *lacking, *strange) if not n.startswith(f"{head}.")]:
        raise ModelError(
            f"{start.path} is no start for {architecture}: {first_few(wrong)} are missing, of "
            "another shape or too many. Only the head, which has the classes, may differ: name a "
            "file of this architecture."
        )
    infinite = [n for n, v in taken.items() if v.is_floating_point() and not v.isfinite().all()]
    if infinite:
        raise ModelError(f"{start.path} holds values that are not finite in {first_few(infinite)}.")
    fitting = {n: v.to(own[n].dtype) for n, v in taken.items() if n not in other}
    with torch.no_grad():
        network.load_state_dict(dict(network.state_dict()) | fitting)


def freeze(network: nn.Module, patterns: Sequence[str], architecture: str) -> None:
    """Keep parameters as they are, by patterns of their names.

    Raises:
        RecipeError: A pattern names none, or all are named.
    """
    names = [name for name, _ in network.named_parameters()]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise RecipeError(
                f"`freeze` names '{pattern}', and {architecture} has no such parameter. Its names "
                f"are like {first_few(names)}; a pattern may have * in it."
            )
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not any(fnmatchcase(name, pattern) for pattern in patterns))
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise RecipeError("`freeze` names every parameter: nothing would be trained. Name fewer.")


class _Shown:
    """Epochs, accuracy and time left, for whoever waits."""

    def __init__(self, what: str, later: int) -> None:
        self.what, self.later, self.first, self.start = what, later, 0, time.monotonic()

    def __call__(self, epoch: Epoch) -> None:
        self.first = self.first or epoch.number  # a training that was resumed begins later
        done = epoch.number - self.first + 1
        each = (time.monotonic() - self.start) / max(done, 1)
        left = each * (epoch.of - epoch.number + epoch.of * self.later)
        share = epoch.accuracy
        correct = f", accuracy {share:.1%}" if share == share else ""
        prefix = f"{self.what}, " if self.what else ""
        text = f"{prefix}epoch {epoch.number} of {epoch.of}, loss {epoch.loss:.3f}{correct}"
        progress.current().advance(f"{text}, {numbers.duration(left)} left", epoch.number, epoch.of)

    def user(self, epoch: int, epochs: int, loss: float, accuracy: float = float("nan")) -> None:
        """The same for a user's trainer, which may not know its accuracy."""
        from audits.references import Epoch

        whole = max(int(epochs), 1)
        self(Epoch(number=int(epoch), of=whole, loss=float(loss), accuracy=float(accuracy)))


class _Kept:
    """The state of a training in one file, written aside and renamed."""

    def __init__(self, path: Path) -> None:
        self.path, self.last = path, time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """What was left; None where nothing was, or it is damaged and the training begins anew."""
        import pickle

        import torch

        if not self.path.exists():
            return None
        try:
            # tensors and plain values only: nothing in the file can run
            state: dict[str, Any] = torch.load(self.path, weights_only=True, map_location="cpu")
        except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError):
            self.path.unlink(missing_ok=True)
            return None
        return state

    def save(self, state: Callable[[], dict[str, Any]]) -> None:
        """Keep a state, unless the last one is moments old."""
        import torch

        if time.monotonic() - self.last < KEPT_EVERY:
            return
        buffer = io.BytesIO()
        torch.save(state(), buffer)
        write_atomically(self.path, buffer.getvalue())
        self.last = time.monotonic()

    def remove(self) -> None:
        """The training is over."""
        self.path.unlink(missing_ok=True)
