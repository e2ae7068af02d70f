"""Cards as values: what stays of a silent one, whose processes are and which type a card is."""

from __future__ import annotations

import pytest

from penstock.fc.cards import CARD_TYPES, canonical_type
from workers.cards import Card, guess_type

GIB = 2**30
MIB = 2**20


def card(**facts: object) -> Card:
    return Card(**{"uuid": "GPU-1", "name": "Simulated GPU T4", "memory": 15 * GIB} | facts)  # type: ignore[arg-type]


def test_what_nobody_said_is_unknown_and_not_zero() -> None:
    plain = card()
    assert (plain.type, plain.free, plain.sm, plain.encoder, plain.decoder) == (None,) * 5
    assert plain.problem is None


def test_of_an_unusable_card_only_its_identity_is_known() -> None:
    busy = card(type="fc.gpu.tesla.1", free=GIB, sm=0.5, encoder=0.1, decoder=0.2, processes={7: GIB})
    assert busy.unusable("GPU is lost") == card(type="fc.gpu.tesla.1", problem="GPU is lost")


@pytest.mark.parametrize(
    ("name", "mebibytes", "type"),
    [
        ("Tesla T4", 15_360, "fc.gpu.tesla.1"),
        ("Tesla T4", 15_109, "fc.gpu.tesla.1"),
        ("NVIDIA A10", 23_028, "fc.gpu.ampere.1"),
        ("NVIDIA L20", 46_068, "fc.gpu.ada.1"),
        ("NVIDIA GeForce RTX 4090", 24_564, "fc.gpu.ada.2"),
        ("NVIDIA GeForce RTX 4090", 49_140, "fc.gpu.ada.3"),
        ("NVIDIA H20", 97_871, "fc.gpu.hopper.1"),
        ("NVIDIA H20-3e", 143_771, "fc.gpu.hopper.2"),
        ("NVIDIA H200", 143_771, "fc.gpu.hopper.2"),
        ("NVIDIA GeForce RTX 5090", 32_607, "fc.gpu.blackwell.1"),
        ("Simulated GPU T4", 15_360, "fc.gpu.tesla.1"),
    ],
)
def test_a_card_is_of_the_type_that_has_its_model_and_its_memory(name: str, mebibytes: int, type: str) -> None:
    assert guess_type(name, mebibytes * MIB) == type


@pytest.mark.parametrize(
    ("name", "mebibytes"),
    [
        ("NVIDIA A100-SXM4-40GB", 40_960),
        ("NVIDIA A100-PCIE", 23_028),
        ("NVIDIA GeForce GTX 1650", 4_096),
        ("Tesla T4", 8_192),
        ("NVIDIA T400", 15_360),
        ("NVIDIA GeForce RTX 4090 D", 12_000),
        ("", 15_360),
        ("Tesla T4", 0),
    ],
)
def test_another_card_has_no_type_rather_than_a_wrong_one(name: str, mebibytes: int) -> None:
    assert guess_type(name, mebibytes * MIB) is None


def test_the_old_spelling_of_a_type_means_the_same() -> None:
    assert canonical_type("g1") == "fc.gpu.tesla.1"
    assert [canonical_type(type) for type in CARD_TYPES] == list(CARD_TYPES)
    assert canonical_type("our own") == "our own"


def test_the_table_has_the_memory_of_every_type() -> None:
    assert CARD_TYPES == {
        "fc.gpu.tesla.1": 16,
        "fc.gpu.ampere.1": 24,
        "fc.gpu.ada.1": 48,
        "fc.gpu.ada.2": 24,
        "fc.gpu.ada.3": 48,
        "fc.gpu.hopper.1": 96,
        "fc.gpu.hopper.2": 141,
        "fc.gpu.blackwell.1": 32,
        "fc.gpu.xpu.1": 96,
    }
