"""The nodes that REG Compare adds to a prompt by itself: they time the tiles, collect them, and draw the sheet."""

from __future__ import annotations

import logging
import uuid
from typing import Any, NamedTuple

import numpy as np
import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ...reg_core.measurement import measured
from ...reg_core.number import HIGHEST
from ...reg_core.rectification import FORMS
from ...reg_core.trace import Trace
from ..host.contract import TILES_RESULT
from ..host.notice import harmless, jsonable, note, tell
from ..host.sampling import Model
from ..host.stopwatch import Stopwatch, check_plain
from ..inputs import GuidanceScheduleType, cfg_input
from ..kinds import CheckedNode
from ..messages import message
from .contact_sheet import Cell, draw
from .tile import MATCHED, MEASURED

CATEGORY = "REG"
StopwatchType = io.Custom("REG_STOPWATCH")
TilesType = io.Custom("REG_TILES")
LayoutType = io.Custom("REG_SHEET_LAYOUT")


class DrawnTile(NamedTuple):
    """The images of one tile, the batch of latents they come from, and the seconds that one latent was sampled.

    ``cfg`` is the weight that was matched to REG, where one was.
    """

    images: Tensor  # [images, height, width, channels] in [0, 1]
    batch: int
    seconds: float | None  # None where the cache kept the latent and not its time
    cfg: float | None = None

    @property
    def note(self) -> str:
        """What stands under the tile."""
        return self.duration if self.cfg is None else f"cfg {self.cfg:.3g}, {self.duration}"

    def named(self, label: str) -> str:
        """The label of the tile, with the weight that it got."""
        return label if self.cfg is None else label.replace(MATCHED, f"{MATCHED} (cfg {self.cfg:.3g})", 1)

    @property
    def duration(self) -> str:
        """Words for the time of one image, or of one video."""
        if self.seconds is None:
            return "time unknown"
        number = f"{self.seconds:.0f}" if self.seconds >= 9.95 else f"{self.seconds:.2g}"
        return f"{number} s per {'image' if len(self.images) == self.batch else 'video'}"


class CompareStopwatch(CheckedNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="REG_CompareStopwatch",
            display_name="REG Compare: Stopwatch",
            category=CATEGORY,
            description="A part that REG Compare adds itself: measures how long the sampling of a tile takes.",
            inputs=[
                io.Model.Input("model", tooltip="The model that samples the tile."),
                io.String.Input("run", tooltip="Name of the measured run, so that each run has its own stopwatch."),
                io.Boolean.Input("rectified", tooltip="Whether the tile has REG; if not, the model must have none."),
                io.Boolean.Input(
                    "scheduled", tooltip="Whether the tile has a guidance schedule; if not, the model must have none."
                ),
            ],
            outputs=[
                io.Model.Output("timed_model", display_name="model", tooltip="The model, measured while it samples."),
                StopwatchType.Output("stopwatch", tooltip="Tells the time after the sampling."),
            ],
            is_dev_only=True,
        )

    @classmethod
    def execute(cls, model: Model, run: str, rectified: bool, scheduled: bool) -> io.NodeOutput:
        check_plain(model, rectified, scheduled)
        stopwatch = Stopwatch()
        return io.NodeOutput(stopwatch.install(model), stopwatch)


class CompareTile(CheckedNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="REG_CompareTile",
            display_name="REG Compare: Tile",
            category=CATEGORY,
            description="A part that REG Compare adds itself: appends a tile to the list.",
            inputs=[
                io.Image.Input("image", tooltip="The images of the tile."),
                StopwatchType.Input("stopwatch", tooltip="The stopwatch of its sampling."),
                TilesType.Input("previous", optional=True, tooltip="The tiles before it; none for the first."),
                io.Float.Input(
                    "cfg",
                    optional=True,
                    default=1.0,
                    min=-HIGHEST,
                    max=HIGHEST,
                    force_input=True,
                    tooltip="The cfg that was matched to REG; none for the others.",
                ),
            ],
            outputs=[TilesType.Output("tiles", tooltip="The tiles so far.")],
            is_dev_only=True,
        )

    @classmethod
    def execute(
        cls, image: Tensor, stopwatch: Stopwatch, previous: list[DrawnTile] | None = None, cfg: float | None = None
    ) -> io.NodeOutput:
        tile = DrawnTile(image, stopwatch.batch, stopwatch.seconds_per_sample, cfg)
        return io.NodeOutput([*(previous or []), tile])


class CompareSheet(CheckedNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="REG_CompareSheet",
            display_name="REG Compare: Sheet",
            category=CATEGORY,
            description="A part that REG Compare adds itself: draws the sheet and shows it in that node.",
            inputs=[
                TilesType.Input("tiles", tooltip="All tiles in reading order."),
                LayoutType.Input("layout", tooltip="Headers, caption, and the prompt of each tile."),
            ],
            outputs=[
                io.Image.Output("sheet", tooltip="The labelled contact sheet."),
                io.Image.Output("images", display_name="tiles", tooltip="All images in reading order, as one batch."),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt, io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_dev_only=True,
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs: Any) -> str:
        return uuid.uuid4().hex  # the note in the prompt that is saved is made anew in every run

    @classmethod
    def execute(cls, tiles: list[DrawnTile], layout: dict[str, Any]) -> io.NodeOutput:
        entries = [
            jsonable({**entry, "label": tile.named(entry["label"]), "seconds": tile.seconds})
            for entry, tile in zip(layout["tiles"], tiles, strict=True)
        ]
        running = cls.hidden.dynprompt
        node = running.get_real_node_id(cls.hidden.unique_id)
        saved = running.get_node(node)
        note(saved, "tiles", entries)
        saved.pop("is_changed", None)  # a prompt that is saved with this run's fingerprint would not expand again
        image, preview = torch.ones(1, 64, 64, 3), []
        with harmless("sheet", lambda text: tell(text, node, logging.WARNING)):
            cells = [Cell(tile.images, tile.note) for tile in tiles]
            sheet, scale = draw(cells, layout["columns"], layout["rows"], layout["caption"])
            if scale < 1:
                tell(message("sheet-reduced", scale=scale), node)
            image = torch.from_numpy(np.array(sheet)).float()[None] / 255
            preview = ui.PreviewImage(image, cls=cls).as_dict()["images"]
        images = torch.cat([tile.images for tile in tiles])
        return io.NodeOutput(image, images, ui={"images": preview, TILES_RESULT: entries})


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
