"""REG Compare: a contact sheet over two axes, expanded into the host's own KSampler and VAE Decode nodes."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from comfy_api.latest import io

from ...reg_core.refresh import REFRESHES
from ...reg_core.schedule import check_range
from ..host.contract import SHEET_EVENT, WORDS_OPTION
from ..host.graph import expansion_prefix, is_link
from ..host.notice import send, tell
from ..host.prompt import display_node, executing_prompt
from ..host.widgets import Widget, widgets
from ..inputs import denoise_input, rectification_inputs, sampler_inputs
from ..kinds import CheckedNode
from ..messages import message
from .axes import AXES, axes_help, axes_words
from .axis import MOST_TILES, NONE
from .grid import Comparison, compare
from .parts import CATEGORY
from .tile import MEASURED, RECTIFICATION, SAMPLING, ConnectedSchedule, Tile, Upstream
from .tile_graph import Numbers, TileGraph, difference

LINKED = ("model", "positive", "negative", "latent_image", "vae")


def _read(inputs: Mapping[str, Any], upstream: Upstream | None = None) -> Comparison:
    """The tiles that the node's inputs describe; raises ValueError if they describe none."""
    settings = {name: inputs[name] for name in (*SAMPLING, *RECTIFICATION) if name in inputs}
    schedule = inputs.get("schedule")
    connected = ConnectedSchedule(schedule) if is_link(schedule) else None
    base = Tile(settings, connected=connected, upstream=upstream)
    comparison = compare(base, (inputs["columns"], inputs["column_values"]), (inputs["rows"], inputs["row_values"]))
    for tile in comparison.tiles:
        check_range(tile.settings["start_percent"], tile.settings["end_percent"])
    return comparison


def _check_budgets(comparison: Comparison) -> None:
    """Raises ValueError where a tile's budget needs a curve that was measured before: the sheet takes none."""
    for budget in [tile.settings.get("refresh") for tile in comparison.tiles if tile.guided]:
        if budget in REFRESHES and REFRESHES[budget].needs_measured:
            raise ValueError(message("budget-needs-curve", budget=budget, name=MEASURED))


