"""A training by a user's own function: called with a fresh network and the rows, and checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from flows.state import users_calls
from flows.state.errors import RecipeError, first_few

if TYPE_CHECKING:
    from torch import Tensor, nn

    from audits.images import Images


class Rows:
    """Training rows for a user's trainer: a data set as torch's `DataLoader` takes it.

    Attributes:
        labels: Classes of all rows, (n,).
    """

    def __init__(self, inputs: Images, labels: Tensor) -> None:
        self.inputs, self.labels = inputs, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        return self.inputs[row], self.labels[row]

    def __getitems__(self, rows: list[int]) -> list[tuple[Tensor, Tensor]]:
        import torch

        chosen = torch.tensor(rows)
        return list(zip(self.inputs[chosen], self.labels[chosen], strict=True))


def train(
    trainer: str,
    build: Callable[[], nn.Module],
    inputs: Images,
    labels: Tensor,
    seed: int,
    exclude: Sequence[int],
    classes: int,
    shown: Callable[..., None],
) -> nn.Module:
    """A network by the user's own trainer, checked."""
    import torch

    from flows.state.settings import settings

    kept = ~torch.isin(labels, torch.tensor(list(exclude), dtype=labels.dtype))
    rows = Rows(inputs.index_select(0, kept.nonzero().flatten()), labels[kept])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build()
        expected = {n: tuple(v.shape) for n, v in network.state_dict().items()}
        result = users_calls.call(
            trainer,
            RecipeError,
            network=network,
            rows=rows,
            seed=seed,
            device=settings().device,
            progress=shown,
        )
    trained = network if result is None else result
    if not isinstance(trained, torch.nn.Module):
        raise RecipeError(
            f"'{trainer}' returned a {type(trained).__name__}. Return the trained network, or "
            "train the one that is given and return nothing."
        )
    trained = trained.cpu().eval()
    got = {n: tuple(v.shape) for n, v in trained.state_dict().items()}
    if differing := sorted(
        n for n in got.keys() | expected.keys() if got.get(n) != expected.get(n)
    ):
        raise RecipeError(
            f"'{trainer}' returned a network that differs from the one that it was given in "
            f"{first_few(differing)}. Return that network, with its {classes} outputs."
        )
    _refuse_useless(trainer, trained, rows, classes)
    return trained


def _refuse_useless(trainer: str, network: nn.Module, rows: Rows, classes: int) -> None:
    import torch

    with torch.inference_mode(), users_calls.guarded(trainer, RecipeError, "when it was tried"):
        answers = network(rows.inputs[: min(2, len(rows))])
    whole = isinstance(answers, torch.Tensor) and answers.shape[1:] == (classes,)
    if not whole or not answers.isfinite().all():
        raise RecipeError(
            f"The network that '{trainer}' returned gives no {classes} finite outputs for an image "
            "of the training data. Check the learning rate and what it returns."
        )
