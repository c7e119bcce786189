"""The nodes that REG Compare adds to a prompt by itself: they time the tiles, collect them, and draw the sheet."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from comfy_api.latest import io, ui
from torch import Tensor
from torch.nn.functional import pad

from ...reg_core.number import HIGHEST
from ..host.contract import TILES_EVENT, TILES_RESULT
from ..host.graph import blocked
from ..host.notice import harmless, jsonable, log_warning, note, send, tell
from ..host.prompt import display_node, executing_node, executing_prompt, forget_finished
from ..host.sampling import Model
from ..host.stopwatch import Stopwatch, check_plain
from ..host.temporary import saved_picture
from ..kinds import CheckedNode
from ..messages import message
from .contact_sheet import Cell, draw, strip
from .skipping import SKIPS
from .tile import MATCHED

CATEGORY = "REG"
StopwatchType = io.Custom("REG_STOPWATCH")
TilesType = io.Custom("REG_TILES")
LayoutType = io.Custom("REG_SHEET_LAYOUT")


class DrawnTile(NamedTuple):
    """The images of one tile, the batch of latents they come from, and the seconds that one latent was sampled.

    ``cfg`` is the weight that was matched to REG, where one was; ``picture`` is where the page finds the images, and
    ``sent`` the prompt whose page has been told.
    """

    images: Tensor | None  # [images, height, width, channels] in [0, 1]; None where the artist has skipped it
    batch: int
    seconds: float | None  # None where the cache kept the latent and not its time
    cfg: float | None = None
    picture: dict[str, str] | None = None
    sent: str | None = None

    @property
    def note(self) -> str:
        """What stands under the tile."""
        if self.images is None:
            return "skipped"
        return self.duration if self.cfg is None else f"cfg {self.cfg:.3g}, {self.duration}"

    def named(self, label: str) -> str:
        """The label of the tile, with the weight that it got."""
        return label if self.cfg is None else label.replace(MATCHED, f"{MATCHED} (cfg {self.cfg:.3g})", 1)

    @property
    def duration(self) -> str:
        """Words for the time of one image, or of one video."""
        if self.seconds is None or self.images is None:
            return "time unknown"
        number = f"{self.seconds:.0f}" if self.seconds >= 9.95 else f"{self.seconds:.2g}"
        return f"{number} s per {'image' if len(self.images) == self.batch else 'video'}"


def tell_page(tiles: Sequence[DrawnTile], drawing: int | None = None) -> list[DrawnTile]:
    """Send the page the tiles that it has not been told of in this run, and which one is drawn next.

    Returns the tiles as they are to be handed on: what the cache gives in a later run is not told of yet there.
    """
    node, prompt_id = executing_node(), executing_prompt()
    new = [index for index, tile in enumerate(tiles) if prompt_id is None or tile.sent != prompt_id]
    drawn = [{"index": i, "note": tiles[i].note, "seconds": tiles[i].seconds, "image": tiles[i].picture} for i in new]
    if node is not None:
        where = {"node": display_node(node), "prompt_id": prompt_id}
        send(TILES_EVENT, {**where, "drawn": drawn, "drawing": drawing})
    return [tile._replace(sent=prompt_id) for tile in tiles]


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
    def fingerprint_inputs(cls, run: str, **inputs: Any) -> int:
        return SKIPS.times(run)  # the cache has no latents of a run that was skipped

    @classmethod
    def execute(cls, model: Model, run: str, rectified: bool, scheduled: bool) -> io.NodeOutput:
        check_plain(model, rectified, scheduled)
        stopwatch = Stopwatch(unwanted=lambda: SKIPS.asked(run))
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
                io.Image.Input("image", lazy=True, tooltip="The images of the tile."),
                StopwatchType.Input("stopwatch", lazy=True, tooltip="The stopwatch of its sampling."),
                TilesType.Input("previous", optional=True, tooltip="The tiles before it; none for the first."),
                io.Float.Input(
                    "cfg",
                    optional=True,
                    lazy=True,
                    default=1.0,
                    min=-HIGHEST,
                    max=HIGHEST,
                    force_input=True,
                    tooltip="The cfg that was matched to REG; none for the others.",
                ),
                io.String.Input("run", optional=True, tooltip="Name of its sampling, by which it can be skipped."),
                io.Latent.Input(
                    "source", optional=True, lazy=True, tooltip="What the tile with REG sampled whose weights it takes."
                ),
                io.String.Input("source_run", optional=True, tooltip="Name of that sampling."),
            ],
            outputs=[TilesType.Output("tiles", tooltip="The tiles so far.")],
            is_dev_only=True,
        )

    @classmethod
    def fingerprint_inputs(cls, run: str, source_run: str = "", **inputs: Any) -> list[int]:
        return [SKIPS.times(run), SKIPS.times(source_run)]  # the cache has no tile that was skipped

    @classmethod
    def check_lazy_status(
        cls, run: str, previous: list[DrawnTile] | None = None, source_run: str = "", **inputs: Any
    ) -> list[str]:
        """Tiles are drawn one after the other, and those that are skipped not at all."""
        if SKIPS.skipped(run) or SKIPS.skipped(source_run):
            return []
        if inputs.get("image") is None:
            tell_page((), drawing=len(previous or ()))
        if source_run and inputs.get("source") is None:
            return ["source"]  # it may be skipped while it is sampled
        return [name for name in ("image", "stopwatch", "cfg") if name in inputs and inputs[name] is None]

    @classmethod
    def execute(
        cls,
        run: str,
        image: Tensor | None = None,
        stopwatch: Stopwatch | None = None,
        previous: list[DrawnTile] | None = None,
        cfg: float | None = None,
        source: dict[str, Any] | None = None,
        source_run: str = "",
    ) -> io.NodeOutput:
        with harmless("progress", log_warning):
            forget_finished(executing_node() or "")
        if image is None or stopwatch is None or stopwatch.skipped:
            SKIPS.skip(run)
            return io.NodeOutput(tell_page([*(previous or []), DrawnTile(None, 1, None)]))
        picture = None
        with harmless("tile", log_warning):
            picture = saved_picture(strip(image), "REG_tile")
        tile = DrawnTile(image, stopwatch.batch, stopwatch.seconds_per_sample, cfg, picture)
        return io.NodeOutput(tell_page([*(previous or []), tile]))


def batch(tiles: Sequence[DrawnTile]) -> Tensor | None:
    """All images of the tiles, smaller ones with a white margin at the right and below; None where there is none."""
    images = [tile.images for tile in tiles if tile.images is not None]
    if not images:
        return None
    height, width = (max(image.shape[side] for image in images) for side in (1, 2))
    margins = [(0, 0, 0, width - image.shape[2], 0, height - image.shape[1]) for image in images]
    # Padding copies, which sheets of one size need not pay for.
    whole = [
        pad(image, margin, value=1.0) if any(margin) else image for image, margin in zip(images, margins, strict=True)
    ]
    return torch.cat(whole)


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
            jsonable({**entry, "label": tile.named(entry["label"]), "seconds": tile.seconds, "image": tile.picture})
            for entry, tile in zip(layout["tiles"], tiles, strict=True)
        ]
        running = cls.hidden.dynprompt
        node = running.get_real_node_id(cls.hidden.unique_id)
        saved = running.get_node(node)
        # What is in the temporary folder is gone when the saved prompt is opened.
        note(saved, "tiles", [{key: value for key, value in entry.items() if key != "image"} for entry in entries])
        saved.pop("is_changed", None)  # a prompt that is saved with this run's fingerprint would not expand again
        images, image, preview = batch(tiles), torch.ones(1, 64, 64, 3), []
        with harmless("sheet", lambda text: tell(text, node, logging.WARNING)):
            blank = torch.ones(1, 64, 64, 3) if images is None else torch.ones_like(images[:1])
            cells = [Cell(blank if tile.images is None else tile.images, tile.note) for tile in tiles]
            sheet, scale = draw(cells, layout["columns"], layout["rows"], layout["caption"])
            if scale < 1:
                tell(message("sheet-reduced", scale=scale), node)
            image = torch.from_numpy(np.array(sheet)).float()[None] / 255
            preview = ui.PreviewImage(image, cls=cls).as_dict()["images"]
        whole = blocked(message("all-skipped")) if images is None else images
        return io.NodeOutput(image, whole, ui={"images": preview, TILES_RESULT: entries})
