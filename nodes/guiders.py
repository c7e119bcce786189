"""REG as a GUIDER for SamplerCustomAdvanced."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..reg_core.schedule import Schedule
from .host.sampling import Model, guider
from .inputs import cfg_input, guided_model, rectification_inputs, validated_range


class RectifiedGuider(io.ComfyNode):
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
    def validate_inputs(cls, start_percent: float, end_percent: float) -> bool | str:
        return validated_range(start_percent, end_percent)

    @classmethod
    def execute(
        cls,
        model: Model,
        positive: Any,
        negative: Any,
        cfg: float,
        strength: float,
        form: str,
        estimator: str,
        start_percent: float,
        end_percent: float,
        schedule: Schedule | None = None,
    ) -> io.NodeOutput:
        node_id = cls.hidden.unique_id
        guided = guided_model(model, strength, form, estimator, start_percent, end_percent, schedule, node_id)
        return io.NodeOutput(guider(guided, positive, negative, cfg))
