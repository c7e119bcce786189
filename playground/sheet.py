"""The sample sheet of a playground model: unselected draws, one row per guidance scale, the same noise in every row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

LEFT, TOP, SIDE, GAP = 96, 48, 96, 4


def save_sheet(rows: Sequence[tuple[str, Tensor]], columns: Sequence[str], path: Path, small: bool = False) -> None:
    """Save images [column, 1 or 3, height, width] in rows with a label each; a small file has a palette."""
    cell = SIDE + GAP
    sheet = Image.new("RGB", (LEFT + len(columns) * cell, TOP + len(rows) * cell), "white")
    pen, font, fine = ImageDraw.Draw(sheet), ImageFont.load_default(size=22), ImageFont.load_default(size=13)
    for column, label in enumerate(columns):
        chosen = font if len(label) < 3 else fine
        pen.text((LEFT + column * cell + SIDE // 2, TOP // 2), label, fill=0, font=chosen, anchor="mm", align="center")
    for row, (label, images) in enumerate(rows):
        pen.text((LEFT // 2, TOP + row * cell + SIDE // 2), label, fill=0, font=font, anchor="mm")
        shown = F.interpolate(images.clamp(0, 1), size=(SIDE, SIDE), mode="bicubic").clamp(0, 1)
        for column, image in enumerate((shown * 255).round().byte().expand(-1, 3, -1, -1).movedim(1, -1)):
            tile = Image.fromarray(image.numpy())
            sheet.paste(tile, (LEFT + column * cell, TOP + row * cell))
    (sheet.quantize(256) if small else sheet).save(path, optimize=True)
