"""The contact sheet: images in columns and rows with headers, and a note under each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

PAPER, INK, FAINT = "#fafaf7", "#1c1c1c", "#5f5f5f"
LONGEST_SIDE = 8192
SHORTEST_SIDE = 64  # of an image that is made smaller
GAP = 3  # between the images of one tile
IMAGES_PER_LINE = 8
SMALLEST, LARGEST = 15, 72  # text sizes in pixels


class Cell(NamedTuple):
    """The images of a tile, ``[batch, height, width, channels]`` in [0, 1], and the note under them."""

    images: Tensor
    note: str


class Block:
    """Words broken into lines that fit a width, at one text size; ``width`` and ``height`` are what they take."""

    def __init__(self, words: str, size: int, width: float) -> None:
        self.font: Any = ImageFont.load_default(size=size)
        self.lines: list[str] = []
        for word in words.split():
            longer = f"{self.lines[-1]} {word}" if self.lines else word
            if self.lines and self.font.getlength(longer) <= width:
                self.lines[-1] = longer
            else:
                self.lines.append(word)
        ascent, descent = self.font.getmetrics()
        self.line = ascent + descent
        self.width = max((round(self.font.getlength(line) + 0.5) for line in self.lines), default=0)
        self.height = self.line * len(self.lines)

    def draw(self, canvas: ImageDraw.ImageDraw, left: float, top: float, colour: str) -> None:
        for index, line in enumerate(self.lines):
            canvas.text((left, top + index * self.line), line, fill=colour, font=self.font)


@dataclass(frozen=True)
class Layout:
    """Places on the sheet, in pixels, with the images at ``scale`` times their size."""

    cells: Sequence[Cell]
    columns: Sequence[str]
    rows: Sequence[str]
    caption: str
    scale: float

    def image_size(self, cell: Cell) -> tuple[int, int]:
        """Width and height of each image of a cell."""
        height, width = cell.images.shape[1:3]
        return max(1, round(width * self.scale)), max(1, round(height * self.scale))

    def strip_size(self, cell: Cell) -> tuple[int, int]:
        """Width and height of all images of a cell, in lines of eight."""
        width, height = self.image_size(cell)
        across = min(len(cell.images), IMAGES_PER_LINE)
        down = -(-len(cell.images) // IMAGES_PER_LINE)
        return across * (width + GAP) - GAP, down * (height + GAP) - GAP

    @cached_property
    def strip(self) -> tuple[int, int]:
        """Width and height of the largest strip."""
        widths, heights = zip(*map(self.strip_size, self.cells), strict=True)
        return max(widths), max(heights)

    @cached_property
    def text(self) -> int:
        """Text size of headers; it grows with the tiles, so that they are readable when the sheet fills a screen."""
        return max(SMALLEST, min(LARGEST, round(min(self.strip) / 14)))

    @cached_property
    def margin(self) -> int:
        return 2 * self.text

    @cached_property
    def line_width(self) -> int:
        """Where notes and column headers are broken: under small tiles they may take a little more room."""
        return max(self.strip[0], 8 * self.text)

    @cached_property
    def notes(self) -> list[Block]:
        return [Block(cell.note, max(SMALLEST, round(self.text * 0.75)), self.line_width) for cell in self.cells]

    @cached_property
    def column_headers(self) -> list[Block]:
        return [Block(words, self.text, self.line_width) for words in self.columns]

    @cached_property
    def row_headers(self) -> list[Block]:
        return [Block(words, self.text, 8 * self.text) for words in self.rows]

    @cached_property
    def cell_size(self) -> tuple[int, int]:
        """Width and height of a tile with its note; a header or note of one long word widens it."""
        blocks = [*self.notes, *self.column_headers]
        width = max([self.strip[0], *(block.width for block in blocks)])
        height = self.strip[1] + self.text // 3 + max(block.height for block in self.notes)
        return width, max([height, *(block.height for block in self.row_headers)])

    @cached_property
    def left(self) -> int:
        """Left end of the first column."""
        label = max(block.width for block in self.row_headers)
        return self.margin + (label + self.text if label else 0)

    @cached_property
    def right(self) -> int:
        """Right end of the last column."""
        return self.column_left(len(self.columns)) - self.text

    @cached_property
    def heading(self) -> Block:
        size = max(SMALLEST, round(self.text * 0.75))
        return Block(self.caption, size, max(self.right - self.margin, 24 * size))

    @cached_property
    def top(self) -> int:
        """Upper end of the first row."""
        headers = max(block.height for block in self.column_headers)
        return self.headers_top + (headers + self.text // 3 if headers else 0)

    @cached_property
    def headers_top(self) -> int:
        return self.margin + (self.heading.height + self.text if self.caption else 0)

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height of the sheet."""
        right = max(self.right, self.margin + self.heading.width)
        return right + self.margin, self.row_top(len(self.rows)) - self.text + self.margin

    def column_left(self, column: int) -> int:
        return self.left + column * (self.cell_size[0] + self.text)

    def row_top(self, row: int) -> int:
        return self.top + row * (self.cell_size[1] + self.text)

    def image_places(self, index: int) -> list[tuple[int, int]]:
        """Upper left corners of the images of a cell."""
        row, column = divmod(index, len(self.columns))
        width, height = self.image_size(self.cells[index])
        left, top = self.column_left(column), self.row_top(row)
        places = (divmod(number, IMAGES_PER_LINE) for number in range(len(self.cells[index].images)))
        return [(left + across * (width + GAP), top + down * (height + GAP)) for down, across in places]


