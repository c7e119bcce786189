"""The contact sheet of the demo: guidance methods side by side, one row for each guidance weight."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

MARGIN = 32
GAP = 3
ROW_LABEL = 110
PAPER, INK, FAINT = "#fafaf7", "#1c1c1c", "#5f5f5f"


@dataclass(frozen=True)
class Strip:
    """The images of one sampler run."""

    method: str
    weight: float
    images: Sequence[Image.Image]
    seconds: float

    @property
    def width(self) -> int:
        """Pixels from the left end to the right end."""
        return sum(image.width + GAP for image in self.images) - GAP

    @property
    def height(self) -> int:
        """Pixels of the tallest image."""
        return max(image.height for image in self.images)


def text(canvas: ImageDraw.ImageDraw, place: tuple[float, float], words: str, size: int, colour: str = INK) -> None:
    """Write a line of text with its upper left corner at a place."""
    canvas.text(place, words, fill=colour, font=ImageFont.load_default(size=size))


def compose(strips: Sequence[Strip], title: str, subtitle: str) -> Image.Image:
    """Lay the strips out: methods as columns in order of appearance, weights as rows in rising order."""
    methods = list(dict.fromkeys(strip.method for strip in strips))
    weights = sorted({strip.weight for strip in strips})
    cell = max(strip.width for strip in strips)
    row = max(strip.height for strip in strips) + 52
    top = MARGIN + 124
    size = (2 * MARGIN + ROW_LABEL + len(methods) * (cell + MARGIN) - MARGIN, top + len(weights) * row + MARGIN // 2)
    sheet = Image.new("RGB", size, PAPER)
    canvas = ImageDraw.Draw(sheet)
    text(canvas, (MARGIN, MARGIN - 6), title, 32)
    text(canvas, (MARGIN, MARGIN + 36), subtitle, 20, FAINT)
    for column, method in enumerate(methods):
        text(canvas, (column_left(column, cell), top - 42), method, 28)
    for index, weight in enumerate(weights):
        text(canvas, (MARGIN, top + index * row + (row - 52) // 2 - 14), f"w = {weight:g}", 26)
    for strip in strips:
        place = column_left(methods.index(strip.method), cell), top + weights.index(strip.weight) * row
        paste(sheet, canvas, strip, place)
    return sheet


def column_left(column: int, cell: int) -> int:
    """Return the left end of a column of strips."""
    return MARGIN + ROW_LABEL + column * (cell + MARGIN)


def paste(sheet: Image.Image, canvas: ImageDraw.ImageDraw, strip: Strip, place: tuple[int, int]) -> None:
    """Draw the images of a strip in a row and what they took below them."""
    left, top = place
    for image in strip.images:
        sheet.paste(image, (left, top))
        left += image.width + GAP
    label = f"{strip.method} w = {strip.weight:g}: {strip.seconds / len(strip.images):.2f} s per image"
    text(canvas, (place[0], top + strip.height + 6), label, 20, FAINT)


def save(sheet: Image.Image, path: Path, texts: dict[str, str]) -> None:
    """Save the sheet as PNG with these texts in it, under which ComfyUI looks for a workflow."""
    chunks = PngInfo()
    for key, value in texts.items():
        chunks.add_text(key, value)
    sheet.save(path, format="PNG", pnginfo=chunks)
