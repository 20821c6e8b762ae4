"""What no model whatever could pass is said when a claim is handed in."""

from __future__ import annotations

from compliance.documents.policy import load_policy
from compliance.verdict import blockers


def foresee(name: str, references: int = 0, unseen: int | None = 0) -> list[str]:
    return list(blockers.foreseen(load_policy(name), references=references, unseen=unseen))


def test_l3_without_retrained_models_is_out_of_reach() -> None:
    (line,) = foresee("default-v2", references=2)
    assert "asks for L3, and there are 2 retrained models" in line
    assert "name a recipe, hand in 3 or more" in line
    assert foresee("default-v2", references=3) == []


def test_l2_with_too_few_unseen_classes_is_out_of_reach() -> None:
    (line,) = foresee("l2-v2", unseen=5)
    assert "asks for 8 classes that the model was never trained on, and 5 are given" in line
    assert foresee("l2-v2", unseen=8) == foresee("l2-v2", unseen=None) == []


def test_outputs_alone_are_out_of_reach() -> None:
    policy = load_policy("default-v2").model_copy(update={"assurance": "L1"})
    (line,) = blockers.foreseen(policy, references=5, unseen=0)
    assert "L1 looks at outputs only" in line