def fit(cells: Sequence[Cell], columns: Sequence[str], rows: Sequence[str], caption: str) -> Layout:
    """The layout with images at their own size, or smaller where a side of the sheet would exceed 8192 pixels.

    Images are not made smaller than 64 pixels: a sheet of very many labels may be larger.
    """
    layout = Layout(cells, columns, rows, caption, 1.0)
    least = min(1.0, SHORTEST_SIDE / min(min(cell.images.shape[1:3]) for cell in cells))
    while max(layout.size) > LONGEST_SIDE and layout.scale > least:  # text shrinks less than images: not one step
        scale = layout.scale * LONGEST_SIDE / max(layout.size) * 0.995
        layout = Layout(cells, columns, rows, caption, max(least, scale))
    return layout


def picture(image: Tensor) -> Image.Image:
    """The pixels that the host saves of an image ``[height, width, channels]``."""
    return Image.fromarray(np.clip(255.0 * image[..., :3].cpu().numpy(), 0, 255).astype(np.uint8))


def strip(images: Tensor) -> Image.Image:
    """All images of a tile, ``[batch, height, width, channels]`` in [0, 1]: one at its own size, several in lines.

    Several are made smaller where a side would exceed 8192 pixels.
    """
    layout = Layout([Cell(images, "")], [""], [""], "", 1.0)
    if len(images) > 1 and max(layout.strip) > LONGEST_SIDE:
        layout = Layout(layout.cells, [""], [""], "", LONGEST_SIDE / max(layout.strip))
    canvas = Image.new("RGB", layout.strip, PAPER)
    places, size = layout.image_places(0), layout.image_size(layout.cells[0])
    for image, (left, top) in zip(images, places, strict=True):
        drawn = picture(image)
        canvas.paste(
            drawn if drawn.size == size else drawn.resize(size, Image.Resampling.LANCZOS),
            (left - places[0][0], top - places[0][1]),
        )
    return canvas


def paint(layout: Layout) -> Image.Image:
    """The sheet of a layout."""
    sheet = Image.new("RGB", layout.size, PAPER)
    canvas = ImageDraw.Draw(sheet)
    layout.heading.draw(canvas, layout.margin, layout.margin, FAINT)
    for column, block in enumerate(layout.column_headers):
        block.draw(canvas, layout.column_left(column), layout.top - layout.text // 3 - block.height, INK)
    for row, block in enumerate(layout.row_headers):
        block.draw(canvas, layout.margin, layout.row_top(row) + max(0, (layout.strip[1] - block.height) // 2), INK)
    for index, (cell, note) in enumerate(zip(layout.cells, layout.notes, strict=True)):
        for image, place in zip(cell.images, layout.image_places(index), strict=True):
            drawn, size = picture(image), layout.image_size(cell)
            sheet.paste(drawn if drawn.size == size else drawn.resize(size, Image.Resampling.LANCZOS), place)
        left, top = layout.image_places(index)[0]
        note.draw(canvas, left, top + layout.strip[1] + layout.text // 3, FAINT)
    return sheet


def draw(cells: Sequence[Cell], columns: Sequence[str], rows: Sequence[str], caption: str) -> tuple[Image.Image, float]:
    """The sheet of ``len(rows) x len(columns)`` cells in reading order, and the scale of its images, at most 1.

    Empty headers take no room.
    """
    layout = fit(cells, columns, rows, caption)
    return paint(layout), layout.scale
