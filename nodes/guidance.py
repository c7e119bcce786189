"""MODEL -> MODEL nodes: REG, and a guidance schedule, under every sampler and guider."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..reg_core.schedule import Schedule
from .host.sampling import Model, ScheduledWeight
from .inputs import GuidanceScheduleType, RectifiedNode, knows_its_id, rectification_inputs
from .kinds import CheckedNode


class RectifiedGuidance(RectifiedNode):
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
            **knows_its_id(),
        )

    @classmethod
    def execute(cls, model: Model, **rectification: Any) -> io.NodeOutput:
        return io.NodeOutput(cls.guided(model, **rectification))


class ApplySchedule(CheckedNode):
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
            **knows_its_id(),
        )

    @classmethod
    def execute(cls, model: Model, schedule: Schedule) -> io.NodeOutput:
        return io.NodeOutput(ScheduledWeight(schedule, cls.hidden.unique_id).install(model))
