"""The audits, each declared once: what it asks, where it looks, what it needs, how to read it.

A new audit is a file in this package and an entry here. `audits.AUDITS`, the audits that count as a
look inside the network, and the report's texts derive from this table. It needs the standard
library only: who reads it must not pay for the numerics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Depth = Literal["outputs", "last_layer", "weights", "deep"]
"""Where an audit looks: at answers, at the head alone, at the edit itself, at inner features."""
References = Literal["required", "or_novel_classes", "optional"]
"""Whether an audit runs without retrained models: never, on novel classes instead, or always."""
EARLIER = "earlier"
"""The name by which a policy means the earlier depth that `audits/earlier.py` chooses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What an audit declares of itself.

    Attributes:
        question: What it asks, in one sentence; every finding carries it.
        reading: How to read its figures, for a person who knows no statistics.
        title: Its name in a list of attacks.
        attack: What it does, in half a sentence.
        depth: Where it looks; "deep" counts as a look inside the network.
        references: Whether it runs without retrained models.
        original: Whether its figures or differences are relative to the original model.
        shadows: Whether shadow models add figures to it.
        terms: Glossary entries that its texts use.
    """

    question: str
    reading: str
    title: str
    attack: str
    depth: Depth
    references: References = "required"
    original: bool = False
    shadows: bool = False
    terms: tuple[str, ...] = ()


AUDITS: Mapping[str, Entry] = MappingProxyType(
    {
        "accuracy": Entry(
            question="Does the model still predict the forgotten class, and does it still predict "
            "the others?",
            reading="Shares of test images that are answered correctly: 0.535 means 53.5 of 100. "
            "The figures before retiring look behind the switched-off output. Selectivity is how "
            "much more the forgotten class lost than the others.",
            title="Accuracy",
            attack="asks the model directly",
            depth="outputs",
            references="optional",
            original=True,
            terms=("retired", "forget-set"),
        ),
        "routing": Entry(
            question="Do forgotten images go where a model that never saw their class sends them?",
            reading="A model that never saw the class takes its images for some other class. The "
            "figures compare these choices with those of the retrained models; 0 means the same.",
            title="Routing",
            attack="looks at which classes the images are taken for",
            depth="outputs",
            terms=("routing", "js", "tv"),
        ),
        "membership": Entry(
            question="Can an attacker tell training members of the forgotten class from images "
            "never trained on?",
            reading="0.5 means the attacker guesses. Both sides count: a figure below 0.5 betrays "
            "membership as well. The same is measured on the other classes, which an edit can "
            "make worse.",
            title="Membership by score",
            attack="loss, confidence, entropy and margin of one model",
            depth="outputs",
            references="optional",
            shadows=True,
            terms=("membership", "auc", "roc"),
        ),
        "linear_probe": Entry(
            question="Can a linear probe still read the forgotten class from frozen features?",
            reading="Even a model that never saw a class can tell it apart to some degree. So the "
            "figures are compared with retrained models, at several depths. Clearly lower than "
            "retrained is a trace too.",
            title="Linear probe",
            attack="reads inner values at several depths",
            depth="deep",
            references="or_novel_classes",
            terms=("linear-probe", "dprime", "depth"),
        ),
        "second_moments": Entry(
            question="Does the forgotten class differ from the others in how its features scatter?",
            reading="A class can be kept without a mean of its own: inner values that are large on "
            "its images, with either sign. The figures read the inner values and their squares; "
            "clearly more than retrained models show is a trace.",
            title="Second moments",
            attack="reads how inner values scatter, not only where they lie",
            depth="deep",
            references="or_novel_classes",
            terms=("dprime", "auc", "depth"),
        ),
        "mlp_probe": Entry(
            question="Can a small neural network read the forgotten class from frozen features?",
            reading="A reader that assumes nothing of how the class lies in the inner values. It "
            "needs more images than the linear one to see as much.",
            title="Nonlinear probe",
            attack="trains small networks to read inner values",
            depth="deep",
            references="or_novel_classes",
            terms=("dprime", "auc", "penultimate"),
        ),
        "unit_pairs": Entry(
            question="Do two units that the head hardly uses hold the forgotten class together?",
            reading="Two inner values can hold a class so that neither says anything alone. The "
            "figures read the products of those that the last layer would not miss.",
            title="Pairs of idle units",
            attack="multiplies the inner values that the last layer uses least",
            depth="deep",
            references="or_novel_classes",
            terms=("dprime", "auc", "penultimate"),
        ),
        "spatial_pattern": Entry(
            question="Is the forgotten class kept in where features lie in the image, not in how "
            "large they are?",
            reading="Most readers see inner values averaged over the image. The figures read only "
            "what such an average drops: whether they are larger on the left or on the right.",
            title="Spatial pattern",
            attack="reads where in the image inner values lie",
            depth="deep",
            terms=("dprime", "auc"),
        ),
        "few_shot": Entry(
            question="How ready is the forgotten class to come back from a few labelled images?",
            reading="Shares of images recognised after seeing only 1, 5 or 20 labelled images of "
            "each class. A model that still holds the class needs fewer.",
            title="Few-shot",
            attack="teaches the class again from a few images, nothing is trained",
            depth="deep",
            references="or_novel_classes",
            terms=("few-shot", "penultimate", "logits"),
        ),
        "head_refit": Entry(
            question="How much of the forgotten class does a fresh head recover from a few images "
            "a class?",
            reading="The inner layers stay as they are; only the last layer is trained again on a "
            "few images of each class. Shares of images recognised.",
            title="Head refit",
            attack="trains a new last layer on a few images",
            depth="deep",
            references="or_novel_classes",
            terms=("penultimate",),
        ),
        "relearning": Entry(
            question="How fast does the forgotten class come back when the model is tuned for a "
            "few steps?",
            reading="Shares of images recognised while a copy is trained on a few images: of every "
            "class (few), or of the other classes alone (retain only), which can revive a class "
            "that was only hidden.",
            title="Relearning",
            attack="fine-tunes the whole model for a few steps",
            depth="deep",
        ),
        "perturbation": Entry(
            question="Is the class forgotten on images, too, that nobody could have prepared the "
            "model for?",
            reading="Training images moved by a fraction of a pixel, by a number drawn after the "
            "model was handed in: they show whether it behaves on the audit's own images only.",
            title="Perturbed images",
            attack="shows images that nobody could have prepared for",
            depth="deep",
            terms=("dprime", "penultimate", "logits"),
        ),
        "remainder": Entry(
            question="How much of what the original knows of the class remains, by all readers "
            "together?",
            reading="0 is a model that never saw the class, 1 the original. The mean over probes, "
            "which read with all labels, and over readers of a few labels: one figure on few "
            "images hardly tells a half from nothing, and a model can be made to look right to one "
            "of them.",
            title="All readers together",
            attack="pools what every probe and few labels read",
            depth="deep",
            original=True,
            terms=("linear-probe", "few-shot", "original"),
        ),
        "similarity": Entry(
            question="Does the model represent the forgotten images as models do that never saw "
            "their class?",
            reading="Similarity to the retrained models, layer by layer: 1 is the same. The "
            "distance says how far the class stands apart from its nearest neighbour, relative to "
            "the others; a learned class stands apart.",
            title="Similarity",
            attack="compares inner representations layer by layer",
            depth="deep",
            terms=("depth", "penultimate"),
        ),
        "head_suppression": Entry(
            question="How much of the forgetting lives in the last layer alone?",
            reading="The original's last layer is put back: what then comes back was never "
            "forgotten. A retrained model gives some too, by chance. For information.",
            title="Head suppression",
            attack="asks how much was hidden in the last layer only",
            depth="last_layer",
            original=True,
            terms=("penultimate",),
        ),
        "utility": Entry(
            question="Is the model still as good for everything else?",
            reading="Accuracy on the classes kept, its weakest class, and how far its confidence "
            "can be trusted.",
            title="Utility",
            attack="checks what the change cost the other classes",
            depth="outputs",
            references="optional",
            original=True,
            terms=("calibration", "original"),
        ),
        "edit_leakage": Entry(
            question="Do the weights before and after give the forgotten class away? What must not "
            "be published.",
            reading="0.5 means they do not. Near 1 means that whoever holds both models can build "
            "a detector for the class: keep the old one under lock. For information.",
            title="Edit leakage",
            attack="compares the model before and after; anyone who holds both can try",
            depth="weights",
            references="optional",
            original=True,
            terms=("auc",),
        ),
        "weight_provenance": Entry(
            question="Does the file hold more of the original than the function shows?",
            reading="Copies and idle numbers must be 0: the weights before the change have no "
            "business elsewhere in the file, and what moves no output could carry anything along. "
            "How much lies unchanged at its own place is for information: an edit leaves most.",
            title="Weight provenance",
            attack="searches the file for the old weights and for parts without effect",
            depth="weights",
            references="optional",
            original=True,
            terms=("original",),
        ),
    }
)
"""The audits by name, in the order in which a report shows them."""

FURTHER_ATTACKS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "shadow_membership": (
            "Membership with shadow models (RMIA, LiRA)",
            "trains many similar models to judge single images",
        ),
        "inversion": ("Model inversion", "tries to draw images out of the model"),
    }
)
"""Attacks that are no audit of their own: name and what they do."""


def attacks() -> dict[str, tuple[str, str]]:
    """Title and description of every attack; a report lists those that no figure speaks of."""
    return {name: (a.title, a.attack) for name, a in AUDITS.items()} | dict(FURTHER_ATTACKS)


def deep() -> tuple[str, ...]:
    """Audits that look inside the network; at `@logits` even they look at outputs only."""
    return tuple(name for name, entry in AUDITS.items() if entry.depth == "deep")
