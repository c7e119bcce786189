"""The contact sheet: every image at its place, every label there, nothing cut off or overlapping."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from reg_pack.nodes.compare.contact_sheet import LONGEST_SIDE, PAPER, SHORTEST_SIDE, Cell, Layout, draw, fit, paint

pytestmark = pytest.mark.host

PAPER_RGB = tuple(int(PAPER[at : at + 2], 16) for at in (1, 3, 5))
CAPTION = "euler; simple; 20 steps; seed = 1; REG with strength = 1, form row-sum, estimator auto"
METHODS, WEIGHTS = ["CFG", "REG", "interval 0.2 0.6"], ["cfg = 3", "cfg = 12.25"]
LONG = ["seed = 18446744073709551615", "finite difference", "linear 12.5 1.25", "x"]
SHEETS: dict[str, tuple[tuple[int, int, int], list[str], list[str], str]] = {
    "one small tile": ((1, 64, 64), [""], [""], CAPTION),
    "one tile, no caption": ((1, 96, 64), [""], [""], ""),
    "two axes": ((1, 128, 128), METHODS, WEIGHTS, "euler; 20 steps; seed = 1"),
    "batch": ((2, 128, 96), METHODS, WEIGHTS, CAPTION),
    "large batch": ((11, 32, 48), ["CFG", "REG"], [""], CAPTION),
    "only rows": ((1, 320, 512), [""], LONG, CAPTION),
    "long headers": ((1, 64, 64), LONG, LONG, CAPTION),
    "flat tiles": ((1, 8, 64), ["CFG"], LONG, CAPTION),
    "64 small tiles": ((1, 64, 64), [f"cfg = {index}" for index in range(8)], LONG + LONG, CAPTION),
    "large tiles": ((1, 1024, 1536), METHODS[:2], WEIGHTS, CAPTION),
}


def colour(index: int) -> tuple[int, int, int]:
    """A colour that neither text nor paper nor another image has."""
    return 255, index, 40


def cells(count: int, images: int, height: int, width: int) -> list[Cell]:
    return [
        Cell(
            torch.stack(
                [(torch.tensor(colour(cell * images + at)) / 255).expand(height, width, 3) for at in range(images)]
            ),
            f"{0.0123 * (cell + 1):.2g} s per image",
        )
        for cell in range(count)
    ]


def layout_of(name: str) -> Layout:
    (images, height, width), columns, rows, caption = SHEETS[name]
    return fit(cells(len(columns) * len(rows), images, height, width), columns, rows, caption)


def pixels(layout: Layout) -> np.ndarray:
    return np.asarray(paint(layout)).astype(np.int16)


@pytest.mark.parametrize("name", SHEETS)
def test_images_stand_whole_at_their_places(name: str) -> None:
    layout = layout_of(name)
    sheet = pixels(layout)
    (images, height, width), columns, _, _ = SHEETS[name]
    corners = []
    for index, cell in enumerate(layout.cells):
        for at, (left, top) in enumerate(layout.image_places(index)):
            mine = (sheet == colour(index * images + at)).all(-1)
            assert mine.sum() == height * width  # no text lies on it
            assert mine[top : top + height, left : left + width].all()
            corners.append((top, left))
        assert layout.image_size(cell) == (width, height)
    tops, lefts = {top for top, _ in corners}, {left for _, left in corners}
    assert len(tops) * len(lefts) >= len(corners)  # rows and columns are aligned
    assert [layout.column_left(column) for column in range(len(columns))] == sorted(lefts)[:: min(images, 8)]


@pytest.mark.parametrize("name", SHEETS)
def test_nothing_is_cut_off(name: str) -> None:
    """Beyond the margins there is only paper."""
    layout = layout_of(name)
    inked = np.argwhere((pixels(layout) != PAPER_RGB).any(-1))
    (top, left), (bottom, right) = inked.min(0), inked.max(0)
    width, height = layout.size
    free = layout.margin - 2  # a letter may reach a pixel beyond its own width
    assert min(left, top, width - 1 - right, height - 1 - bottom) >= free


@pytest.mark.parametrize("name", SHEETS)
def test_labels_have_a_place_of_their_own(name: str) -> None:
    layout = layout_of(name)
    for column, block in enumerate(layout.column_headers):
        assert layout.column_left(column) + block.width < layout.column_left(column + 1)
    for row, block in enumerate(layout.row_headers):
        assert layout.margin + block.width < layout.left or not block.lines
        assert block.height <= layout.row_top(row + 1) - layout.row_top(row)
    for index, note in enumerate(layout.notes):
        left, right = (layout.column_left(index % len(layout.columns) + step) for step in (0, 1))
        assert left + note.width < right
    tops = [
        layout.margin,
        layout.headers_top,
        layout.top,
        *(layout.row_top(row + 1) for row in range(len(layout.rows))),
    ]
    assert all(upper <= lower for upper, lower in pairwise(tops))


def change(layout: Layout, other: Layout) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of where two sheets of one size differ."""
    places = np.argwhere((pixels(layout) != pixels(other)).any(-1))
    (top, left), (bottom, right) = places.min(0), places.max(0)
    return left, top, right, bottom


@pytest.mark.parametrize("name", ["two axes", "batch", "large tiles"])
def test_every_label_is_drawn_where_it_belongs(name: str) -> None:
    layout = layout_of(name)
    text = layout.text
    for column in range(len(layout.columns)):
        other = [("." if at == column else words) for at, words in enumerate(layout.columns)]
        left, top, right, bottom = change(layout, replace(layout, columns=other))
        assert layout.column_left(column) <= left <= layout.column_left(column) + text
        assert right < layout.column_left(column + 1) and layout.headers_top <= top and bottom < layout.top
    # The other row's header is longer, so the columns stay where they are.
    left, top, right, bottom = change(layout, replace(layout, rows=[".", layout.rows[1]]))
    assert layout.margin <= left and right < layout.left
    assert layout.row_top(0) <= top and bottom < layout.row_top(0) + layout.strip[1]
    left, top, right, bottom = change(layout, replace(layout, caption="."))
    assert layout.margin <= left and layout.margin <= top and bottom < layout.headers_top
    for index, cell in enumerate(layout.cells):
        other = [*layout.cells[:index], Cell(cell.images, "."), *layout.cells[index + 1 :]]
        left, top, right, bottom = change(layout, replace(layout, cells=other))
        row, column = divmod(index, len(layout.columns))
        assert layout.column_left(column) <= left and right < layout.column_left(column + 1)
        assert layout.row_top(row) + layout.strip[1] < top and bottom < layout.row_top(row + 1)


def test_text_grows_with_the_tiles() -> None:
    sizes = [layout_of(name).text for name in ("one small tile", "only rows", "large tiles")]
    assert sizes == sorted(set(sizes))


def test_very_large_sheets_are_made_smaller() -> None:
    sheet, scale = draw(64 * cells(1, 1, 2048, 1536), [str(index) for index in range(8)], LONG + LONG, CAPTION)
    assert 0.3 < scale < 1
    assert 0.9 * LONGEST_SIDE < max(sheet.size) <= LONGEST_SIDE
    assert sheet.getpixel((sheet.width // 2, 2)) == PAPER_RGB


def test_labels_alone_may_exceed_the_limit_before_images_vanish() -> None:
    columns = [f"seed = {2**64 - index}" for index in range(64)]
    layout = fit(cells(64, 1, 256, 512), columns, [""], CAPTION)
    assert layout.image_size(layout.cells[0])[1] == SHORTEST_SIDE
