"""The ComfyUI nodes of the pack."""

from __future__ import annotations

from pathlib import Path

import folder_paths
from comfy_api.latest import ComfyExtension, io

from .comparison import Compare, CompareSheet, CompareStopwatch, CompareTile
from .guidance import ApplySchedule, RectifiedGuidance
from .guiders import RectifiedAutoGuider, RectifiedGuider
from .inspection import Inspector
from .playground import PlaygroundConditioning, PlaygroundDecode, PlaygroundVAE
from .samplers import RectifiedKSampler, RectifiedKSamplerAdvanced
from .schedules import (
    ScheduleCombine,
    ScheduleConstant,
    ScheduleCosine,
    ScheduleCurve,
    ScheduleInterval,
    ScheduleLinear,
    ScheduleSNR,
)

NODES: list[type[io.ComfyNode]] = [
    RectifiedGuidance,
    RectifiedGuider,
    RectifiedAutoGuider,
    RectifiedKSampler,
    RectifiedKSamplerAdvanced,
    Inspector,
    ApplySchedule,
    ScheduleConstant,
    ScheduleLinear,
    ScheduleCosine,
    ScheduleInterval,
    ScheduleSNR,
    ScheduleCurve,
    ScheduleCombine,
    PlaygroundConditioning,
    PlaygroundDecode,
    PlaygroundVAE,
    Compare,
    CompareStopwatch,
    CompareTile,
    CompareSheet,
]

PLAYGROUND = Path(__file__).parent.parent / "playground"


class RectifiedGradientGuidance(ComfyExtension):
    async def on_load(self) -> None:
        # The host's own way for a pack to offer a model: it appears in the list of Load Diffusion Model.
        folder_paths.add_model_folder_path("diffusion_models", str(PLAYGROUND))

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES
