"""What REG did in a run: a live chart in the node, a picture, a sentence and a table after it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from comfy_api.latest import io, ui

from ...reg_core.measurement import measured, to_text
from ...reg_core.schedule import Measured
from ...reg_core.trace import Trace
from ..effect import sentence
from ..host.contract import TRACE_RESULT
from ..host.graph import blocked
from ..host.notice import harmless, jsonable, tell
from ..host.preview import decoded
from ..host.prompt import upstream
from ..host.runs import OFF, RUNS, key_of
from ..inputs import GuidanceScheduleType
from ..kinds import CheckedNode
from ..messages import message
from .report import Look, report


def trace_of(node_id: str | None, found: Mapping[str | None, Trace]) -> Trace:
    """The run of the nearest sampler upstream of an inspector's ``samples``; an empty one if there is none."""
    names = upstream(node_id, "samples") if node_id is not None else ()
    # A sampler that has been rewired to a MODEL without REG still has its former run there.
    wired = (found[name] for name in names if name in found and found[name].source in (name, *upstream(name)))
    nearest = next(wired, found.get(None))
    return Trace(missing=message("no-run-found")) if nearest is None else nearest


def looks(trace: Trace, count: int, vae: Any, warn: Callable[[str], None]) -> list[Look]:
    """``count`` of the kept steps, evenly spread, as a VAE decodes them or else in the host's preview colours.

    ``warn`` is told of a VAE that fails.
    """
    kept = trace.pictures
    places = sorted({round(place) for place in np.linspace(0, len(kept) - 1, min(count, len(kept)))}) if kept else []
    chosen = [kept[place] for place in places]
    previews = [picture.preview for picture in chosen]
    if vae is not None:
        with harmless("vae", warn):
            previews = [decoded(vae, picture.latent) for picture in chosen]
    return [
        Look(picture.percent, picture.factor.numpy(), preview.numpy())
        for picture, preview in zip(chosen, previews, strict=True)
    ]


def schedule_of(trace: Trace) -> Measured | None:
    """The schedule that a run of REG has measured; None where no step of it shows a factor."""
    try:
        return measured([trace.steps], trace.weight, trace.form)
    except ValueError:
        return None


class Inspector(CheckedNode):
    RUN_INPUT = "samples"
    """The sampler that feeds this input tells of each of its steps."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="REG_Inspector",
            display_name="REG Inspector",
            category="REG",
            description="Shows what REG does while the sampler runs: the factor, the effective weight, the guidance "
            "before and after, and the time. After the run it gives a picture with heat maps, a sentence, a table and "
            "a schedule.",
            search_aliases=["REG", "guidance report", "guidance plot", "heat map"],
            inputs=[
                io.Latent.Input("samples", tooltip="The sampler's LATENT; it is passed on unchanged."),
                io.Int.Input(
                    "heat_maps",
                    default=4,
                    min=0,
                    max=6,
                    tooltip="How many steps the picture shows as heat maps, evenly spaced; 0 shows none.",
                ),
                io.MultiType.Input(
                    "model",
                    [io.Model, io.Guider],
                    optional=True,
                    tooltip="The MODEL or GUIDER with REG that this sampler uses. Not needed after KSampler (REG).",
                ),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    tooltip="Decodes the predictions below the heat maps. Without it, they have the colours of live "
                    "previews.",
                ),
            ],
            outputs=[
                io.Latent.Output("samples_out", display_name="samples", tooltip="The same LATENT, to decode."),
                io.Image.Output("report", display_name="report", tooltip="Plots and heat maps, to save or share."),
                io.String.Output("sentence", display_name="sentence", tooltip="What REG did, or why nothing happened."),
                io.String.Output("table", display_name="table", tooltip="One row per step, comma-separated (CSV)."),
                GuidanceScheduleType.Output(
                    "schedule",
                    display_name="schedule",
                    tooltip="The schedule that this run of REG has measured, which costs nothing. For the REG nodes "
                    "and Apply Guidance Schedule of another sampler.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, samples: dict[str, Any], heat_maps: int, model: Any = None, vae: Any = None) -> io.NodeOutput:
        node_id = cls.hidden.unique_id
        trace = trace_of(node_id, RUNS.of(samples, model))
        if not trace.steps and OFF in {key_of(carrier) for carrier in (samples, model) if carrier is not None}:
            trace = Trace(missing=message("strength-zero-inspected"))

        def warn(text: str) -> None:
            tell(text, node_id, logging.WARNING)

        image, shown = torch.ones(1, 64, 64, 3), {}
        with harmless("picture", warn):
            picture = report(trace, "Rectified Gradient Guidance: what it did", looks(trace, heat_maps, vae, warn))
            image = torch.from_numpy(np.asarray(picture).astype(np.float32) / 255)[None]
            shown = ui.PreviewImage(image, cls=cls).as_dict()
        told, schedule = sentence(trace), schedule_of(trace)
        live = {"sentence": told, "total": trace.total, "steps": trace.rows(), "source": trace.source}
        live["curve"] = to_text(schedule, trace.form) if schedule else ""
        live["weight"] = schedule.weight if schedule else None
        result = {**shown, TRACE_RESULT: [jsonable(live)]}
        handed = schedule or blocked(message("nothing-measured", reason=told))
        return io.NodeOutput(samples, image, told, trace.table(), handed, ui=result)
