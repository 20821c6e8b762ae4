"""One member of each family of torchvision's classifiers: small, with random weights.

Each is edited, and its edited self must compute what the original computes when every input of an
edited operator is erased first, at every layer, borders included. The erasing is written anew here.
"""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torchvision import models as zoo
from torchvision.models import convnext, maxvit, regnet, resnet, swin_transformer

import damp
from damp import accumulator
from damp.operators import find
from damp.plans import OperatorPlan, PlanSettings
from damp.presets import plan_operator

CLASSES = 3


def swin(block, merging):
    return swin_transformer.SwinTransformer(
        patch_size=[2, 2],
        embed_dim=12,
        depths=[1, 2],
        num_heads=[2, 4],
        window_size=[4, 4],
        num_classes=CLASSES,
        block=block,
        downsample_layer=merging,
    )


def on_meta(build):
    """A large network whose weights are drawn in one cheap sweep."""
    with torch.device("meta"):
        model = build()
    model.to_empty(device="cpu")
    for value in model.parameters():
        nn.init.uniform_(value, -0.02, 0.02)
    return model


SMALL = {"num_classes": CLASSES}
FAMILIES = {
    "convnext": (
        lambda: convnext.ConvNeXt(
            [convnext.CNBlockConfig(8, 16, 1), convnext.CNBlockConfig(16, None, 1)],
            layer_scale=1.0,
            **SMALL,
        ),
        32,
    ),
    "densenet": (lambda: zoo.DenseNet(8, (2, 2), 16, **SMALL), 32),
    "efficientnet": (lambda: zoo.efficientnet_b0(**SMALL), 32),
    "googlenet": (lambda: zoo.googlenet(init_weights=False, **SMALL), 32),
    "inception": (lambda: zoo.inception_v3(init_weights=False, **SMALL), 75),
    "maxvit": (
        lambda: maxvit.MaxVit(
            (32, 32), 8, 4, [8, 16], [1, 1], 4, stochastic_depth_prob=0.0, **SMALL
        ),
        32,
    ),
    "mnasnet": (lambda: zoo.mnasnet0_5(**SMALL), 32),
    "mobilenet_v2": (lambda: zoo.mobilenet_v2(width_mult=0.35, **SMALL), 32),
    "mobilenet_v3": (lambda: zoo.mobilenet_v3_small(**SMALL), 32),
    "regnet": (
        lambda: regnet.RegNet(
            regnet.BlockParams.from_init_params(4, 16, 12.0, 2.2, 8, se_ratio=0.25), **SMALL
        ),
        32,
    ),
    "resnet": (lambda: zoo.resnet18(**SMALL), 32),
    "resnext": (
        lambda: zoo.ResNet(resnet.Bottleneck, [1, 1, 1, 1], groups=4, width_per_group=8, **SMALL),
        32,
    ),
    "shufflenet": (lambda: zoo.shufflenet_v2_x0_5(**SMALL), 32),
    "squeezenet": (lambda: zoo.squeezenet1_1(**SMALL), 32),
    "swin": (
        lambda: swin(swin_transformer.SwinTransformerBlock, swin_transformer.PatchMerging),
        24,
    ),
    "swin_v2": (
        lambda: swin(swin_transformer.SwinTransformerBlockV2, swin_transformer.PatchMergingV2),
        24,
    ),
    "vit": (lambda: zoo.VisionTransformer(16, 4, 2, 2, 12, 24, **SMALL), 16),
    "wide_resnet": (
        lambda: zoo.ResNet(resnet.Bottleneck, [1, 1, 1, 1], width_per_group=128, **SMALL),
        32,
    ),
    "alexnet": (lambda: on_meta(lambda: zoo.alexnet(**SMALL)), 64),
    "vgg": (lambda: on_meta(lambda: zoo.vgg11(**SMALL)), 32),
}
LARGE = {"alexnet", "googlenet", "resnet", "vgg", "wide_resnet"}
"""In float32, to save time; the others in float64."""


def images(side, dtype):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(24) % CLASSES
    centres = torch.randn(CLASSES, 3, side, side, generator=generator)
    noise = torch.randn(24, 3, side, side, generator=generator)
    return (centres[labels] + 0.5 * noise).to(dtype), labels


def built(family):
    """The network in evaluation mode, its batch norms used to the images, and the images."""
    build, side = FAMILIES[family]
    torch.manual_seed(0)
    dtype = torch.float32 if family in LARGE else torch.float64
    model = build().to(dtype)
    head = list(model.modules())[-1]
    if isinstance(head, nn.Linear):
        nn.init.normal_(head.weight)  # torchvision starts some at zero
    inputs, labels = images(side, dtype)
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in norms:
        layer.momentum = None
        layer.train()
    model.eval()
    for layer in norms:
        layer.train()
    with torch.no_grad():
        model(inputs)
    return model.eval(), inputs, labels


def erased(inputs, plan):
    """x - T (x - m), features last."""
    projector = plan.subspace.basis @ torch.diag(plan.strength) @ plan.subspace.dual.T
    return inputs - (inputs - plan.reference.to(inputs)) @ projector.T.to(inputs)


