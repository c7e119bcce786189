"""Plots drawn with Pillow: one panel of axes with lines, bands, dots and bars, in data units."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from PIL import Image, ImageDraw, ImageFont

PAPER, INK, FAINT, GRID = "#fafaf7", "#1c1c1c", "#5f5f5f", "#dcdcd4"
SCALE = 2
"""Everything is drawn this many times larger and then shrunk, which smooths its edges."""

Point = tuple[float, float]
Box = tuple[float, float, float, float]


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """At most about ``count`` round numbers from low to high, a step of 1, 2 or 5 times a power of ten apart."""
    least = (high - low) / count
    power = 10.0 ** math.floor(math.log10(least))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


class Paper:
    """A sheet of ``width x height`` pixels to draw on; ``image`` is the finished picture."""

    def __init__(self, width: int, height: int) -> None:
        self.size = (width, height)
        self._large = Image.new("RGB", (width * SCALE, height * SCALE), PAPER)
        self._canvas = ImageDraw.Draw(self._large)

    @property
    def image(self) -> Image.Image:
        return self._large.reduce(SCALE)

    def text(self, place: Point, words: str, size: int, colour: str = INK, anchor: str = "la") -> None:
        font = ImageFont.load_default(size=size * SCALE)
        self._canvas.text(self._scaled([place])[0], words, fill=colour, font=font, anchor=anchor)

    @staticmethod
    def length(words: str, size: int) -> float:
        return ImageFont.load_default(size=size * SCALE).getlength(words) / SCALE

    def wrapped(self, words: str, size: int, width: float) -> list[str]:
        """The lines that words take in a column of this width."""
        lines = [""]
        for word in words.split():
            longer = f"{lines[-1]} {word}".strip()
            if self.length(longer, size) <= width or not lines[-1]:
                lines[-1] = longer
            else:
                lines.append(word)
        return lines

    def paste(self, image: Image.Image, box: Box) -> None:
        """Put an image into a box, enlarged without smoothing."""
        left, top, right, bottom = (round(value * SCALE) for value in box)
        self._large.paste(image.resize((right - left, bottom - top), Image.Resampling.NEAREST), (left, top))

    def line(self, points: Sequence[Point], colour: str, width: float = 1.0) -> None:
        if len(points) > 1:
            self._canvas.line(self._scaled(points), fill=colour, width=round(width * SCALE), joint="curve")

    def area(self, points: Sequence[Point], colour: str) -> None:
        if len(points) > 2:
            self._canvas.polygon(self._scaled(points), fill=colour)

    def dot(self, place: Point, radius: float, colour: str, hollow: bool = False) -> None:
        (x, y), r = self._scaled([place])[0], radius * SCALE
        self._canvas.ellipse(
            (x - r, y - r, x + r, y + r), fill=PAPER if hollow else colour, outline=colour, width=SCALE
        )

    @staticmethod
    def _scaled(points: Sequence[Point]) -> list[Point]:
        return [(x * SCALE, y * SCALE) for x, y in points]


class Plot:
    """Axes inside ``box`` (left, top, right, bottom in pixels) with x from 0 to 100 % of the sampling."""

    def __init__(self, paper: Paper, box: Box, title: str, y: tuple[float, float]) -> None:
        self.paper, self.title = paper, title
        low, high = y
        if not high > low:
            low, high = low - 0.5, high + 0.5
        self.y = low - 0.04 * (high - low) * (low != 0), high + 0.06 * (high - low)
        self.box = left, top, right, bottom = box[0] + 56, box[1] + 30, box[2] - 8, box[3] - 26
        paper.text((box[0], box[1]), title, 17)
        for value in ticks(*self.y):
            height = self._place(0, value)[1]
            paper.line([(left, height), (right, height)], GRID)
            paper.text((left - 8, height), f"{value:.6g}", 13, FAINT, "rm")
        for percent in (0, 25, 50, 75, 100):
            x = self._place(percent / 100, self.y[0])[0]
            paper.line([(x, bottom), (x, bottom + 4)], FAINT)
            anchor = "ra" if percent == 100 else "ma"
            paper.text((x, bottom + 7), f"{percent} %", 13, FAINT, anchor)
        paper.line([(left, top), (left, bottom), (right, bottom)], FAINT)

    def _place(self, x: float, y: float) -> Point:
        left, top, right, bottom = self.box
        share = (y - self.y[0]) / (self.y[1] - self.y[0])
        return left + (right - left) * x, bottom - (bottom - top) * min(max(share, 0.0), 1.0)

    def line(self, points: Sequence[tuple[float, float | None]], colour: str, width: float = 2.0) -> None:
        """A line that breaks where there is no value."""
        for run in _runs(points, lambda point: point[1] is not None):
            self.paper.line([self._place(x, y) for x, y in run if y is not None], colour, width)

    def band(self, points: Sequence[tuple[float, float | None, float | None]], colour: str) -> None:
        """The area between two lines."""
        for run in _runs(points, lambda point: point[1] is not None and point[2] is not None):
            low = [self._place(x, low) for x, low, _ in run if low is not None]
            high = [self._place(x, high) for x, _, high in run if high is not None]
            self.paper.area([*low, *reversed(high)], colour)

    def dots(self, points: Sequence[tuple[float, float | None]], colour: str, hollow: bool = False) -> None:
        for x, y in points:
            if y is not None:
                self.paper.dot(self._place(x, y), 4, colour, hollow)

    def bars(self, points: Sequence[tuple[float, float | None]], colours: Sequence[str], width: float) -> None:
        """Upright bars of a width in units of x, kept inside the axes."""
        left, _, right, bottom = self.box
        for (x, y), colour in zip(points, colours, strict=True):
            if y is not None:
                centre, top = self._place(x, y)
                half = max((right - left) * width / 2, 0.5)
                start, end = max(centre - half, left), min(centre + half, right)
                self.paper.area([(start, bottom), (start, top), (end, top), (end, bottom)], colour)

    def legend(self, entries: Sequence[tuple[str, str]]) -> None:
        """Names with their colours, at the right of the title."""
        right, middle = self.box[2], self.box[1] - 20
        for name, colour in reversed(entries):
            self.paper.text((right, middle), name, 13, FAINT, "rm")
            right -= self.paper.length(name, 13) + 20
            self.paper.area(
                [(right, middle - 3), (right + 14, middle - 3), (right + 14, middle + 3), (right, middle + 3)], colour
            )
            right -= 18


def _runs(points: Sequence[tuple], known: Callable[[tuple], bool]) -> Iterator[list[tuple]]:
    run: list[tuple] = []
    for point in points:
        if known(point):
            run.append(point)
        elif run:
            yield run
            run = []
    if run:
        yield run
