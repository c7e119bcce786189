"""The ComfyUI nodes of the pack."""

from __future__ import annotations

from pathlib import Path

from comfy_api.latest import ComfyExtension, io

from . import compare, guidance, guiders, inspector, playground, samplers, schedules
from .compare.skipping import SKIPS
from .host.contract import SKIP_COMMAND
from .host.offers import offer_command, offer_diffusion_models

NODES: list[type[io.ComfyNode]] = [
    *guidance.NODES,
    *guiders.NODES,
    *samplers.NODES,
    *inspector.NODES,
    *schedules.NODES,
    *playground.NODES,
    *compare.NODES,
]
"""In the order in which the host lists them."""

PLAYGROUND = Path(__file__).parent.parent / "playground"


class RectifiedGradientGuidance(ComfyExtension):
    async def on_load(self) -> None:
        offer_diffusion_models(PLAYGROUND)
        offer_command(SKIP_COMMAND, SKIPS.obey)

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES
