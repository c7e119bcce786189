"""REG Compare: a contact sheet over two axes, expanded into the host's own KSampler and VAE Decode nodes."""

from __future__ import annotations

import logging
import uuid
from typing import Any, NamedTuple

import numpy as np
import torch
from comfy_api.latest import io, ui
from comfy_execution.graph_utils import GraphBuilder, is_link
from torch import Tensor

from ...reg_core.schedule import check_range
from ..host.notice import harmless, jsonable, note, tell
from ..host.sampling import Model
from ..host.stopwatch import Stopwatch, check_plain
from ..inputs import denoise_input, rectification_inputs, sampler_inputs
from ..kinds import CheckedNode
from .axes import AXES, CONNECTED, MOST_TILES, Comparison, Tile, compare
from .contact_sheet import Cell, draw
from .tile_graph import Numbers, TileGraph, difference

CATEGORY = "advanced/guidance"
StopwatchType = io.Custom("REG_STOPWATCH")
TilesType = io.Custom("REG_TILES")
LayoutType = io.Custom("REG_SHEET_LAYOUT")
LINKED = ("model", "positive", "negative", "latent_image", "vae")
SAMPLING = ("steps", "sampler_name", "scheduler", "denoise")
RECTIFICATION = ("start_percent", "end_percent", "refresh", "checkpointing")


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


def _read(inputs: dict[str, Any]) -> Comparison:
    """The tiles that the node's inputs describe; raises ValueError if they describe none."""
    check_range(inputs["start_percent"], inputs["end_percent"])
    base = Tile(**{name: inputs[name] for name in ("cfg", "seed", "strength", "form", "estimator")})
    columns, rows = (inputs["columns"], inputs["column_values"]), (inputs["rows"], inputs["row_values"])
    return compare(base, columns, rows, is_link(inputs.get("schedule")))


