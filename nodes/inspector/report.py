"""The inspector's picture: four plots over the sampling, and heat maps of the factor over previews."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from ...reg_core.trace import COMPUTED, CONDITIONAL, EXTRAPOLATED, SEPARATE, UNUSABLE, Trace
from ..effect import sentence
from .plot import FAINT, Paper, Plot

WIDTH, MARGIN, PLOT_HEIGHT = 1280, 36, 250
REG, PLAIN, BAND, EXTREMES = "#1f6f8b", "#c2703d", "#cfe3ea", "#9fb9c2"
STATE_COLOURS = {
    COMPUTED: REG,
    EXTRAPOLATED: "#8fc1d1",
    CONDITIONAL: "#a9c08f",
    UNUSABLE: "#c0392b",
    SEPARATE: "#9b7bb8",
}
OTHERS = "#c9c9c1"
BROKEN = "#f3cdc8"

# Factor and colour: 0 no guidance, 1 plain CFG; what lies outside shows at once.
HEAT = [(-0.5, "#b03fb0"), (0.0, "#1b1464"), (0.25, "#1f5f8b"), (0.5, "#2fa56a"), (0.75, "#b8cf3a"), (1.0, "#fff05a")]
HEAT += [(1.5, "#e5482d")]
NOTHING = "#808080"


class Look(NamedTuple):
    """One step to show: sampling percent, factor ``[height, width]``, preview ``[height, width, 3]`` in [0, 1]."""

    percent: float
    factor: np.ndarray
    preview: np.ndarray


def _rgb(colour: str) -> list[int]:
    return [int(colour[start : start + 2], 16) for start in (1, 3, 5)]


def heat(factor: np.ndarray) -> np.ndarray:
    """Colours ``[..., 3]`` in 0 to 255 of a factor; grey where it is nan."""
    values, colours = [value for value, _ in HEAT], np.array([_rgb(colour) for _, colour in HEAT])
    known = np.nan_to_num(factor, nan=0.0)
    drawn = np.stack([np.interp(known, values, colours[:, channel]) for channel in range(3)], -1)
    return np.where(np.isnan(factor)[..., None], np.array(_rgb(NOTHING)), drawn)


def heat_over(look: Look) -> Image.Image:
    """The heat map over the grey preview, at the preview's size."""
    preview = Image.fromarray((look.preview * 255).round().astype(np.uint8))
    colours = Image.fromarray(heat(look.factor).round().astype(np.uint8))
    grey = preview.convert("L").convert("RGB")
    return Image.blend(grey, colours.resize(preview.size, Image.Resampling.NEAREST), 0.65)


