"""The inspector's picture: curves pass through the points they stand for, and nothing leaves the paper."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageColor

from reg_pack.nodes.inspector.plot import PAPER, Paper, Plot, ticks
from reg_pack.nodes.inspector.report import HEAT, Look, heat, report
from reg_pack.reg_core.trace import COMPUTED, EXTRAPOLATED, OUTSIDE, Step, Trace

pytestmark = pytest.mark.host

RED, BLUE = "#ff0000", "#0000ff"


def near(picture: Image.Image, place: tuple[float, float], colour: str, within: int = 2) -> bool:
    """The colour, as strong as a thin line draws it, within a few pixels of a place."""
    x, y = (round(value) for value in place)
    pixels = np.asarray(picture, dtype=int)[y - within : y + within + 1, x - within : x + within + 1]
    return bool((np.abs(pixels - ImageColor.getrgb(colour)).sum(-1) < 150).any())


def trace(steps: int = 12, sentence_of: float = 0.5) -> Trace:
    rows = [
        Step(
            percent=index / steps,
            sigma=1 - index / steps,
            state=OUTSIDE if index >= steps - 2 else (COMPUTED if index % 2 else EXTRAPOLATED),
            weight=7.5,
            mean=None if index >= steps - 2 else 0.1 * index,
            low=None if index >= steps - 2 else 0.05 * index,
            high=None if index >= steps - 2 else 0.15 * index,
            min=None if index >= steps - 2 else -0.2,
            max=None if index >= steps - 2 else 1.8,
            before=0.5,
            after=0.05 * index,
            change=None if index >= steps - 2 else sentence_of,
            seconds=0.5 if index % 2 else 0.25,
        )
        for index in range(steps)
    ]
    return Trace(total=steps, steps=rows, how="strength 1, form row-sum")


def looks(count: int, height: int = 32, width: int = 32) -> list[Look]:
    generator = np.random.default_rng(0)
    return [
        Look(index / count, generator.random((height // 4, width // 4)), generator.random((height, width, 3)))
        for index in range(count)
    ]


def paper_coloured(pixels: np.ndarray) -> bool:
    return bool((pixels == ImageColor.getrgb(PAPER)).all())


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.3, 1.7), (0.0, 1e-4), (1.0, 37.0), (-5.0, 1200.0)])
def test_ticks_are_round_and_inside(low: float, high: float) -> None:
    marks = ticks(low, high)
    assert 2 <= len(marks) <= 7
    assert min(marks) >= low - 1e-12 and max(marks) <= high + 1e-12
    steps = np.diff(marks)
    assert steps == pytest.approx(np.full_like(steps, steps[0]))
    digits = f"{steps[0]:.6e}"
    assert digits[0] in "125" and set(digits[2:8]) == {"0"}


def test_line_passes_through_its_points_and_breaks_where_there_is_none() -> None:
    paper = Paper(600, 300)
    plot = Plot(paper, (10, 10, 590, 290), "title", (0.0, 4.0))
    left, top, right, bottom = plot.box
    plot.line([(0.0, 0.0), (0.25, 4.0), (0.5, 1.0), (0.6, None), (0.8, 2.0), (1.0, 2.0)], RED)
    span = plot.y[1] - plot.y[0]

    def at(x: float, y: float) -> tuple[float, float]:
        return left + (right - left) * x, bottom - (bottom - top) * (y - plot.y[0]) / span

    for x, y in [(0.125, 2.0), (0.25, 4.0), (0.375, 2.5), (0.5, 1.0), (0.9, 2.0)]:
        assert near(paper.image, at(x, y), RED)
    for x, y in [(0.125, 3.5), (0.55, 1.25), (0.7, 1.5), (0.375, 1.0)]:
        assert not near(paper.image, at(x, y), RED, 5)


def test_values_beyond_the_axes_stay_inside_them() -> None:
    paper = Paper(600, 300)
    plot = Plot(paper, (10, 10, 590, 290), "title", (0.0, 1.0))
    left, top, right, bottom = plot.box
    plot.line([(0.0, -50.0), (0.5, 50.0), (1.0, 0.5)], RED)
    plot.bars([(0.0, 0.5), (1.0, 80.0)], [BLUE, BLUE], 0.2)
    pixels = np.asarray(paper.image).copy()
    pixels[round(top) - 3 : round(bottom) + 4, round(left) - 3 : round(right) + 4] = ImageColor.getrgb(PAPER)
    reddish = (pixels[..., 0].astype(int) - pixels[..., 1] > 60) | (pixels[..., 2].astype(int) - pixels[..., 1] > 60)
    assert not reddish.any()


@pytest.mark.parametrize(
    ("steps", "pictures", "shape"),
    [(1, 0, (32, 32)), (12, 1, (32, 32)), (60, 4, (64, 36)), (1000, 6, (36, 64))],
)
def test_nothing_is_cut_off(steps: int, pictures: int, shape: tuple[int, int]) -> None:
    picture = np.asarray(report(trace(max(steps, 3)), "What it did", looks(pictures, *shape)))
    for edge in (picture[:12], picture[-12:], picture[:, :12], picture[:, -12:]):
        assert paper_coloured(edge)
    assert not paper_coloured(picture)


def test_long_sentences_are_wrapped_inside_the_margins() -> None:
    missing = Trace(missing=" ".join(["words that go on"] * 30))
    picture = np.asarray(report(missing, "What it did", []))
    assert paper_coloured(picture[:, :20]) and paper_coloured(picture[:, -20:])
    assert picture.shape[0] > np.asarray(report(Trace(missing="short"), "What it did", [])).shape[0]


def test_every_label_is_drawn() -> None:
    """Each text changes the picture where it stands, against a run that differs in it alone."""
    run = trace()
    with_settings = np.asarray(report(run, "What it did", [])).astype(int)
    run.how = "m" * len(run.how)
    other = np.asarray(report(run, "What it did", [])).astype(int)
    rows = np.flatnonzero(np.abs(with_settings - other).sum((1, 2)))
    assert 0 < rows.max() - rows.min() < 25


def test_heat_has_its_colours_at_its_values() -> None:
    for value, colour in HEAT:
        assert heat(np.array([value]))[0] == pytest.approx(ImageColor.getrgb(colour))
    assert heat(np.array([-9.0, 9.0]))[0] == pytest.approx(ImageColor.getrgb(HEAT[0][1]))
    half = heat(np.array([0.125]))[0]
    ends = [ImageColor.getrgb(colour) for value, colour in HEAT if value in (0.0, 0.25)]
    assert half == pytest.approx(np.mean(ends, 0))
    assert np.ptp(heat(np.array([np.nan]))[0]) == 0  # no guidance: grey


def test_heat_map_lies_where_the_factor_does() -> None:
    """A factor of 1 in the upper left quarter over a black preview: yellow there and nowhere else."""
    factor = np.zeros((2, 2))
    factor[0, 0] = 1.0
    picture = report(trace(), "What it did", [Look(0.5, factor, np.zeros((32, 32, 3)))])
    pixels = np.asarray(picture).astype(int)
    yellow = (pixels[..., 0] > 140) & (pixels[..., 1] > 130) & (pixels[..., 2] < 80)
    rows, columns = np.nonzero(yellow[:, :296])  # the tile; to its right stands the scale
    assert len(rows) > 0.95 * (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
    assert columns.max() - columns.min() == pytest.approx(129, abs=2)  # half of a tile of 260