class Erasing(TorchFunctionMode):
    """Erases the inputs of operators instead of editing their weights."""

    def __init__(self, operators, decided):
        super().__init__()
        self.plans = {}
        for operator in operators:
            if operator.name in decided:
                entry = self.plans.setdefault(id(operator.parameter), {})
                entry[operator.part.suffix] = decided[operator.name]

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is functional.linear and id(args[1]) in self.plans:
            return self.linear(*args, **kwargs)
        if func is functional.conv2d and id(args[1]) in self.plans:
            return self.convolution(*args, **kwargs)
        if func is functional.multi_head_attention_forward:
            signature = inspect.signature(func)
            return self.attention(**signature.bind(*args, **kwargs).arguments)
        return func(*args, **kwargs)

    def linear(self, inputs, weight, bias=None):
        (plan,), bias_applied = self.plans[id(weight)][""]
        plain = functional.linear(inputs, weight, bias)
        return torch.where(
            bias_applied, functional.linear(erased(inputs, plan), weight, bias), plain
        )

    def convolution(self, inputs, weight, bias, stride, padding, dilation, groups):
        """Padded with zeros first, then erased: the borders are erased like the rest."""
        entry, _ = self.plans[id(weight)][""]
        rows, columns = padding
        padded = functional.pad(inputs, (columns, columns, rows, rows))
        parts = [
            part if plan is None else erased(part.movedim(1, -1), plan).movedim(-1, 1)
            for part, plan in zip(padded.chunk(groups, 1), entry, strict=True)
        ]
        return functional.conv2d(torch.cat(parts, 1), weight, bias, stride, 0, dilation, groups)

    def attention(self, query, num_heads, in_proj_weight, in_proj_bias, out_proj_weight,
                  out_proj_bias, **_):  # fmt: skip
        """Attention written out, tokens first."""
        entry = self.plans[id(in_proj_weight)]
        parts = []
        for place, role in enumerate("qkv"):
            rows = slice(place * query.shape[-1], (place + 1) * query.shape[-1])
            (plan,), _ = entry[f"{role}_proj"]
            projected = functional.linear(
                erased(query, plan), in_proj_weight[rows], in_proj_bias[rows]
            )
            parts.append(projected.unflatten(-1, (num_heads, -1)).permute(1, 2, 0, 3))
        queries, keys, values = parts
        scores = (queries @ keys.mT / keys.shape[-1] ** 0.5).softmax(-1)
        mixed = (scores @ values).permute(2, 0, 1, 3).flatten(-2)
        (plan,), _ = self.plans[id(out_proj_weight)][""]
        return functional.linear(erased(mixed, plan), out_proj_weight, out_proj_bias), None


@pytest.fixture
def sketching(monkeypatch):
    """Sketches what has more than 2,048 features: whole matrices take seconds here."""
    monkeypatch.setattr(accumulator, "WIDEST", 2048)


SLOW = {"vgg", "inception"}
"""Families whose test takes more than ten seconds."""


@pytest.mark.parametrize(
    "family",
    [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in FAMILIES],
)
def test_every_family_is_edited_as_if_its_inputs_were_erased(family, sketching):
    model, inputs, labels = built(family)
    batches = [(inputs[:15], labels[:15]), (inputs[15:], labels[15:])]
    measured = damp.measure(model, batches)
    edited = damp.forget(
        model, None, forget=1, preset="mixture", measured=measured, recalibrate=False
    )
    decided = {}
    for reader in measured.readers:
        answers = plan_operator(
            "mixture", measured.of(reader), [1], PlanSettings(gain=1.0, ramp=1.0)
        )
        kept = [plan if isinstance(plan, OperatorPlan) else None for plan in answers]
        if any(plan is not None for plan in kept):
            decided[reader.name] = kept, reader.bias_mask()
    assert {edit.name for edit in edited.operators} == set(decided)
    with torch.no_grad(), Erasing(find(model)[0], decided):
        expected = model(inputs)
    with torch.no_grad():
        actual, before = edited.unretired(inputs), model(inputs)
    scale = float(before.abs().max())
    tolerance = 1e-4 if family in LARGE else 1e-9
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance * scale)
    assert not torch.allclose(actual, before, rtol=0, atol=1e-3 * scale)
    assert_all_accounted_for(model, edited)


def assert_all_accounted_for(model, edited):
    """Every weight matrix of the model is edited, or named with the right reason."""
    edits = {edit.name for edit in edited.operators}
    reasons = {}
    for skipped in edited.skipped:
        reasons.setdefault(skipped.name, []).append(skipped.reason)
    for name, value in model.named_parameters():
        if value.ndim < 2 or "norm" in name:
            continue
        owner, _, own = name.rpartition(".")
        layer = model.get_submodule(owner)
        if own == "in_proj_weight":
            assert {f"{owner}.{role}_proj" for role in "qkv"} <= edits
            continue
        listed = " ".join(reasons.get(owner, []) + reasons.get(name, []))
        if isinstance(layer, nn.Conv2d) and layer.weight.shape[1] == 1:
            assert "depthwise" in listed
        elif owner.startswith("aux") or owner.startswith("AuxLogits"):
            assert "never called" in listed
        elif "cpb_mlp" in owner:
            assert "does not depend on the images" in listed
        elif not isinstance(layer, nn.Linear | nn.Conv2d):
            assert "belongs to no layer" in listed or "not supported" in listed
        elif "not above the gate" in listed or "all alike" in listed:
            assert owner not in edits
        else:
            assert owner in edits
