"""The REG inputs that several nodes share, in the order that saved workflows rely on."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..reg_core import ESTIMATORS, FORMS
from ..reg_core.refresh import REFRESHES
from ..reg_core.schedule import Measured, Schedule, check_range
from .host.derivative.selection import AUTO, CHECKPOINTING, Method
from .host.offers import sampler_names, scheduler_names
from .host.sampling import Guidance, Model
from .host.scheduling import ScheduledWeight
from .kinds import CheckedNode
from .messages import message

GuidanceScheduleType = io.Custom("GUIDANCE_SCHEDULE")
OPTION_WORDS = {
    "row-sum": "row-sum (as published)",
    "directional": "directional (milder)",
    "reverse": "reverse (exact)",
    "finite difference": "finite difference (any model)",
    "every step": "every step (as published)",
    "best": "best (a little above CFG)",
    "as CFG": "as CFG (no extra compute)",
    "free": "free (a measured curve)",
}
"""How the page says the options that alone say little, in English; saved workflows have the options themselves."""


def knows_its_id() -> dict[str, Any]:
    """For the schema of a node whose result names the node: otherwise the host gives that result to its twins, too."""
    return {"hidden": [io.Hidden.unique_id], "not_idempotent": True}


def cfg_input(input_id: str = "cfg", default: float = 5.0, tooltip: str = "", step: float = 0.1) -> io.Float.Input:
    return io.Float.Input(
        input_id,
        default=default,
        min=0.0,
        max=100.0,
        step=step,
        round=0.01,
        tooltip=tooltip or "Guidance weight, as in the KSampler. 1 is no guidance; 3 to 8 is usual.",
    )


def sampler_inputs(seed: str = "seed") -> list[io.Input]:
    """seed, steps, cfg, sampler_name, scheduler, as the host's KSampler has them."""
    return [
        io.Int.Input(
            seed,
            default=0,
            min=0,
            max=0xFFFFFFFFFFFFFFFF,
            control_after_generate=True,
            tooltip="The seed of the noise.",
        ),
        io.Int.Input("steps", default=20, min=1, max=10000, tooltip="Number of sampling steps; 15 to 40 is usual."),
        cfg_input(),
        io.Combo.Input("sampler_name", options=sampler_names(), tooltip="The sampling algorithm."),
        io.Combo.Input("scheduler", options=scheduler_names(), tooltip="How the noise falls over the steps."),
    ]


def denoise_input() -> io.Float.Input:
    return io.Float.Input(
        "denoise",
        default=1.0,
        min=0.0,
        max=1.0,
        step=0.01,
        tooltip="1 starts from pure noise; lower values keep more of the latent image (image to image).",
    )


def step_inputs() -> list[io.Int.Input]:
    """start_at_step, end_at_step, as the host's KSampler (Advanced) has them."""
    return [
        io.Int.Input(
            "start_at_step",
            default=0,
            min=0,
            max=10000,
            advanced=True,
            tooltip="The first step to sample; 0 is the noisiest.",
        ),
        io.Int.Input(
            "end_at_step",
            default=10000,
            min=0,
            max=10000,
            advanced=True,
            tooltip="Stop before this step; larger values run to the end.",
        ),
    ]


def percent_inputs() -> list[io.Float.Input]:
    """A range of sampling percent, 0 the first (noisiest) step and 1 the last."""
    return [
        io.Float.Input(
            "start_percent",
            display_name="start",
            default=0.0,
            min=0.0,
            max=1.0,
            step=0.001,
            tooltip="Start of the range: 0 is the first, noisiest step.",
        ),
        io.Float.Input(
            "end_percent",
            display_name="end",
            default=1.0,
            min=0.0,
            max=1.0,
            step=0.001,
            tooltip="End of the range: 1 is the last step. Must not be below start_percent.",
        ),
    ]


