"""MODEL -> MODEL nodes: REG, and a guidance schedule, under every sampler and guider."""

from __future__ import annotations

from comfy_api.latest import io

from ..reg_core.schedule import Schedule
from .host.sampling import Model, ScheduledWeight
from .inputs import GuidanceScheduleType, guided_model, rectification_inputs, validated_range


class RectifiedGuidance(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="REG_Guidance",
            display_name="Rectified Gradient Guidance (REG)",
            category="advanced/guidance",
            description="Corrects classifier-free guidance with the gradient of the model, so that high cfg keeps "
            "natural contrast and detail. Works under every sampler and guider.",
            search_aliases=["REG", "rectified gradient guidance", "cfg", "guidance"],
            inputs=[
                io.Model.Input("model", tooltip="The model to guide. Connect the result to a sampler or guider."),
                *rectification_inputs(),
            ],
            outputs=[io.Model.Output(tooltip="The model with REG: plug it into any sampler or guider.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, start_percent: float, end_percent: float) -> bool | str:
        return validated_range(start_percent, end_percent)

    @classmethod
    def execute(
        cls,
        model: Model,
        strength: float,
        form: str,
        estimator: str,
        start_percent: float,
        end_percent: float,
        schedule: Schedule | None = None,
    ) -> io.NodeOutput:
        node_id = cls.hidden.unique_id
        return io.NodeOutput(
            guided_model(model, strength, form, estimator, start_percent, end_percent, schedule, node_id)
        )


class ApplySchedule(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="REG_ApplySchedule",
            display_name="Apply Guidance Schedule",
            category="advanced/guidance",
            description="The guidance weight follows a schedule instead of the sampler's cfg; with or without REG.",
            search_aliases=["cfg schedule", "dynamic cfg", "guidance schedule"],
            inputs=[
                io.Model.Input("model", tooltip="The model to guide. Connect the result to a sampler or guider."),
                GuidanceScheduleType.Input(
                    "schedule", tooltip="Any Guidance Schedule node. It replaces the sampler's cfg."
                ),
            ],
            outputs=[io.Model.Output(tooltip="The model with the schedule: plug it into any sampler or guider.")],
        )

    @classmethod
    def execute(cls, model: Model, schedule: Schedule) -> io.NodeOutput:
        return io.NodeOutput(ScheduledWeight(schedule).install(model))
