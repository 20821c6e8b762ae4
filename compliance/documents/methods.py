"""What `method.preset` of a request and `attempts` of a policy take."""

from __future__ import annotations

from damp.catalogue import PRESETS

RENEWED = "renewed"
"""A top that starts afresh and is trained on the rows to keep alone: it needs the recipe."""
RETRAIN = "retrain"
"""Training anew, without the classes."""
METHODS = (*PRESETS, RENEWED, RETRAIN)
"""The presets of the surgery, then what trains, by how much of it."""
SUMMARIES = {
    RENEWED: "start afresh above the first layers, trained on the rows to keep alone",
    RETRAIN: "train the whole model anew, without the classes",
}
"""One sentence for help and documentation on each that trains."""
