"""Methods of others and a team's own, as a request names them: checked, pinned and run.

A team's own method is foreign code in the operator's own environment. Its source is pinned by its
digest when the attempt begins, and it never runs where code of a claimant does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from damp.errors import DampError
from damp.methods import entry_points
from damp.methods.catalogue import METHODS
from flows.state import users_calls
from flows.state.errors import ModelError

if TYPE_CHECKING:
    from torch import nn

    from damp.methods.entry_points import TeamMethod
    from damp.methods.running import Forgotten
    from flows.data.dataset import Dataset
    from flows.models.renewal import Build


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What was done, as the statement holds it.

    Attributes:
        name: Of the method.
        settings: All of them, defaults included; of a team's own method those that were asked for.
        rows: Training rows that it was given.
        forward, backward: Rows that went through the network.
        changed: Tensors that differ from the model before.
        code: Of a team's own method: distribution, version, target, sha256; None for one of damp's.
    """

    name: str
    settings: Mapping[str, float]
    rows: int
    forward: int
    backward: int
    changed: tuple[str, ...]
    code: Mapping[str, str] | None

    def to_json(self) -> dict[str, Any]:
        content = asdict(self)
        return {key: value for key, value in content.items() if key != "code" or value}


def check(name: str, settings: Mapping[str, float]) -> None:
    """Refuse a method that is not there, or settings that it does not have.

    Raises:
        ModelError: With what there is.
    """
    try:
        if name in METHODS:
            from damp.methods.running import checked_settings

            checked_settings(name, settings)
        else:
            _loaded(entry_points.find(name))
    except DampError as problem:
        raise ModelError(f"{problem} See docs/keys.md, `method.name`.") from problem


def digest(name: str) -> str | None:
    """Of the source of a team's own method; None for one of damp's, which the version names.

    Raises:
        ModelError: There is no such method.
    """
    if name in METHODS:
        return None
    try:
        return entry_points.find(name).sha256
    except DampError as problem:
        raise ModelError(str(problem)) from problem


def run(
    network: nn.Module,
    dataset: Dataset,
    forget: Sequence[int],
    *,
    name: str,
    settings: Mapping[str, float],
    code: str | None,
    build: Build,
    seed: int,
) -> tuple[nn.Module, Record]:
    """A network from which a method has taken classes, and what was done.

    Args:
        network: Stays as it is.
        dataset: Its training rows are the method's.
        forget: Classes.
        name: Of the method.
        settings: That were asked for.
        code: Digest of its source when the attempt began; None for one of damp's.
        build: Makes a fresh network, for methods that need one.
        seed: Of everything that it draws.
    Raises:
        ModelError: It cannot work on this model or data, raises, gives no network of this
            architecture, or its source has changed since.
    """
    from damp.methods.job import Job

    try:
        job = Job(
            model=network,
            inputs=dataset.train_inputs,
            labels=dataset.train_labels,
            forget=tuple(sorted(forget)),
            seed=seed,
            build=build,
        )
        if name in METHODS:
            from damp.methods.running import checked_settings
            from damp.methods.running import run as run_own

            every, team = checked_settings(name, settings), None
            done = run_own(name, job, every)
        else:
            every, team = dict(settings), _pinned(name, code)
            done = _run_team(team, job, every)
    except DampError as problem:
        raise ModelError(f"The method '{name}' could not be carried out: {problem}") from problem
    record = Record(
        name=name,
        settings=every,
        rows=len(dataset.train_labels),
        forward=done.passes.forward,
        backward=done.passes.backward,
        changed=_changed(network, done.model, name),
        code=_whose(team) if team else None,
    )
    return done.model, record


def _whose(team: TeamMethod) -> dict[str, str]:
    """The package that it came with, and the digest of its source."""
    return {key: value for key, value in asdict(team).items() if key != "name"}


def _run_team(team: TeamMethod, job: Any, settings: Mapping[str, float]) -> Forgotten:
    from damp.methods.running import forgotten

    function = _loaded(team)
    with users_calls.guarded(team.target, ModelError, "while it made the model forget"):
        return forgotten(function, team.name, job, settings)


def _loaded(team: TeamMethod) -> Any:
    """Its function; refused in a process that runs a claimant's code."""
    return users_calls.loaded(team.target, ModelError, "job")


def _pinned(name: str, code: str | None) -> TeamMethod:
    team = entry_points.find(name)
    if team.sha256 != code:
        raise ModelError(
            f"The source of the method '{name}' ({team.distribution} {team.version}) has the "
            f"digest {team.sha256[:16]}..., and the attempt began with {str(code)[:16]}...: "
            "install what it began with, or file a new request."
        )
    return team


def _changed(before: nn.Module, after: nn.Module, name: str) -> tuple[str, ...]:
    """Names of the tensors that differ.

    Raises:
        ModelError: The networks do not have the same tensors, biases that were added aside.
    """
    import torch

    old, new = before.state_dict(), after.state_dict()
    others = [key for key in new if key not in old and not key.endswith("bias")]
    shapes = [key for key in old if key not in new or new[key].shape != old[key].shape]
    if others or shapes:
        raise ModelError(
            f"The method '{name}' gave a network with other tensors ({(others + shapes)[0]}): let "
            "it give a copy of the one that it was given."
        )
    return tuple(key for key in new if key not in old or not torch.equal(new[key], old[key]))