def report(trace: Trace, title: str, looks: Sequence[Look]) -> Image.Image:
    """Plots of a run with its sentence above; the heat maps below, where there are any."""
    paper = Paper(WIDTH, 1)
    lines = paper.wrapped(sentence(trace), 21, WIDTH - 2 * MARGIN)
    about = paper.wrapped(trace.how, 15, WIDTH - 2 * MARGIN) if trace.how else []
    top = MARGIN + 44 + 28 * len(lines) + 22 * len(about) + 18
    maps_top = top + 2 * (PLOT_HEIGHT + 20) + 10
    maps = _map_boxes(looks, maps_top + 34)
    paper = Paper(WIDTH, round(maps[-1][1][3]) + 34 + MARGIN if maps else maps_top - 10 + MARGIN // 2)
    paper.text((MARGIN, MARGIN - 8), title, 27)
    for index, line in enumerate(lines):
        paper.text((MARGIN, MARGIN + 36 + 28 * index), line, 21)
    for index, line in enumerate(about):
        paper.text((MARGIN, MARGIN + 40 + 28 * len(lines) + 22 * index), line, 15, FAINT)
    if trace.steps:
        _plots(paper, trace, top)
    if maps:
        _maps(paper, looks, maps, maps_top)
    return paper.image


def _plots(paper: Paper, trace: Trace, top: float) -> None:
    steps, half = trace.steps, (WIDTH - 2 * MARGIN - 32) / 2
    boxes = [
        (left, upper, left + half, upper + PLOT_HEIGHT)
        for upper in (top, top + PLOT_HEIGHT + 20)
        for left in (MARGIN, MARGIN + half + 32)
    ]
    extremes = [value for step in steps for value in (step.min, step.max) if value is not None]
    factor = Plot(paper, boxes[0], "Factor (1 is plain CFG)", (min([0.0, *extremes]), max([1.0, *extremes])))
    broken = [(step.percent, factor.y[1]) for step in steps if step.state == UNUSABLE]
    factor.bars(broken, [BROKEN] * len(broken), 1 / len(steps))
    factor.band([(step.percent, step.low, step.high) for step in steps], BAND)
    for name in ("min", "max"):
        factor.line([(step.percent, getattr(step, name)) for step in steps], EXTREMES, 1)
    factor.line([(0.0, 1.0), (1.0, 1.0)], PLAIN, 1.5)
    factor.line([(step.percent, step.mean) for step in steps], REG)
    for step in steps:
        factor.dots([(step.percent, step.mean)], REG, hollow=step.state != COMPUTED)
    factor.legend([("unusable", BROKEN)] * bool(broken) + [("mean", REG), ("5 to 95 %", BAND), ("CFG", PLAIN)])

    weights = [value for step in steps for value in (step.weight, step.effective) if value is not None]
    weight = Plot(paper, boxes[1], "Guidance weight", (min([1.0, *weights]), max([1.0, *weights])))
    weight.line([(step.percent, step.weight) for step in steps], PLAIN)
    weight.line([(step.percent, step.effective) for step in steps], REG)
    weight.legend([("asked", PLAIN), ("effective", REG)])

    norms = [value for step in steps for value in (step.before, step.after) if value is not None]
    norm = Plot(paper, boxes[2], "Norm of the guidance", (0.0, max(norms, default=1.0)))
    norm.line([(step.percent, step.before) for step in steps], PLAIN)
    norm.line([(step.percent, step.after) for step in steps], REG)
    norm.legend([("before", PLAIN), ("after REG", REG)])

    seconds = [(step.percent, step.seconds) for step in steps]
    time = Plot(paper, boxes[3], "Seconds per step", (0.0, max((value or 0.0 for _, value in seconds), default=1.0)))
    colours = [STATE_COLOURS.get(step.state, OTHERS) for step in steps]
    time.bars(seconds, colours, 0.7 / max(len(steps), 1))
    states = {step.state for step in steps}
    legend = [(name, colour) for name, colour in STATE_COLOURS.items() if name in states]
    time.legend(legend + [("no factor needed", OTHERS)] * bool(states - set(STATE_COLOURS)))


def _map_boxes(looks: Sequence[Look], top: float) -> list[tuple[tuple, tuple]]:
    """Where preview and heat map of each step go: two rows of equal tiles, as tall as the first picture asks."""
    if not looks:
        return []
    tile = min((WIDTH - 2 * MARGIN - 70 - 12 * (len(looks) - 1)) / len(looks), 260)
    height = tile * looks[0].preview.shape[0] / looks[0].preview.shape[1]
    lefts = [MARGIN + index * (tile + 12) for index in range(len(looks))]
    return [
        ((left, top, left + tile, top + height), (left, top + height + 8, left + tile, top + 2 * height + 8))
        for left in lefts
    ]


def _maps(paper: Paper, looks: Sequence[Look], boxes: Sequence[tuple[tuple, tuple]], top: float) -> None:
    paper.text((MARGIN, top), "Where it acted: the model's prediction, and the factor over it (first image)", 17)
    for look, (upper, lower) in zip(looks, boxes, strict=True):
        paper.paste(Image.fromarray((look.preview * 255).round().astype(np.uint8)), upper)
        paper.paste(heat_over(look), lower)
        paper.text(((lower[0] + lower[2]) / 2, lower[3] + 8), f"{look.percent:.0%}", 15, FAINT, "ma")
    _, (_, bar_top, right, bar_bottom) = boxes[-1]
    values = np.linspace(1.5, -0.5, 201)
    left = right + 16
    paper.paste(Image.fromarray(heat(values[:, None]).astype(np.uint8)), (left, bar_top, left + 16, bar_bottom))
    for value, words in ((1.5, "1.5"), (1.0, "1"), (0.5, "0.5"), (0.0, "0"), (-0.5, "-0.5")):
        height = bar_top + (1.5 - value) / 2 * (bar_bottom - bar_top)
        paper.text((left + 22, height), words, 13, FAINT, "lm")