class Compare(CheckedNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        values, words = axes_help(), axes_words()
        return io.Schema(
            node_id="REG_Compare",
            display_name="REG Compare",
            category=CATEGORY,
            description="Draws a labelled contact sheet that compares REG with plain guidance along two axes: one "
            f"image for each column and row, at most {MOST_TILES}, each with its sampling time. When you add values, "
            "only the new tiles are sampled.",
            search_aliases=["REG", "xy", "xy plot", "contact sheet", "grid", "compare cfg"],
            inputs=[
                io.Model.Input("model", raw_link=True, tooltip="The model without REG; the sheet adds REG itself."),
                io.Conditioning.Input("positive", raw_link=True, tooltip="What the image should show."),
                io.Conditioning.Input(
                    "negative", raw_link=True, tooltip="What to steer away from; an empty prompt is usual."
                ),
                io.Latent.Input(
                    "latent_image",
                    raw_link=True,
                    tooltip="The latent image to denoise. Each tile shows the images of a batch side by side.",
                ),
                io.Vae.Input("vae", raw_link=True, tooltip="Decodes each tile."),
                *sampler_inputs(),
                denoise_input(),
                io.Combo.Input(
                    "columns", options=list(AXES), default="method", tooltip="What changes from column to column."
                ),
                io.String.Input(
                    "column_values",
                    default="CFG, REG",
                    tooltip=f"One value for each column, separated by commas; 2-8 x4 is 2, 4, 6, 8. {values}",
                    extra_dict={WORDS_OPTION: {"axis": "columns", "words": words}},
                ),
                io.Combo.Input("rows", options=list(AXES), default="cfg", tooltip="What changes from row to row."),
                io.String.Input(
                    "row_values",
                    default="3, 6, 9",
                    tooltip=f"One value for each row, separated by commas; 2-8 x4 is 2, 4, 6, 8. {values}",
                    extra_dict={WORDS_OPTION: {"axis": "rows", "words": words}},
                ),
                *rectification_inputs(raw_schedule=True),
            ],
            outputs=[
                io.Image.Output("sheet", display_name="sheet", tooltip="The labelled contact sheet."),
                io.Image.Output(
                    "tiles", display_name="tiles", tooltip="All images in reading order, without labels, as one batch."
                ),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt, io.Hidden.extra_pnginfo],
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
    ) -> bool:
        # Raised, a mistake is one error; returned, the host repeats it for every input that is named here.
        unlinked = {
            "columns": columns or NONE,
            "column_values": column_values,
            "rows": rows or NONE,
            "row_values": row_values,
        }
        for axis in ("column", "row"):  # a linked value is unknown (None) until it runs
            if unlinked[f"{axis}_values"] is None:
                unlinked[f"{axis}s"] = NONE
        span = {
            "start_percent": 0.0 if start_percent is None else start_percent,
            "end_percent": 1.0 if end_percent is None else end_percent,
        }
        _read({"seed": 0, **unlinked, **span, "schedule": schedule})
        return True

    @classmethod
    def fingerprint_inputs(cls, **inputs: Any) -> str:
        # Expanded in every run, its tiles from the cache: the host shows and saves what this run says of them.
        return uuid.uuid4().hex

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        running = cls.hidden.dynprompt
        links = {name: inputs[name] for name in (*LINKED, "schedule") if is_link(inputs.get(name))}

        @functools.cache
        def upstream(names: tuple[str, ...]) -> list[Widget]:
            return list(widgets(running.get_node, [links[name] for name in names or links if name in links]))

        comparison = _read(inputs, upstream)
        _check_budgets(comparison)
        graph = TileGraph(expansion_prefix(), links, Numbers(running.all_node_ids()), running.get_node)
        entries, prompts, last = [], [], None
        for index, tile in enumerate(comparison.tiles):
            down, across = divmod(index, len(comparison.columns))
            column, row = comparison.columns[across], comparison.rows[down]
            label = ", ".join(part for part in (column, row) if part) or "REG"
            prompts.append(graph.prompt(tile, label))
            # They have nearly everything in common, and a long text in each would make a large file.
            how = {"changes": difference(prompts[0], prompts[-1])} if index else {"prompt": prompts[0]}
            place = {"row": row, "column": column, "place": [across, down]}
            entries.append({"label": label, **place, "seconds": None, "image": None, **how})
            last = graph.timed(tile, label, last)
        open_workflow = (cls.hidden.extra_pnginfo or {}).get("workflow") or {}  # a prompt may come without one
        where = {"node": display_node(cls.hidden.unique_id), "workflow": open_workflow.get("id")}
        runs = [graph.run_name(tile) for tile in comparison.tiles]
        send(SHEET_EVENT, {**where, "prompt_id": executing_prompt(), "tiles": entries, "runs": runs})
        layout = {
            "columns": comparison.columns,
            "rows": comparison.rows,
            "caption": _caption(comparison, inputs),
            "tiles": entries,
        }
        idle = _without_cfg(comparison)
        if idle:
            tell(idle, cls.hidden.unique_id)
        sheet, _ = graph.add("REG_CompareSheet", "Contact sheet", {"tiles": last, "layout": layout})
        return io.NodeOutput([sheet, 0], [sheet, 1], expand=graph.nodes)


def _without_cfg(comparison: Comparison) -> str:
    """What to say where schedules set the weight and an axis sets cfg; empty if none does."""
    followed = [tile.followed for tile in comparison.tiles if "cfg" in comparison.sets]
    names = list(dict.fromkeys(str(schedule) for schedule in followed if schedule and not schedule.follows_cfg()))
    if len(names) > 1:
        return message("cfg-axis-idle-for-some", schedules=", ".join(names))
    return message("cfg-axis-idle", schedule=names[0]) if names else ""


CAPTION: dict[str, Callable[[Any], str]] = {
    "sampler_name": str,
    "scheduler": str,
    "steps": "{} steps".format,
    "denoise": lambda value: f"denoise = {value:g}" if value != 1 else "",
    "cfg": "cfg = {:g}".format,
    "seed": "seed = {}".format,
}
RECTIFICATION_CAPTION: dict[str, Callable[[Any], str]] = {
    "strength": "strength = {:g}".format,
    "form": "form {}".format,
    "estimator": "estimator {}".format,
}
"""What the caption says of a setting that all tiles share."""


def _caption(comparison: Comparison, inputs: Mapping[str, Any]) -> str:
    """The settings that all tiles share."""

    def shared(captions: Mapping[str, Callable[[Any], str]]) -> list[str]:
        words = (say(inputs[name]) for name, say in captions.items() if name not in comparison.sets)
        return [word for word in words if word]

    words = shared(CAPTION)
    if any(tile.guided for tile in comparison.tiles):
        span = [
            f"{word} {inputs[name]:g}"
            for word, name in (("from", "start_percent"), ("to", "end_percent"))
            if name not in comparison.sets
        ]
        part = [" ".join(span)] if (inputs["start_percent"], inputs["end_percent"]) != (0, 1) and span else []
        words.append("REG with " + ", ".join([*shared(RECTIFICATION_CAPTION), *part]))
    return "; ".join(words)