class Compare(CheckedNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        axes = (
            "method: CFG, REG, interval 0.2 0.6, SNR 1.0. cfg, strength, seed: numbers, +1 is the seed plus one. form, "
            "estimator: their names. schedule: constant, linear 7 1, cosine 2, interval 0.2 0.6, SNR 1.0, connected."
        )
        return io.Schema(
            node_id="REG_Compare",
            display_name="REG Compare",
            category=CATEGORY,
            description="Draws a labelled contact sheet that compares REG with plain guidance over two axes: one image "
            f"for each column and row, at most {MOST_TILES}, with the time that it took. Only new tiles are sampled "
            "when values are added.",
            search_aliases=["REG", "xy plot", "contact sheet", "grid", "compare cfg"],
            inputs=[
                io.Model.Input("model", raw_link=True, tooltip="The model, without REG: the sheet adds it itself."),
                io.Conditioning.Input("positive", raw_link=True, tooltip="What the image should show."),
                io.Conditioning.Input(
                    "negative", raw_link=True, tooltip="What to steer away from; an empty prompt is usual."
                ),
                io.Latent.Input(
                    "latent_image",
                    raw_link=True,
                    tooltip="The latent image to denoise. The images of a batch stand side by side in each tile.",
                ),
                io.Vae.Input("vae", raw_link=True, tooltip="Decodes each tile."),
                *sampler_inputs(),
                denoise_input(),
                io.Combo.Input("columns", options=list(AXES), default="method", tooltip="What differs by column."),
                io.String.Input(
                    "column_values", default="CFG, REG", tooltip=f"One value for each column, commas between. {axes}"
                ),
                io.Combo.Input("rows", options=list(AXES), default="cfg", tooltip="What differs by row."),
                io.String.Input(
                    "row_values", default="3, 6, 9", tooltip=f"One value for each row, commas between. {axes}"
                ),
                *rectification_inputs(raw_schedule=True),
            ],
            outputs=[
                io.Image.Output("sheet", display_name="sheet", tooltip="The labelled contact sheet."),
                io.Image.Output(
                    "tiles", display_name="tiles", tooltip="All images in reading order, without labels, as one batch."
                ),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
            is_output_node=True,
            enable_expand=True,
        )

    @classmethod
    def validate_inputs(
        cls,
        columns: str | None = None,
        column_values: str | None = None,
        rows: str | None = None,
        row_values: str | None = None,
        start_percent: float | None = None,
        end_percent: float | None = None,
        schedule: Any = None,
    ) -> bool | str:
        unlinked = {
            "columns": columns or "none",
            "column_values": column_values,
            "rows": rows or "none",
            "row_values": row_values,
        }
        for axis in ("column", "row"):  # a linked value is unknown (None) until it runs
            if unlinked[f"{axis}_values"] is None:
                unlinked[f"{axis}s"] = "none"
        span = {
            "start_percent": 0.0 if start_percent is None else start_percent,
            "end_percent": 1.0 if end_percent is None else end_percent,
        }
        any_base = {"cfg": 1.0, "seed": 0, "strength": 1.0, "form": "", "estimator": ""}
        try:
            _read({**any_base, **unlinked, **span, "schedule": schedule})
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, **inputs: Any) -> str:
        # Expanded in every run, its tiles from the cache: the host shows and saves what this run says of them.
        return uuid.uuid4().hex

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        comparison = _read(inputs)
        running = cls.hidden.dynprompt
        graph = TileGraph(
            GraphBuilder.alloc_prefix(),
            {name: inputs[name] for name in (*LINKED, "schedule") if is_link(inputs.get(name))},
            {name: inputs[name] for name in SAMPLING},
            {name: inputs[name] for name in RECTIFICATION if name in inputs},
            Numbers(running.all_node_ids()),
        )
        entries, prompts, last = [], [], None
        for index, tile in enumerate(comparison.tiles):
            column = comparison.columns[index % len(comparison.columns)]
            row = comparison.rows[index // len(comparison.columns)]
            label = ", ".join(part for part in (column, row) if part) or "REG"
            prompts.append(graph.prompt(tile, label, running.get_node))
            # They have nearly everything in common, and a long text in each would make a large file.
            how = {"changes": difference(prompts[0], prompts[-1])} if index else {"prompt": prompts[0]}
            entries.append({"label": label, "row": row, "column": column, "seconds": None, **how})
            last = graph.timed(tile, label, last)
        layout = {
            "columns": comparison.columns,
            "rows": comparison.rows,
            "caption": _caption(comparison, inputs),
            "tiles": entries,
        }
        if "cfg" in (inputs["columns"], inputs["rows"]) and any(
            tile.schedule is not None and tile.schedule.name == CONNECTED for tile in comparison.tiles
        ):
            tell(
                "the connected schedule sets the weight of its tiles, so the cfg axis does not change them",
                cls.hidden.unique_id,
            )
        sheet, _ = graph.add("REG_CompareSheet", "Contact sheet", {"tiles": last, "layout": layout})
        return io.NodeOutput([sheet, 0], [sheet, 1], expand=graph.nodes)


def _caption(comparison: Comparison, inputs: dict[str, Any]) -> str:
    """The settings that all tiles share."""
    axes = (inputs["columns"], inputs["rows"])
    words = [inputs["sampler_name"], inputs["scheduler"], f"{inputs['steps']} steps"]
    words += [f"denoise = {inputs['denoise']:g}"] if inputs["denoise"] != 1 else []
    words += [f"cfg = {inputs['cfg']:g}"] if "cfg" not in axes else []
    words += [f"seed = {inputs['seed']}"] if "seed" not in axes else []
    if any(tile.guided for tile in comparison.tiles):
        words.append("REG with " + ", ".join(_rectification(inputs, axes)))
    return "; ".join(words)


def _rectification(inputs: dict[str, Any], axes: tuple[str, str]) -> list[str]:
    words = [f"strength = {inputs['strength']:g}"] if "strength" not in axes else []
    words += [f"{name} {inputs[name]}" for name in ("form", "estimator") if name not in axes]
    span = inputs["start_percent"], inputs["end_percent"]
    return words + ([f"from {span[0]:g} to {span[1]:g}"] if span != (0, 1) else [])


class CompareStopwatch(CheckedNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="REG_CompareStopwatch",
            display_name="REG Compare: Stopwatch",
            category=CATEGORY,
            description="Part of REG Compare, which adds it by itself: measures how long a tile is sampled.",
            inputs=[
                io.Model.Input("model", tooltip="The model that one tile is sampled with."),
                io.String.Input("run", tooltip="Names the run that is measured, so that each has a stopwatch."),
                io.Boolean.Input("rectified", tooltip="Whether the tile has REG; if not, the model must have none."),
                io.Boolean.Input(
                    "scheduled", tooltip="Whether the tile has a guidance schedule; if not, the model must have none."
                ),
            ],
            outputs=[
                io.Model.Output("timed_model", display_name="model", tooltip="The model, measured while it samples."),
                StopwatchType.Output("stopwatch", tooltip="Knows the time after the sampling."),
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
            description="Part of REG Compare, which adds it by itself: puts a tile behind those before it.",
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
            description="Part of REG Compare, which adds it by itself: draws the sheet and shows it in that node.",
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
        with harmless("the drawing of the sheet", lambda text: tell(text, node, logging.WARNING)):
            cells = [Cell(tile.images, tile.duration) for tile in tiles]
            sheet, scale = draw(cells, layout["columns"], layout["rows"], layout["caption"])
            if scale < 1:
                tell(f"the sheet shows its tiles at {scale:.0%} of their size; the output tiles has them whole", node)
            image = torch.from_numpy(np.asarray(sheet)).float()[None] / 255
            preview = ui.PreviewImage(image, cls=cls).as_dict()["images"]
        images = torch.cat([tile.images for tile in tiles])
        return io.NodeOutput(image, images, ui={"images": preview, "reg_tiles": entries})
