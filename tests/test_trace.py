"""The numbers kept of a run against closed forms, and the table they come to."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from traces import run

from reg_core.factor import factor_statistics, places, shown
from reg_core.trace import (
    COMPUTED,
    CONDITIONAL,
    OUTSIDE,
    PURE_NOISE,
    UNGUIDED,
    Step,
    Trace,
)


def test_factor_of_one_channel_is_the_ratio_itself() -> None:
    gap, factor = torch.randn(2, 1, 3, 4), torch.rand(2, 1, 3, 4)
    found, square = places(gap, factor * gap)
    torch.testing.assert_close(found, factor[:, 0])
    torch.testing.assert_close(square, gap[:, 0] ** 2)


def test_factor_over_channels_is_the_least_squares_fit() -> None:
    """<G, g> / <g, g> minimises |G - f g|^2 over f, at each place."""
    gap, rectified = torch.randn(2, 5, 3, dtype=torch.float64), torch.randn(2, 5, 3, dtype=torch.float64)
    found, _ = places(gap, rectified)
    fit = torch.linalg.lstsq(gap.movedim(1, -1)[..., None], rectified.movedim(1, -1)[..., None]).solution[..., 0, 0]
    torch.testing.assert_close(found.double(), fit, rtol=1e-5, atol=1e-5)


def test_statistics_of_equally_guided_places() -> None:
    factor = torch.arange(1, 101)[torch.randperm(100)] / 100
    mean, low, high, smallest, largest = factor_statistics(factor, torch.ones(100)).tolist()
    assert mean == pytest.approx(0.505)
    assert (low, high) == pytest.approx((0.05, 0.95))  # the 5th and the 95th of 100
    assert (smallest, largest) == pytest.approx((0.01, 1.0))


def test_places_count_by_their_guidance() -> None:
    factor, square = torch.tensor([0.0, 1.0, 50.0, torch.nan]), torch.tensor([6.0, 2.0, 1e-6, 0.0])
    mean, low, high, smallest, largest = factor_statistics(factor, square).tolist()
    assert mean == pytest.approx((2.0 + 50e-6) / (8.0 + 1e-6))
    assert (low, high) == (0.0, 1.0)
    assert (smallest, largest) == (0.0, 1.0)  # the third place has a factor of rounding errors, the fourth none


def rectified(weight: float, before: float, factor: float) -> Step:
    """A step whose guidance has the norm ``before``, times one factor everywhere."""
    return Step(0.5, 1.0, COMPUTED, weight, factor, before=before, after=factor * before, change=abs(1 - factor))


OUT, LEFT_OUT = Step(0.5, 1.0, OUTSIDE, weight=5.0), Step(0.5, 1.0, CONDITIONAL, 5.0, mean=0.0, after=0.0, change=1.0)
MATCHED: dict[str, tuple[list[Step], float | None]] = {
    "one factor": ([rectified(5.0, 2.0, 0.25), rectified(5.0, 0.1, 0.25)], 2.0),
    "more guidance counts more": ([rectified(5.0, 2.0, 0.0), rectified(5.0, 1.0, 1.0)], 1 + 4 * math.sqrt(1 / 5)),
    "each step at its own weight": ([rectified(4.0, 1.0, 0.5), rectified(2.0, 1.0, 1.0)], 1 + math.sqrt(3.25 / 2)),
    "outside counts as the nearest": (
        [rectified(5.0, 2.0, 0.5), OUT, rectified(5.0, 1.0, 0.5), OUT],
        1 + 4 * math.sqrt((1 + 4 + 0.25 + 1) / (4 + 4 + 1 + 1)),
    ),
    "outside of a known size": (
        [rectified(5.0, 2.0, 0.5), replace(OUT, before=1.0, after=1.0)],
        1 + 4 * math.sqrt((1 + 1) / (4 + 1)),
    ),
    "left out": ([LEFT_OUT, rectified(5.0, 2.0, 0.5)], 1 + 4 * math.sqrt(1 / 8)),
    "plain CFG": ([OUT, OUT], 5.0),
    "no guidance": ([Step(0.5, 1.0, UNGUIDED, weight=1.0)] * 2, 1.0),
    "away from the prompt": ([rectified(0.0, 1.0, 0.5)], 0.5),
    "weight unknown": ([Step(0.5, 1.0, COMPUTED, mean=0.25, before=1.0, after=0.25)], None),
    "no steps": ([], None),
    "nothing to guide with": ([rectified(5.0, 0.0, 1.0)], None),
}


@pytest.mark.parametrize("case", MATCHED)
def test_matched_weight(case: str) -> None:
    steps, expected = MATCHED[case]
    assert Trace(steps=steps).matched == (None if expected is None else pytest.approx(expected))


def test_effective_weight_gives_as_much_guidance() -> None:
    assert Step(0.5, 1.0, COMPUTED, weight=5.0, mean=0.25).effective == pytest.approx(2.0)
    assert Step(0.5, 1.0, OUTSIDE, weight=5.0).effective == 5.0
    assert Step(0.5, 1.0, COMPUTED, mean=0.25).effective is None


def test_table_holds_every_number() -> None:
    trace = run((PURE_NOISE, 1.0), (COMPUTED, 1 / 3), (OUTSIDE, None))
    read: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(trace.table())))
    assert [row["state"] for row in read] == [PURE_NOISE, COMPUTED, OUTSIDE]
    assert [float(row["percent"]) for row in read] == pytest.approx([0, 1 / 3, 2 / 3], abs=1e-6)
    assert [row["change"] for row in read] == ["1", "0.333333", ""]
    assert [float(row["effective"]) for row in read] == pytest.approx([1.0, 1 + 2 * 2 / 3, 3.0], abs=1e-5)


def test_what_is_shown_is_the_first_sample_and_of_a_video_its_middle_frame() -> None:
    image, video = torch.randn(3, 4, 8, 6), torch.randn(2, 4, 5, 8, 6)
    for denoised, factor, expected in [
        (image, image[:, 0], (image[0, 0], image[:1])),
        (video, video[:, 0], (video[0, 0, 2], video[:1, :, 2:3])),
    ]:
        found = shown(factor, denoised)
        assert found is not None
        assert torch.equal(found[0], expected[0]) and torch.equal(found[1], expected[1])
    assert shown(torch.randn(1, 100), torch.randn(1, 1, 100)) is None


def test_rows_and_table_have_no_number_that_json_lacks() -> None:
    step = Step(0.5, math.inf, COMPUTED, weight=1e308, mean=1e308, low=math.nan, high=-math.inf, change=0.5)
    trace = Trace(steps=[step])
    (row,) = trace.rows()
    assert [name for name, value in row.items() if value is None] == [
        *("sigma", "low", "high", "min", "max", "before", "after", "seconds", "effective", "noise", "cost")
    ]
    assert "inf" not in trace.table() and "nan" not in trace.table()


def test_shown_parts_do_not_keep_the_whole() -> None:
    video = torch.randn(2, 4, 5, 8, 6)
    found = shown(video[:, 0], video)
    assert found is not None
    assert [part.untyped_storage().nbytes() for part in found] == [4 * 8 * 6, 4 * 4 * 8 * 6]
