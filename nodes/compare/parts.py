"""The nodes that REG Compare adds to a prompt by itself: they time the tiles, collect them, and draw the sheet."""

from __future__ import annotations

import logging
import uuid
from typing import Any, NamedTuple

import numpy as np
import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ..host.contract import TILES_RESULT
from ..host.notice import harmless, jsonable, note, tell
from ..host.sampling import Model
from ..host.stopwatch import Stopwatch, check_plain
from ..kinds import CheckedNode
from ..messages import message
from .contact_sheet import Cell, draw

CATEGORY = "advanced/guidance"
StopwatchType = io.Custom("REG_STOPWATCH")
TilesType = io.Custom("REG_TILES")
LayoutType = io.Custom("REG_SHEET_LAYOUT")


class DrawnTile(NamedTuple):
    """The images of one tile, the batch of latents they come from, and the seconds that one latent was sampled."""

    images: Tensor  # [images, height, width, channels] in [0, 1]
    batch: int
    seconds: float | None  # None where the cache kept the latent and not its time

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
            ],
            outputs=[TilesType.Output("tiles", tooltip="The tiles so far.")],
            is_dev_only=True,
        )

    @classmethod
    def execute(cls, image: Tensor, stopwatch: Stopwatch, previous: list[DrawnTile] | None = None) -> io.NodeOutput:
        return io.NodeOutput([*(previous or []), DrawnTile(image, stopwatch.batch, stopwatch.seconds_per_sample)])


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
            jsonable({**entry, "seconds": tile.seconds}) for entry, tile in zip(layout["tiles"], tiles, strict=True)
        ]
        running = cls.hidden.dynprompt
        node = running.get_real_node_id(cls.hidden.unique_id)
        saved = running.get_node(node)
        note(saved, "tiles", entries)
        saved.pop("is_changed", None)  # a prompt that is saved with this run's fingerprint would not expand again
        image, preview = torch.ones(1, 64, 64, 3), []
        with harmless("sheet", lambda text: tell(text, node, logging.WARNING)):
            cells = [Cell(tile.images, tile.duration) for tile in tiles]
            sheet, scale = draw(cells, layout["columns"], layout["rows"], layout["caption"])
            if scale < 1:
                tell(message("sheet-reduced", scale=scale), node)
            image = torch.from_numpy(np.array(sheet)).float()[None] / 255
            preview = ui.PreviewImage(image, cls=cls).as_dict()["images"]
        images = torch.cat([tile.images for tile in tiles])
        return io.NodeOutput(image, images, ui={"images": preview, TILES_RESULT: entries})
