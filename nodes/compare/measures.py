"""The nodes by which plain guidance gets its weights from the run of a tile with REG."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...reg_core.measurement import measured
from ...reg_core.rectification import FORMS
from ...reg_core.trace import Trace
from ..host.stopwatch import Stopwatch
from ..inputs import GuidanceScheduleType, cfg_input
from ..kinds import CheckedNode
from ..messages import message
from .parts import CATEGORY, StopwatchType
from .tile import MATCHED, MEASURED


def check_measured(stopwatch: Stopwatch, name: str) -> None:
    """Raises ValueError where the cache kept the latent of a run and not what REG did in it."""
    if not stopwatch.steps:
        raise ValueError(message("run-not-kept", name=name))


class CompareMatched(CheckedNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="REG_CompareMatched",
            display_name="REG Compare: Matched cfg",
            category=CATEGORY,
            description="A part that REG Compare adds itself: the cfg at which plain guidance is about as strong as a "
            "run with REG was.",
            inputs=[
                io.Latent.Input("samples", tooltip="What was sampled with REG; it is only waited for."),
                StopwatchType.Input("stopwatch", tooltip="The stopwatch of that sampling."),
            ],
            outputs=[io.Float.Output("cfg", tooltip="For the KSampler without REG.")],
            is_dev_only=True,
        )

    @classmethod
    def execute(cls, samples: dict[str, Any], stopwatch: Stopwatch) -> io.NodeOutput:
        check_measured(stopwatch, MATCHED)
        cfg = Trace(steps=list(stopwatch.steps)).matched
        if cfg is None:
            raise ValueError(message("run-without-factor", name=MATCHED))
        return io.NodeOutput(cfg)


class CompareMeasured(CheckedNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="REG_CompareMeasured",
            display_name="REG Compare: Measured schedule",
            category=CATEGORY,
            description="A part that REG Compare adds itself: the guidance schedule that a run with REG measured.",
            inputs=[
                io.Latent.Input("samples", tooltip="What was sampled with REG; it is only waited for."),
                StopwatchType.Input("stopwatch", tooltip="The stopwatch of that sampling."),
                io.Combo.Input("form", options=list(FORMS), tooltip="The form of that REG."),
                cfg_input(tooltip="Weight of the schedule, the cfg of the tile that follows it."),
            ],
            outputs=[GuidanceScheduleType.Output("schedule", tooltip="For Apply Guidance Schedule.")],
            is_dev_only=True,
        )

    @classmethod
    def execute(cls, samples: dict[str, Any], stopwatch: Stopwatch, form: str, cfg: float) -> io.NodeOutput:
        check_measured(stopwatch, MEASURED)
        try:
            return io.NodeOutput(measured([stopwatch.steps], cfg, form))
        except ValueError as error:
            raise ValueError(message("run-without-factor", name=MEASURED)) from error