def rectification_inputs(raw_schedule: bool | None = None) -> list[io.Input]:
    """strength, form, estimator, start_percent, end_percent, schedule, refresh, checkpointing.

    With ``raw_schedule`` the node gets the link to the schedule instead of the schedule.
    """
    return [
        io.Float.Input(
            "strength",
            default=1.0,
            min=0.0,
            max=2.0,
            step=0.01,
            tooltip="How much of the correction is applied: 0 is plain CFG, 1 is REG as published, 0.5 lies halfway.",
        ),
        io.Combo.Input(
            "form",
            options=list(FORMS),
            default="row-sum",
            advanced=True,
            tooltip="row-sum: as in the paper, one factor per latent element. directional: corrects along the guidance "
            "itself; milder, and independent of what the latent channels mean.",
        ),
        io.Combo.Input(
            "estimator",
            options=[AUTO, *ESTIMATORS],
            default=AUTO,
            advanced=True,
            tooltip="How the model's Jacobian is computed. auto: reverse if the model has a gradient, otherwise finite "
            "difference. reverse: exact; one backward pass, the most memory. forward: exact for symmetric Jacobians; "
            "slow. finite difference: one more evaluation, no gradients; works with every model.",
        ),
        *percent_inputs(),
        GuidanceScheduleType.Input(
            "schedule",
            optional=True,
            raw_link=raw_schedule,
            tooltip="How the guidance weight changes during sampling. When connected, it replaces the sampler's cfg.",
        ),
        io.Combo.Input(
            "refresh",
            display_name="budget",
            options=[AUTO, *REFRESHES],
            default=AUTO,
            optional=True,
            tooltip="What REG may cost. every step: the most exact, as in the paper. best: nearly the same, at little "
            "more than CFG. as CFG: as much as CFG. free: less than CFG, by a curve at 'measured'. The others compute "
            "the Jacobian at some steps and extrapolate it between. auto: as CFG if estimator is auto, otherwise every "
            "step.",
        ),
        io.Combo.Input(
            "checkpointing",
            options=list(CHECKPOINTING),
            default=AUTO,
            optional=True,
            advanced=True,
            tooltip="For reverse: recompute the model's blocks in the backward pass instead of keeping their "
            "activations. Same result; a fifth or less of the activations is kept, for one more evaluation. auto: only "
            "when memory is short.",
        ),
    ]


def measured_input() -> io.Input:
    """The last input of the nodes with REG: what a run before has measured."""
    return GuidanceScheduleType.Input(
        "measured",
        optional=True,
        tooltip="The curve that REG measured in a run before: Guidance Schedule: Measured, or the schedule of an "
        "Inspector. It holds until the first Jacobian is computed; budget free follows it throughout.",
    )


class RangedNode(CheckedNode):
    """A node with a range of sampling percent, refused before the run if it is reversed."""

    @classmethod
    def validate_inputs(cls, start_percent: float | None, end_percent: float | None) -> bool | str:
        try:  # a linked value is unknown (None) until it runs
            check_range(0.0 if start_percent is None else start_percent, 1.0 if end_percent is None else end_percent)
        except ValueError as error:
            return str(error)
        return True


class RectifiedNode(RangedNode):
    """A node with the REG inputs."""

    @classmethod
    def guided(
        cls,
        model: Model,
        strength: float,
        form: str,
        estimator: str,
        start_percent: float,
        end_percent: float,
        schedule: Schedule | None = None,
        refresh: str = AUTO,
        checkpointing: str = AUTO,
        measured: Schedule | None = None,
    ) -> Model:
        """A clone of the MODEL with the schedule and REG installed.

        Raises ValueError for a reversed range, and for a ``measured`` that was not measured, or is needed and missing.
        """
        node_id = cls.hidden.unique_id
        if measured is not None and not isinstance(measured, Measured):
            raise ValueError(message("not-measured", got=type(measured).__name__))
        method = Method(strength, form, estimator, refresh, checkpointing, measured)
        guidance = Guidance(method, start_percent, end_percent, node_id)
        if schedule is not None:
            model = ScheduledWeight(schedule, node_id, tells=strength == 0).install(model)
        return guidance.install(model)
