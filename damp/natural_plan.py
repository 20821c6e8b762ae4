"""`natural` beside the checks: its first pass over rows is the pass that the statistics take."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from torch import Tensor, nn

from damp.natural import NaturalCase, plan_naturally, write_naturally
from damp.natural_edit import NaturalEdit
from damp.rows import RowKeeper, keep_rows
from damp.running import Batches, exemplar, read_batches


class NaturalPlan:
    """Writing against classes, from the first batch that is seen to the edited layers.

    Args:
        model: The copy that is edited.
        original: It stays as it is.
        batches: Pairs of inputs and labels.
        forget: Classes to forget.
        retired: Classes whose samples are passed over.
        skip: Names of operators that stay as they are.
    """

    def __init__(
        self,
        model: nn.Module,
        original: nn.Module,
        batches: Batches,
        forget: Sequence[int],
        retired: Sequence[int],
        skip: Sequence[str],
    ) -> None:
        self.model, self.original, self.batches = model, original, batches
        self.forget, self.retired, self.skip = forget, retired, skip
        self.case: NaturalCase | str | None = None
        self.keeper: RowKeeper | None = None

    def begin(self, inputs: Tensor) -> RowKeeper | None:
        """What is kept while the statistics are taken, given the first batch, (B, ...)."""
        self.case = plan_naturally(
            self.model, self.original, self.batches, inputs, self.forget, self.retired, self.skip
        )
        if isinstance(self.case, NaturalCase):
            self.keeper = self.case.first_keeper()
        return self.keeper

    def write(self) -> NaturalEdit | str:
        """What was done; or why it cannot be done."""
        if self.case is None:  # the statistics were there: no pass has been made
            stream = read_batches(self.batches, exemplar(self.model), self.retired)
            first = next(stream)
            if (keeper := self.begin(first[0])) is not None:
                # the first batch goes on into the first pass over capped rows
                keep_rows(self.model, chain([first], stream), keeper, edited=False)
        if not isinstance(self.case, NaturalCase) or self.keeper is None:
            return str(self.case)
        return write_naturally(self.case, self.keeper.rows())
