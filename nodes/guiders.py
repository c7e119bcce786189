"""REG as a GUIDER for SamplerCustomAdvanced."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from .host.sampling import Model, guider
from .inputs import RectifiedNode, cfg_input, rectification_inputs


class RectifiedGuider(RectifiedNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="REG_Guider",
            display_name="REG Guider",
            category="model/sampling/guiders",
            description="CFG guider with Rectified Gradient Guidance and an optional guidance schedule built in.",
            search_aliases=["REG", "rectified gradient guidance", "guider"],
            inputs=[
                io.Model.Input("model", tooltip="The model to guide."),
                io.Conditioning.Input("positive", tooltip="What the image should show."),
                io.Conditioning.Input("negative", tooltip="What to steer away from; an empty prompt is usual."),
                cfg_input(),
                *rectification_inputs(),
            ],
            outputs=[io.Guider.Output(tooltip="For SamplerCustomAdvanced.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, model: Model, positive: Any, negative: Any, cfg: float, **rectification: Any) -> io.NodeOutput:
        return io.NodeOutput(guider(cls.guided(model, **rectification), positive, negative, cfg))
