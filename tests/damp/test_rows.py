"""Capped rows: which are taken, and what is kept of them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from damp import rows
from damp.operators import find
from damp.rows import Answers, RowKeeper, capped_rows
from damp.sums import find_sums
from damp.tracing import trace


@pytest.fixture
def net(seeded):
    return seeded(lambda: nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 4))).eval()


def taken(net, batches, forget=(1,), retired=()):
    operators, _ = find(net)
    uses = trace(net, operators, batches[0][0]).uses
    sums = find_sums(net, uses["2"], batches[0][0], 1)
    keeper = RowKeeper(
        Answers(net), forget, retired, sums=sums, operators=[operators[0]], classes=4
    )
    return capped_rows(net, batches, keeper, edited=False)


def test_the_first_rows_of_each_class_are_taken(net, monkeypatch):
    monkeypatch.setattr(rows, "RETAIN_ROWS", 9)
    monkeypatch.setattr(rows, "RETAIN_LEAST", 1)
    monkeypatch.setattr(rows, "FORGET_ROWS", 5)
    inputs, labels = torch.randn(80, 3), torch.arange(80) % 4
    sample = taken(net, list(zip(inputs.split(7), labels.split(7), strict=True)))
    # nine rows for three classes, five for the one to forget: the first ones
    expected = [r for r in range(80) if r // 4 < (5 if r % 4 == 1 else 3)]
    torch.testing.assert_close(sample.inputs["0"], inputs[expected])
    torch.testing.assert_close(sample.labels, labels[expected])
    torch.testing.assert_close(sample.sums[0], net[0](inputs[expected]).detach())
    torch.testing.assert_close(sample.logits, net(inputs[expected]).detach())


def test_fewer_rows_are_taken_where_memory_is_short(net, monkeypatch):
    inputs, labels = torch.randn(400, 3), torch.arange(400) % 4
    batches = list(zip(inputs.split(40), labels.split(40), strict=True))
    everything = taken(net, batches)
    assert len(everything.labels) == 400
    # a row of z and of the layer's input takes (6 + 3) float32
    monkeypatch.setattr(rows, "MEMORY", 36 * 100)
    monkeypatch.setattr(rows, "RETAIN_LEAST", 5)
    fewer = taken(net, batches)
    assert 40 <= len(fewer.labels) < 120
    assert set(fewer.labels.tolist()) == {0, 1, 2, 3}


def test_a_keeper_holds_no_rows_that_it_has_given(net):
    operators = find(net)[0]
    inputs, labels = torch.randn(8, 3), torch.arange(8) % 4
    sums = find_sums(net, trace(net, operators, inputs).uses["2"], inputs, 1)
    keeper = RowKeeper(Answers(net), [1], [2], sums=sums, operators=[operators[0]], classes=4)
    given = capped_rows(net, [(inputs, labels)], keeper, edited=False)
    assert len(given.sums[0]) == len(given.inputs["0"]) == 6
    assert not any([*keeper.kept_sums.values(), *keeper.kept_inputs.values()])


def test_what_the_least_rows_take_is_said_before_any_is_kept(net):
    operators = find(net)[0]
    inputs = torch.randn(8, 3)
    sums = find_sums(net, trace(net, operators, inputs).uses["2"], inputs, 1)
    keeper = RowKeeper(Answers(net), [1], [2], sums=sums, operators=[operators[0]], classes=4)
    # two classes are kept: of each row (6 + 3) float32
    assert keeper.least_bytes(net, inputs[:1]) == 36 * rows.RETAIN_LEAST * 2


def test_no_more_batches_are_read_than_are_wanted(net, monkeypatch):
    monkeypatch.setattr(rows, "RETAIN_ROWS", 6)
    monkeypatch.setattr(rows, "RETAIN_LEAST", 1)
    monkeypatch.setattr(rows, "FORGET_ROWS", 2)
    inputs, labels = torch.randn(80, 3), torch.arange(80) % 4
    read = []

    class Watched(list):
        def __iter__(self):
            for number, batch in enumerate(super().__iter__()):
                read.append(number)
                yield batch

    taken(net, Watched(zip(inputs.split(4), labels.split(4), strict=True)))
    assert read == [0, 1]
