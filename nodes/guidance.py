"""REG as a MODEL -> MODEL node, under every sampler and guider."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from .host.sampling import Model
from .inputs import RectifiedNode, knows_its_id, measured_input, rectification_inputs


class RectifiedGuidance(RectifiedNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="REG_Guidance",
            display_name="Rectified Gradient Guidance (REG)",
            category="REG",
            description="Corrects classifier-free guidance with the gradient of the model, so that high cfg keeps "
            "natural contrast and detail. Works under every sampler and guider.",
            search_aliases=["REG", "cfg", "guidance", "burn", "burnt", "fried", "oversaturated", "contrast"],
            inputs=[
                io.Model.Input("model", tooltip="The model to guide. Connect the result to a sampler or guider."),
                *rectification_inputs(),
                measured_input(),
            ],
            outputs=[io.Model.Output(tooltip="The model with REG: plug it into any sampler or guider.")],
            **knows_its_id(),
        )

    @classmethod
    def execute(cls, model: Model, **rectification: Any) -> io.NodeOutput:
        return io.NodeOutput(cls.guided(model, **rectification))


NODES: list[type[io.ComfyNode]] = [RectifiedGuidance]
