"""Nodes that make a GUIDANCE_SCHEDULE, the guidance weight over the sampling, and the one that applies it."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from comfy_api.latest import io

from ..reg_core.measurement import from_text
from ..reg_core.schedule import (
    COMBINATIONS,
    SNR,
    Combined,
    Constant,
    Cosine,
    Curve,
    Exponential,
    Interval,
    Linear,
    Measured,
    Schedule,
)
from .host.sampling import Model
from .host.scheduling import ScheduledWeight
from .inputs import GuidanceScheduleType, RangedNode, cfg_input, knows_its_id, percent_inputs
from .kinds import CheckedNode
from .messages import message

CATEGORY = "REG/schedules"


class Written(NamedTuple):
    """How the axes of REG Compare write a schedule, such as ``linear 7 1``: its name, then numbers.

    The tile's cfg goes to the input ``weight``, and the numbers to ``numbers``, in this order, at least ``least`` of
    them. ``method`` says whether plain CFG under this schedule is a method of its own.
    """

    example: str
    weight: str
    numbers: tuple[str, ...] = ()
    least: int = 0
    method: bool = False

    @property
    def name(self) -> str:
        return self.example.split()[0]


class ScheduleNode(CheckedNode):
    """A node that makes a GUIDANCE_SCHEDULE; without ``written`` no axis of REG Compare has it."""

    written: ClassVar[Written | None] = None
    SHOWS_RUN = True
    """The page marks the steps of the last run that followed this schedule."""


def _schema(node_id: str, name: str, description: str, inputs: list[Any]) -> io.Schema:
    return io.Schema(
        node_id=f"REG_Schedule{node_id}",
        display_name=f"Guidance Schedule: {name}",
        category=CATEGORY,
        description=description,
        search_aliases=["schedule", "cfg schedule", "guidance schedule", name.lower()],
        inputs=inputs,
        outputs=[GuidanceScheduleType.Output("schedule", tooltip="For Apply Guidance Schedule and the REG nodes.")],
    )


class ApplySchedule(CheckedNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="REG_ApplySchedule",
            display_name="Apply Guidance Schedule",
            category=CATEGORY,
            description="Lets the guidance weight follow a schedule instead of the sampler's cfg, with or without REG.",
            search_aliases=["schedule", "cfg schedule", "dynamic cfg", "guidance schedule"],
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


class ScheduleConstant(ScheduleNode):
    written = Written("constant", "cfg")

    @classmethod
    def define_schema(cls) -> io.Schema:
        return _schema("Constant", "Constant", "The same guidance weight throughout.", [cfg_input()])

    @classmethod
    def execute(cls, cfg: float) -> io.NodeOutput:
        return io.NodeOutput(Constant(cfg))


class ScheduleLinear(ScheduleNode):
    written = Written("linear 7 1", "start_cfg", ("start_cfg", "end_cfg"))

    @classmethod
    def define_schema(cls) -> io.Schema:
        return _schema(
            "Linear",
            "Linear",
            "The guidance weight changes in a straight line from the first step to the last.",
            [
                cfg_input("start_cfg", 7.0, "Guidance weight at the first, noisiest step. 1 is no guidance."),
                cfg_input("end_cfg", 1.0, "Guidance weight at the last step. 1 is no guidance."),
            ],
        )

    @classmethod
    def execute(cls, start_cfg: float, end_cfg: float) -> io.NodeOutput:
        return io.NodeOutput(Linear(start_cfg, end_cfg))


class ScheduleCosine(ScheduleNode):
    written = Written("cosine 2", "cfg", ("power",))

    @classmethod
    def define_schema(cls) -> io.Schema:
        return _schema(
            "Cosine",
            "Cosine",
            "The guidance weight rises along a cosine, from no guidance to cfg.",
            [
                cfg_input(tooltip="Guidance weight reached at the last step. 3 to 10 is usual."),
                io.Float.Input(
                    "power",
                    default=1.0,
                    min=0.05,
                    max=10.0,
                    step=0.05,
                    tooltip="1 is the plain cosine; higher values guide later, lower ones earlier. 0.5 to 2 is useful.",
                ),
            ],
        )

    @classmethod
    def execute(cls, cfg: float, power: float) -> io.NodeOutput:
        return io.NodeOutput(Cosine(cfg, power))


class ScheduleInterval(ScheduleNode, RangedNode):
    # Over the whole sampling an interval would be plain CFG under another name.
    written = Written("interval 0.2 0.6", "cfg", ("start_percent", "end_percent"), least=1, method=True)

    @classmethod
    def define_schema(cls) -> io.Schema:
        return _schema(
            "Interval",
            "Interval",
            "Full guidance inside a range of the sampling and none outside, where each step costs half as much.",
            [cfg_input(tooltip="Guidance weight inside the range; outside it is 1."), *percent_inputs()],
        )

    @classmethod
    def execute(cls, cfg: float, start_percent: float, end_percent: float) -> io.NodeOutput:
        return io.NodeOutput(Interval(cfg, start_percent, end_percent))


class ScheduleSNR(ScheduleNode):
    written = Written("SNR 1.0", "cfg", ("spread",), method=True)

    @classmethod
    def define_schema(cls) -> io.Schema:
        return _schema(
            "SNR",
            "SNR",
            "Guidance fades in as the noise falls: 1 + (cfg - 1) * spread^2 / (spread^2 + sigma^2). It costs nothing "
            "and is the baseline to compare REG with.",
            [
                cfg_input(tooltip="Guidance weight when the noise is gone."),
                io.Float.Input(
                    "spread",
                    default=1.0,
                    min=0.01,
                    max=100.0,
                    step=0.01,
                    tooltip="Noise level (sigma) at which guidance is at half strength. 0.5 to 4 is useful.",
                ),
            ],
        )

    @classmethod
    def execute(cls, cfg: float, spread: float) -> io.NodeOutput:
        return io.NodeOutput(SNR(cfg, spread))


class ScheduleCurve(ScheduleNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return _schema(
            "Curve",
            "Curve",
            "The guidance weight follows a drawn curve: left is the first step, right the last.",
            [
                io.Curve.Input(
                    "curve",
                    default=[(0.0, 0.0), (0.3, 1.0), (0.7, 1.0), (1.0, 0.0)],
                    socketless=False,
                    tooltip="Drawn here, or linked from a Curve Editor. Height 0 is min_cfg, height 1 is max_cfg.",
                ),
                cfg_input("min_cfg", 1.0, "Guidance weight at the bottom of the curve. 1 is no guidance."),
                cfg_input("max_cfg", 7.0, "Guidance weight at the top of the curve. 3 to 10 is usual."),
            ],
        )

    @classmethod
    def execute(cls, curve: list[tuple[float, float]], min_cfg: float, max_cfg: float) -> io.NodeOutput:
        points = [(progress, min_cfg + (max_cfg - min_cfg) * height) for progress, height in curve]
        return io.NodeOutput(Curve(tuple(points)))


class ScheduleCombine(ScheduleNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return _schema(
            "Combine",
            "Combine",
            "Combines two schedules: one after the other, multiplied, or the lower or higher of the two.",
            [
                GuidanceScheduleType.Input("first", tooltip="Any guidance schedule. join begins with this one."),
                GuidanceScheduleType.Input("second", tooltip="Any guidance schedule. join ends with this one."),
                io.Combo.Input(
                    "combine",
                    options=list(COMBINATIONS),
                    default="join",
                    tooltip="join: first until switch_percent, then second. multiply: multiplies the amounts of "
                    "guidance, 1 + (first - 1) * (second - 1); an Interval with cfg 2 switches the other schedule on "
                    "inside its range and off outside. minimum, maximum: the lower or the higher weight at each step.",
                ),
                io.Float.Input(
                    "switch_percent",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.001,
                    tooltip="Only for join: where second takes over. 0 is the first, noisiest step and 1 the last; "
                    "0.2 to 0.8 is useful.",
                ),
            ],
        )

    @classmethod
    def execute(cls, first: Schedule, second: Schedule, combine: str, switch_percent: float) -> io.NodeOutput:
        return io.NodeOutput(Combined(first, second, combine, switch_percent))


class ScheduleExponential(ScheduleNode):
    written = Written("exponential 0.2", "cfg", ("rate",), method=True)

    @classmethod
    def define_schema(cls) -> io.Schema:
        return _schema(
            "Exponential",
            "Exponential",
            "The guidance weight rises ever faster, from cfg at the first step to cfg * e^rate at the last (C2FG). It "
            "costs nothing.",
            [
                cfg_input(tooltip="Guidance weight at the first, noisiest step. 1 to 5 is useful."),
                io.Float.Input(
                    "rate",
                    default=0.2,
                    min=0.0,
                    max=3.0,
                    step=0.01,
                    tooltip="How much the weight rises: 0 not at all, 0.69 to twice cfg, 1.1 to three times. 0.2 to "
                    "1.6 is useful.",
                ),
            ],
        )

    @classmethod
    def execute(cls, cfg: float, rate: float) -> io.NodeOutput:
        return io.NodeOutput(Exponential(cfg, rate))


class ScheduleMeasured(ScheduleNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return _schema(
            "Measured",
            "Measured",
            "Guidance as strong as REG made it in a run: 1 + (cfg - 1) * the factor that was measured at each noise "
            "level. It costs nothing and takes the place of REG.",
            [
                cfg_input(tooltip="Guidance weight where the factor is 1. Begin with the cfg of the run."),
                io.String.Input(
                    "curve",
                    multiline=True,
                    default="",
                    dynamic_prompts=False,
                    tooltip="The factor over the noise, as Make schedule in the REG Inspector writes it. Copy it to "
                    "another node or workflow with the same model.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, curve: str | None) -> bool | str:
        try:  # a linked value is unknown (None) until it runs
            return curve is None or bool(measured(curve, 1.0))
        except ValueError as error:
            return str(error)

    @classmethod
    def execute(cls, cfg: float, curve: str) -> io.NodeOutput:
        return io.NodeOutput(measured(curve, cfg))


def measured(curve: str, cfg: float) -> Measured:
    """The schedule of a measured curve; raises ValueError for an empty one and for any other text."""
    if not curve.strip():
        raise ValueError(message("measured-empty"))
    return from_text(curve, cfg)


NODES: list[type[io.ComfyNode]] = [
    ApplySchedule,
    ScheduleConstant,
    ScheduleLinear,
    ScheduleCosine,
    ScheduleInterval,
    ScheduleSNR,
    ScheduleCurve,
    ScheduleCombine,
    ScheduleExponential,
    ScheduleMeasured,
]
