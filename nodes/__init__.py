"""The ComfyUI nodes of the pack."""

from __future__ import annotations

from pathlib import Path

import folder_paths
from comfy_api.latest import ComfyExtension, io

from . import compare, guidance, guiders, inspector, playground, samplers, schedules

ROOMS = (guidance, guiders, samplers, inspector, schedules, playground, compare)
"""In the order in which the host lists their nodes."""
NODES: list[type[io.ComfyNode]] = [node for room in ROOMS for node in room.NODES]

PLAYGROUND = Path(__file__).parent.parent / "playground"


class RectifiedGradientGuidance(ComfyExtension):
    async def on_load(self) -> None:
        # The host's own way for a pack to offer a model: it appears in the list of Load Diffusion Model.
        folder_paths.add_model_folder_path("diffusion_models", str(PLAYGROUND))

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES
