"""What each audit asks and how to read its figures; and the attacks that no audit covers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# audit -> (question where the findings bring none, how to read the figures, glossary ids)
AUDITS: Mapping[str, tuple[str, str, tuple[str, ...]]] = MappingProxyType(
    {
        "accuracy": (
            "Does the model still recognise the forgotten class, and the others as before?",
            "Shares of test images that are answered correctly: 0.535 means 53.5 of 100. The "
            "figures before retiring look behind the switched-off output. Selectivity is how much "
            "more the forgotten class lost than the others.",
            ("retired", "forget-set"),
        ),
        "routing": (
            "Do images of the forgotten class go where a model that never saw it sends them?",
            "A model that never saw the class takes its images for some other class. The figures "
            "compare these choices with those of the retrained models; 0 means the same.",
            ("routing", "js", "tv"),
        ),
        "membership": (
            "Can an attacker tell which images of the forgotten class were used in training?",
            "0.5 means the attacker guesses. Both sides count: a figure below 0.5 betrays "
            "membership as well. The same is measured on the other classes, which an edit can "
            "make worse.",
            ("membership", "auc", "roc"),
        ),
        "linear_probe": (
            "Can a linear probe still read the forgotten class from the inner values?",
            "Even a model that never saw a class can tell it apart to some degree. So the figures "
            "are compared with retrained models, at several depths. Clearly lower than retrained "
            "is a trace too.",
            ("linear-probe", "dprime", "depth"),
        ),
        "few_shot": (
            "How readily does the forgotten class come back from a few labelled images?",
            "Shares of images recognised after seeing only 1, 5 or 20 labelled images of each "
            "class. A model that still holds the class needs fewer.",
            ("few-shot", "penultimate", "logits"),
        ),
        "head_refit": (
            "Does a new last layer, trained on a few images, bring the forgotten class back?",
            "The inner layers stay as they are; only the last layer is trained again on a few "
            "images of each class. Shares of images recognised.",
            ("penultimate",),
        ),
        "relearning": (
            "How fast does the class come back when the model is trained on for a few steps?",
            "Shares of images recognised while a copy is trained on a few images: of every class "
            "(few), or of the other classes alone (retain only), which can revive a class that was "
            "only hidden.",
            (),
        ),
        "perturbation": (
            "Is the class forgotten on images, too, that nobody could have prepared the model for?",
            "Training images moved by a fraction of a pixel, by a number drawn after the model was "
            "handed in: they show whether it behaves on the audit's own images only.",
            ("dprime", "penultimate", "logits"),
        ),
        "remainder": (
            "How much of what the original knows of the class remains, by all readers together?",
            "0 is a model that never saw the class, 1 the original. The mean over probes, which "
            "read with all labels, and over readers of a few labels: one figure on few images "
            "hardly tells a half from nothing, and a model can be made to look right to one of "
            "them.",
            ("linear-probe", "few-shot", "original"),
        ),
        "similarity": (
            "Does the model see the forgotten images as models do that never saw their class?",
            "Similarity to the retrained models, layer by layer: 1 is the same. The distance says "
            "how far the class stands apart from its nearest neighbour, relative to the others; a "
            "learned class stands apart.",
            ("depth", "penultimate"),
        ),
        "head_suppression": (
            "How much of the forgetting lives in the last layer alone?",
            "The original's last layer is put back: what then comes back was never forgotten. A "
            "retrained model gives some too, by chance. For information.",
            ("penultimate",),
        ),
        "edit_leakage": (
            "Do the weights before and after give the forgotten class away?",
            "0.5 means they do not. Near 1 means that whoever holds both models can build a "
            "detector for the class: keep the old one under lock. For information.",
            ("auc",),
        ),
        "utility": (
            "Is the model still as good at everything else?",
            "Accuracy on the classes kept, its weakest class, and how far its confidence can be "
            "trusted.",
            ("calibration", "original"),
        ),
    }
)

# attack -> (name, what it is); shown under coverage where no row of the statement speaks of it
ATTACKS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "accuracy": ("Accuracy", "asks the model directly"),
        "routing": ("Routing", "looks at which classes the images are taken for"),
        "membership": ("Membership by score", "loss, confidence, entropy and margin of one model"),
        "linear_probe": ("Linear probe", "reads inner values at several depths"),
        "few_shot": ("Few-shot", "teaches the class again from a few images, nothing is trained"),
        "head_refit": ("Head refit", "trains a new last layer on a few images"),
        "utility": ("Utility", "checks what the change cost the other classes"),
        "relearning": ("Relearning", "fine-tunes the whole model for a few steps"),
        "shadow_membership": (
            "Membership with shadow models (RMIA, LiRA)",
            "trains many similar models to judge single images",
        ),
        "perturbation": ("Perturbed images", "shows images that nobody could have prepared for"),
        "remainder": ("All readers together", "pools what every probe and few labels read"),
        "head_suppression": ("Head suppression", "asks how much was hidden in the last layer only"),
        "similarity": ("Similarity", "compares inner representations layer by layer"),
        "edit_leakage": (
            "Edit leakage",
            "compares the model before and after; anyone who holds both can try",
        ),
        "inversion": ("Model inversion", "tries to draw images out of the model"),
    }
)
