"""Axes over the nodes before the sheet: each tile is what the workflow draws in which these nodes say its value."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import folder_paths
import pytest
import torch
from conftest import ROOT
from executor import host as host
from executor import sampled, sheet
from safetensors.torch import load_file, save_file
from torch import Tensor
from workflows import Prompt, node

pytestmark = pytest.mark.host

FAINTER = str(Path("other/Fainter v1.5.safetensors"))
DIGITS = "reg_playground_digits.safetensors"


@pytest.fixture(autouse=True, scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The playground's model, another of the same shape in a folder, and a LoRA for both, where the host looks."""
    folders = {name: (list(paths), endings) for name, (paths, endings) in folder_paths.folder_names_and_paths.items()}
    models, loras = tmp_path_factory.mktemp("diffusion_models"), tmp_path_factory.mktemp("loras")
    weights = load_file(ROOT / "playground" / DIGITS)
    (models / "other").mkdir()
    save_file({name: weight * 0.9 for name, weight in weights.items()}, models / FAINTER)
    torch.manual_seed(0)
    layer, rank = "diffusion_model.joint_blocks.0.x_block.mlp.fc1", 2
    rows, columns = weights["joint_blocks.0.x_block.mlp.fc1.weight"].shape
    save_file(
        {
            f"{layer}.lora_up.weight": torch.randn(rows, rank) / 4,
            f"{layer}.lora_down.weight": torch.randn(rank, columns),
        },
        loras / "style.safetensors",
    )
    for kind, folder in (("diffusion_models", models), ("diffusion_models", ROOT / "playground"), ("loras", loras)):
        folder_paths.add_model_folder_path(kind, str(folder))
    yield
    folder_paths.folder_names_and_paths.clear()
    folder_paths.folder_names_and_paths.update(folders)
    folder_paths.filename_list_cache.clear()


def before(loras: int = 1, **changes: Any) -> Prompt:
    """Loader, LoRA, prompt and a schedule, with other values in some of their inputs."""
    prompt = {
        "loader": node("UNETLoader", unet_name=DIGITS, weight_dtype="default"),
        "prompt": node("REG_PlaygroundConditioning", classes="3"),
        "plan": node("REG_ScheduleLinear", start_cfg=5.0, end_cfg=1.0),
    }
    last = "loader"
    for index in range(loras):
        inputs = {"model": [last, 0], "lora_name": "style.safetensors", "strength_model": 0.0}
        last = f"lora{index}"
        prompt[last] = node("LoraLoaderModelOnly", **inputs) | {"_meta": {"title": f"Style: {index}"}}
    for part in prompt.values():
        part["inputs"] |= {name: value for name, value in changes.items() if name in part["inputs"]}
    return prompt


def links(loras: int = 1) -> dict[str, Any]:
    model = f"lora{loras - 1}" if loras else "loader"
    return {"model": [model, 0], "positive": ["prompt", 0], "negative": ["prompt", 1], "cfg": 3.0}


def tiles(axis: str, values: str, loras: int = 1, other: tuple[str, str] = ("method", "CFG"), **changes: Any) -> Tensor:
    return sheet((axis, values), other, before(loras), **links(loras), **changes)


def by_hand(**changes: Any) -> Tensor:
    return sampled(before(**changes), **links())


CASES: dict[str, tuple[str, str, list[dict[str, Any]]]] = {
    "prompt": ("prompt", "3, 5, 8", [{"classes": "3"}, {"classes": "5"}, {"classes": "8"}]),
    "LoRA strength": ("LoRA strength", "0-1 x2", [{"strength_model": 0.0}, {"strength_model": 1.0}]),
    "model": (
        "model",
        "reg_playground_digits, fainter V1.5",
        [{}, {"unet_name": str(Path("other/Fainter v1.5.safetensors"))}],
    ),
    "model in its folder": (
        "model",
        "other/Fainter v1.5.safetensors",
        [{"unet_name": "other/Fainter v1.5.safetensors"}],
    ),
    "widget that is a number": ("widget", "strength_model = 50%", [{"strength_model": 0.5}]),
    "widget of a node by its title": ("widget", "style: 0.strength_model = 0, 1", [{}, {"strength_model": 1.0}]),
    "widget of a node by its number": ("widget", "lora0.strength_model = 1", [{"strength_model": 1.0}]),
    "widget of a node by its class": ("widget", "UNETLoader.UNET_name = " + DIGITS, [{}]),
    "widget that is a text": ("widget", 'classes = "5", 8', [{"classes": "5"}, {"classes": "8"}]),
}


@pytest.mark.parametrize("case", CASES)
def test_tiles_are_those_of_the_workflow_that_says_so(case: str) -> None:
    axis, values, changes = CASES[case]
    drawn = tiles(axis, values)
    assert torch.equal(drawn, torch.cat([by_hand(**change) for change in changes]))
    assert not any(torch.equal(drawn[0], other) for other in drawn[1:])


def test_widget_of_a_connected_schedule() -> None:
    drawn = tiles("widget", "end_cfg = 1, 3", other=("method", "REG"), schedule=["plan", 0])
    method = {"strength": 1.0, "form": "row-sum", "estimator": "reverse", "start_percent": 0.0, "end_percent": 1.0}
    by_hand = [
        sampled(
            before(end_cfg=end) | {"reg": node("REG_Guidance", model=["lora0", 0], schedule=["plan", 0], **method)},
            **{**links(), "model": ["reg", 0]},
        )
        for end in (1.0, 3.0)
    ]
    assert torch.equal(drawn, torch.cat(by_hand))


def test_two_axes_write_into_two_nodes() -> None:
    drawn = tiles("prompt", "3, 5", other=("LoRA strength", "0, 1"), strength=0.0)
    pairs = [{"classes": digit, "strength_model": strength} for strength in (0.0, 1.0) for digit in "35"]
    assert torch.equal(drawn, torch.cat([by_hand(**pair) for pair in pairs]))


REFUSED = {
    "a text that is in no prompt": (
        "prompt",
        "7, 5",
        1,
        "prompt replaces '7', and no text upstream of positive or negative",
    ),
    "no LoRA": ("LoRA strength", "1", 0, "needs one LoRA loader upstream of model; got 0"),
    "two LoRAs": ("LoRA strength", "1", 2, "needs one LoRA loader upstream of model; got 2"),
    "a LoRA strength that is none": (
        "LoRA strength",
        "much",
        1,
        "takes numbers such as 0, 0.5, 1; got 'much'",
    ),
    "a file that is not there": ("model", "flux", 1, f"such as .*{DIGITS}.*; got 'flux'"),
    "a widget that is not there": (
        "widget",
        "shift = 1",
        1,
        "'shift' is no widget of a node",
    ),
    "a widget of two nodes": ("widget", "strength_model = 1", 2, "lora1.strength_model, lora0.strength_model"),
    "no widget": ("widget", "1, 2", 1, "the sign = and its values, as in shift = 1, 3, 6; got '1, 2'"),
    "a widget without values": ("widget", "strength_model = ", 1, "widget has no values"),
    "a number outside": (
        "widget",
        "strength_model = 101",
        1,
        "strength_model must be a number between -100",
    ),
    "a choice that is none": ("widget", "weight_dtype = fp4", 1, "such as default, fp8_e4m3fn, .*; got 'fp4'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_upstream_is_refused_before_anything_is_sampled(case: str) -> None:
    axis, values, loras, said = REFUSED[case]
    with pytest.raises(ValueError, match=said) as error:
        tiles(axis, values, loras, steps=10000)
    assert len(str(error.value)) < 500
