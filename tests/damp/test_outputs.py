"""Logits in whatever a classifier returns."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import pytest
import torch

from damp.aftercare import RetiredOutputs
from damp.errors import Unsupported
from damp.outputs import logits_of, with_logits

Several = namedtuple("Several", ["logits", "auxiliary"])


@dataclass
class Answer:
    """An output as a plain object."""

    logits: torch.Tensor
    loss: None = None


def logits():
    return torch.arange(6.0).reshape(2, 3)


FORMS = {
    "tensor": lambda: logits(),
    "object": lambda: Answer(logits=logits()),
    "mapping": lambda: OrderedDict(logits=logits(), loss=torch.tensor(1.0)),
    "tuple": lambda: (logits(), logits() + 10, "more"),
    "list": lambda: [logits(), torch.ones(2, 7)],
    "named tuple": lambda: Several(logits(), logits() + 10),
}


@pytest.mark.parametrize("form", FORMS)
def test_logits_are_masked_in_their_place(form):
    answer = FORMS[form]()
    assert torch.equal(logits_of(answer, 2), logits())
    masked = RetiredOutputs(torch.nn.Identity(), [1])._masked(logits())
    changed = with_logits(
        answer, lambda values: values.index_fill(1, torch.tensor([1]), -torch.inf), 2
    )
    assert type(changed) is type(answer)
    assert torch.equal(logits_of(changed, 2), masked)
    assert torch.equal(logits_of(answer, 2), logits())


@pytest.mark.parametrize("form", ["tuple", "named tuple"])
def test_auxiliary_heads_lose_the_class_too(form):
    changed = with_logits(FORMS[form](), lambda values: values * 0, 2)
    assert float(changed[1].abs().sum()) == 0


def test_other_entries_stay():
    changed = with_logits(FORMS["list"](), lambda values: values * 0, 2)
    assert torch.equal(changed[1], torch.ones(2, 7))


@pytest.mark.parametrize(
    "output", [torch.ones(3, 2), torch.ones(2), {"loss": torch.ones(2, 3)}, (), None, ("a",)]
)
def test_what_holds_no_logits_is_refused(output):
    with pytest.raises(Unsupported, match="wrap it so that it returns logits"):
        logits_of(output, 2)


class ByForm(torch.nn.Module):
    """A classifier that answers in some form."""

    def __init__(self, form):
        super().__init__()
        self.last = torch.nn.Linear(6, 4)
        self.form = form

    def forward(self, inputs):
        own = self.last(inputs)
        return {"tuple": (own, own * 2), "object": Answer(logits=own)}[self.form]


@pytest.mark.parametrize("form", ["tuple", "object"])
def test_models_that_answer_in_other_forms_forget_too(form, clouds, split):
    import damp

    inputs, labels = clouds()
    inputs = inputs.float()
    edited = damp.forget(ByForm(form), split(inputs, labels), forget=1)
    answer = edited.model(inputs)
    assert bool(logits_of(answer, len(inputs))[:, 1].isneginf().all())
    if form == "tuple":
        assert bool(answer[1][:, 1].isneginf().all())
