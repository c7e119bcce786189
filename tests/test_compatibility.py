"""A part of the compatibility matrix, and the page that shows the whole of it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import comfy.supported_models
import compatibility
import pytest
import torch
from columns import COLUMNS, SAMPLERS
from compatibility import PASS, SILENT, WRONG, Model, Subject, check, reg
from conftest import HOST
from matrix import FAMILIES, ONLY_READ, PAGE, applies, kept, rendered

from bootstrap.host import host_version
from tiny_families import FUSED_FAMILIES, GRADIENT_FAMILIES, RELATED_FAMILIES, UNCOVERED, class_of

pytestmark = pytest.mark.host

VERSION = host_version(Path(str(HOST)))
CURRENT = max(kept(), key=lambda version: tuple(map(int, version.split(".")))) == VERSION
CELLS = kept().get(VERSION, {})

# Every node beside a flow and a video model; what reaches into a UNet beside SD1.5; a few beside a v-prediction.
EVERYTHING = ("SD3", "Wan 2.1") if CURRENT else ("SD3",)
UNET = (
    *("Self-Attention Guidance", "Perturbed-Attention Guidance", "NAG", "FreeU V2", "Token merging", "HyperTile"),
    *("ControlNet", "T2I adapter", "GLIGEN", "Hypernetwork", "EasyCache", "ModelSamplingDiscrete v, zsnr"),
)
V_PREDICTION = ("RescaleCFG", "CFG-Zero*", "Two prompts with different LoRAs", "ModelSamplingDiscrete eps")
FEW_SAMPLERS = ("sampler euler_ancestral_cfg_pp", "sampler dpmpp_2m_sde", "sampler uni_pc", "scheduler beta")


def _chosen() -> Iterator[tuple[str, str]]:
    for family in FAMILIES:
        for name, column in COLUMNS.items():
            whole = family in EVERYTHING and (column.group != SAMPLERS or name in FEW_SAMPLERS)
            part = {"SD1.5": UNET, "SD2 v": V_PREDICTION}.get(family, ()) if CURRENT else ()
            alone = name == "REG" and (CURRENT or family not in RELATED_FAMILIES)
            if applies(column, family) and name != COMPILED and (whole or alone or name in part):
                yield family, name


COMPILED = "torch.compile (eager backend)"  # most of its minute is the compiler's


@cache
def subject(family: str) -> Subject:
    return Subject(family, FAMILIES[family])


@pytest.fixture(autouse=True)
def inference_mode() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.mark.parametrize(("family", "name"), _chosen())
def test_cell_is_as_the_page_says(family: str, name: str) -> None:
    result = check(subject(family), COLUMNS[name])
    assert result.verdict == CELLS[family][name].verdict, result.reason


def test_page_has_every_cell_of_the_tables() -> None:
    if not CURRENT:
        assert CELLS  # the floor is run with its part
        return
    expected = {family: {name for name in COLUMNS if applies(COLUMNS[name], family)} for family in FAMILIES}
    assert {family: set(row) for family, row in CELLS.items()} == expected


def test_page_is_written_from_the_verdicts() -> None:
    text = PAGE.read_text("utf-8")
    assert ONLY_READ in text
    if CURRENT:
        assert text == rendered(kept(), text[text.index(ONLY_READ) :])


def test_every_class_of_the_host_is_tried_or_named() -> None:
    tried = {class_of(family) for family in (*GRADIENT_FAMILIES, *FUSED_FAMILIES, *RELATED_FAMILIES)}
    classes = {kind.__name__ for kind in comfy.supported_models.models}
    assert classes <= tried | UNCOVERED.keys()
    assert not tried & UNCOVERED.keys()


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "too weak": ({"strength": 0.999}, WRONG),
    "another estimator": ({"estimator": "forward"}, WRONG),
    "another range": ({"end_percent": 0.999}, PASS),  # no step lies in the difference
    "nothing done": ({"strength": 0.0}, SILENT),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_pack_fails(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cells can fail: REG that does something else than it is asked for."""
    changed, verdict = FAULTS[fault]

    def faulty(model: Model, form: str = "row-sum", estimator: str = "reverse", **more: Any) -> Model:
        asked = {"form": form, "estimator": estimator, **more}
        return reg(model, **(asked if more else {**asked, **changed}))

    monkeypatch.setattr(compatibility, "reg", faulty)
    assert check(Subject("SD3", FAMILIES["SD3"]), COLUMNS["REG"]).verdict == verdict
