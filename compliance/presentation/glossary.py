"""What the words of the report mean, for a reader who is not an engineer."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# id in the page -> (term, explanation); sorted by term
GLOSSARY: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "assurance": (
            "Assurance level",
            "How much the audits could look at. L1: outputs only. L2: inner representations too. "
            "L3: also a comparison with models retrained without the class.",
        ),
        "attack": (
            "Attack",
            "A way in which somebody could try to find out what a model remembers. An audit is an "
            "attack that we run ourselves.",
        ),
        "auc": (
            "AUC",
            "How well a score separates two groups: 0.5 is guessing, 1.0 is perfect. Below 0.5 the "
            "score is as telling as above, only the other way round.",
        ),
        "calibration": (
            "Calibration error (ECE)",
            "How far the confidence a model shows is from how often it is right; 0 is best.",
        ),
        "class": (
            "Class",
            "One of the kinds of image that the model tells apart. Classes are numbered here, "
            "never named.",
        ),
        "interval": (
            "Interval",
            "The range in which a figure would lie if it were measured again on other images: 95% "
            "for a value, 90% for a difference that is judged (5% on each side).",
        ),
        "control": (
            "Control",
            "A model whose right answer is known beforehand. If an audit judges a control wrongly, "
            "the whole attempt is inconclusive.",
        ),
        "commitment": (
            "Commitment",
            "A fingerprint of the forgotten records under a secret key of the controller. It can "
            "be checked later, and says nothing about the records once the key is destroyed.",
        ),
        "dprime": (
            "d\N{PRIME} (d-prime)",
            "Distance between two groups of images inside the model, in units of their own spread; "
            "0 means they lie on top of each other.",
        ),
        "demo-key": (
            "Demo key",
            "A signing key made by the demonstration on the spot. It proves nothing about who "
            "signed.",
        ),
        "depth": (
            "Depth",
            "The place in the network where an audit looks: early layers see strokes and edges, "
            "the last ones are close to the answer.",
        ),
        "digest": (
            "Digest (SHA-256)",
            "A fingerprint of a file: change one bit and it is another.",
        ),
        "few-shot": (
            "Few-shot accuracy",
            "How well the forgotten class comes back when the model is shown only 1, 5 or 20 "
            "labelled images of each class.",
        ),
        "forget-set": (
            "Forget set, retain set",
            "The images of the classes to be forgotten, and all the others.",
        ),
        "js": (
            "Jensen\N{EN DASH}Shannon divergence",
            "How different two ways of distributing images over classes are: 0 is the same, 0.693 "
            "is as different as can be.",
        ),
        "ledger": (
            "Ledger",
            "A list of all events in which each entry carries the fingerprint of the one before, "
            "so that a changed or removed entry is noticed.",
        ),
        "linear-probe": (
            "Linear probe",
            "A simple test that tries to read the forgotten class from the inner values of the "
            "model, tested on images it was not fitted on.",
        ),
        "logits": (
            "Logits",
            "The raw scores of the model, one for each class, before they become probabilities.",
        ),
        "margin": (
            "Margin",
            "How far a figure may lie from that of the retrained models. The policy fixes it "
            "before any audit runs.",
        ),
        "membership": (
            "Membership attack",
            "An attempt to tell images that were used in training from images of the same class "
            "that were not.",
        ),
        "original": ("Original", "The model before the change. It still knows the class."),
        "penultimate": (
            "Penultimate features",
            "The inner values just before the last layer.",
        ),
        "policy": (
            "Policy",
            "The file that says which measurements are required and which margins hold. Its "
            "fingerprint is logged before the audits run.",
        ),
        "power": (
            "Power",
            "The chance that an audit gives the right answer: accepts a model that never saw the "
            "class, or notices one that still knows it. Without power a pass means little.",
        ),
        "propagation": (
            "Propagation",
            "Copies and descendants of the old model that may still hold the class: caches, "
            "exports, backups.",
        ),
        "retired": (
            "Retired output",
            "The output of a forgotten class, switched off so that the model never answers with "
            "it. Audits look behind this switch.",
        ),
        "retrained": (
            "Retrained model",
            "A model trained from scratch without the class, with another random start each time: "
            "the yardstick for what \N{LEFT DOUBLE QUOTATION MARK}never learned"
            "\N{RIGHT DOUBLE QUOTATION MARK} looks like.",
        ),
        "roc": (
            "ROC curve",
            "For each share of false alarms that an attacker accepts, the share of training images "
            "found. On the diagonal the attack is guessing.",
        ),
        "routing": (
            "Routing",
            "Which of the other classes the images of the forgotten class are taken for.",
        ),
        "statement": (
            "Statement",
            "The signed record. It is the evidence; this page only shows it.",
        ),
        "strength": (
            "Strength, relative change",
            "How strongly a layer was changed along the forgotten directions, and the size of the "
            "change compared with the layer's weights.",
        ),
        "tv": (
            "Total variation",
            "The share of images that would have to change class to make two distributions equal.",
        ),
    }
)
