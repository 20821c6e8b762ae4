"""The model before, brought back under another name: copied, renamed, converted, hidden."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import torch
from safetensors.torch import load_file, save_file

from compliance.ledger import Ledger
from tests.flows.registry.shops import (
    Shop,
)
from tests.flows.world import EVENT


def elsewhere(shop: Shop, source: str) -> tuple[str, int]:
    version = shop.put("innocent", source=source, run_id="", tags={})
    shop.alias("champion", version, "innocent")
    return "innocent", version


def by_the_uri_of_its_file(shop: Shop) -> tuple[str, int]:
    return elsewhere(shop, shop.weights(1).as_uri())


def by_the_path_of_its_folder(shop: Shop) -> tuple[str, int]:
    return elsewhere(shop, str(shop.weights(1).parent))


def by_another_name_of_its_file(shop: Shop) -> tuple[str, int]:
    shutil.copy(shop.weights(1), shop.aside("data/pytorch_model.bin"))
    return elsewhere(shop, str(shop.aside("")))


def with_one_key_of_metadata_more(shop: Shop) -> tuple[str, int]:
    return elsewhere(shop, shop.disguised().parent.as_uri())


def with_other_names_of_tensors(shop: Shop) -> tuple[str, int]:
    tensors = {f"module.{name}": value for name, value in load_file(shop.weights(1)).items()}
    save_file(tensors, shop.aside("model.safetensors"))
    return elsewhere(shop, str(shop.aside("")))


def in_double_precision(shop: Shop) -> tuple[str, int]:
    tensors = {name: value.double() for name, value in load_file(shop.weights(1)).items()}
    save_file(tensors, shop.aside("model.safetensors"))
    return elsewhere(shop, str(shop.aside("")))


def in_brain_floats(shop: Shop) -> tuple[str, int]:
    tensors = {name: value.bfloat16() for name, value in load_file(shop.weights(1)).items()}
    save_file(tensors, shop.aside("model.safetensors"))
    return elsewhere(shop, str(shop.aside("")))


def as_a_pickle_of_pytorch(shop: Shop) -> tuple[str, int]:
    torch.save(load_file(shop.weights(1)), shop.aside("model.pth"))
    return elsewhere(shop, str(shop.aside("")))


def with_one_tensor_more_and_one_changed(shop: Shop) -> tuple[str, int]:
    tensors = load_file(shop.weights(1))
    tensors[max(tensors)] = tensors[max(tensors)] + 1
    save_file(tensors | {"more": torch.ones(3)}, shop.aside("model.safetensors"))
    return elsewhere(shop, str(shop.aside("")))


def behind_a_second_plan_about_another_model(shop: Shop) -> tuple[str, int]:
    body = {"plan": {"modelBefore": "ab" * 32}, "digest": "cd" * 32, "attempt": shop.world.attempts}
    Ledger(shop.home.ledger).append("plan_registered", EVENT, body)
    return elsewhere(shop, str(shop.weights(1).parent))


def where_nobody_can_look(shop: Shop) -> tuple[str, int]:
    return elsewhere(shop, "s3://bucket/model")


def behind_a_link_to_a_folder(shop: Shop) -> tuple[str, int]:
    shop.aside("model").symlink_to(shop.weights(1).parent)
    return elsewhere(shop, str(shop.aside("")))


UNDER_ANOTHER_NAME: list[Callable[[Shop], tuple[str, int]]] = [
    by_the_uri_of_its_file,
    by_the_path_of_its_folder,
    by_another_name_of_its_file,
    with_one_key_of_metadata_more,
    with_other_names_of_tensors,
    in_double_precision,
    in_brain_floats,
    as_a_pickle_of_pytorch,
    with_one_tensor_more_and_one_changed,
    behind_a_second_plan_about_another_model,
    where_nobody_can_look,
    behind_a_link_to_a_folder,
]
