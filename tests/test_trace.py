"""The numbers kept of a run against closed forms, and the sentences and the table they come to."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from reg_core.factor import factor_statistics, places, shown
from reg_core.packing import packed, unpacked
from reg_core.trace import (
    CARRIED,
    OUTSIDE,
    PURE_NOISE,
    TAKEN,
    UNGUIDED,
    UNUSABLE,
    Picture,
    Step,
    Trace,
)


def run(*changes: tuple[str, float | None]) -> Trace:
    """A run of equally spaced steps with these states and changes."""
    steps = [
        Step(index / len(changes), 1.0, state, weight=3.0, mean=None if change is None else 1 - change, change=change)
        for index, (state, change) in enumerate(changes)
    ]
    return Trace(total=len(steps), steps=steps)


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


def test_effective_weight_gives_as_much_guidance() -> None:
    assert Step(0.5, 1.0, TAKEN, weight=5.0, mean=0.25).effective == pytest.approx(2.0)
    assert Step(0.5, 1.0, OUTSIDE, weight=5.0).effective == 5.0
    assert Step(0.5, 1.0, TAKEN, mean=0.25).effective is None


SENTENCES: list[tuple[list[tuple[str, float | None]], str]] = [
    ([(PURE_NOISE, 1.0), (TAKEN, 0.5), (CARRIED, 0.3)], "by 60% on average, over the whole run."),
    (
        [(OUTSIDE, None), (TAKEN, 0.4), (TAKEN, 0.2), (OUTSIDE, None)],
        "by 30% on average between 25% and 50% of the run; elsewhere it was plain CFG.",
    ),
    (
        [(TAKEN, 0.01), (TAKEN, 0.5), (CARRIED, 0.3), (TAKEN, 0.015)],
        "by 40% on average between 25% and 50% of the run; elsewhere it was within 2% of CFG.",
    ),
    ([(UNGUIDED, None), (TAKEN, 0.4)], "by 40% on average, at one step (50% of the run); elsewhere it was without"),
    ([(TAKEN, 0.01), (TAKEN, 0.02)], "by less than 2% at every step: it is plain CFG to the eye."),
    ([], "guider asks for its predictions in a way of its own"),
    ([(UNGUIDED, None)] * 2, "no guidance to rectify"),
    ([(UNGUIDED, None), (OUTSIDE, None)], "between start_percent and end_percent"),
    ([(UNUSABLE, None), (OUTSIDE, None)], "could not be used at any step"),
    ([(TAKEN, None), (CARRIED, None)], "give the same prediction"),
]


@pytest.mark.parametrize(("steps", "expected"), SENTENCES, ids=lambda case: case[:40] if isinstance(case, str) else "")
def test_sentence_says_what_happened(steps: list[tuple[str, float | None]], expected: str) -> None:
    sentence = run(*steps).sentence()
    assert expected in sentence
    assert sentence.startswith("REG ")
    assert "\n" not in sentence


def test_a_run_that_was_not_found_says_so() -> None:
    assert Trace(missing="not connected").sentence() == "REG had no effect to show: not connected"


def test_table_holds_every_number() -> None:
    trace = run((PURE_NOISE, 1.0), (TAKEN, 1 / 3), (OUTSIDE, None))
    read: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(trace.table())))
    assert [row["state"] for row in read] == [PURE_NOISE, TAKEN, OUTSIDE]
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


def test_run_with_broken_steps_says_where_and_what_to_do() -> None:
    half = run((TAKEN, 0.4), (TAKEN, 0.2), (UNUSABLE, None), (UNUSABLE, None))
    half.broken = [0.5, 0.75]
    assert half.sentence() == (
        "REG changed the guidance by 30% on average between 0% and 25% of the run. But the numbers of 2 of 4 steps "
        "(the first at 50% of the run) were not finite (NaN or infinite), which can break the image. Load the model in "
        "another precision, such as fp32."
    )
    one = run((TAKEN, 0.4), (UNUSABLE, None), (OUTSIDE, None))
    one.broken = [1 / 3]
    assert "at one step (0% of the run); elsewhere it was plain CFG. But the numbers of one step (33%" in one.sentence()


def test_rows_and_table_have_no_number_that_json_lacks() -> None:
    step = Step(0.5, math.inf, TAKEN, weight=1e308, mean=1e308, low=math.nan, high=-math.inf, change=0.5)
    trace = Trace(steps=[step])
    (row,) = trace.rows()
    assert [name for name, value in row.items() if value is None] == [
        *("sigma", "low", "high", "min", "max", "before", "after", "seconds", "effective")
    ]
    assert "inf" not in trace.table() and "nan" not in trace.table()


def test_packed_traces_are_plain_and_come_back_whole() -> None:
    trace = run((TAKEN, 0.4), (UNUSABLE, None))
    trace.how, trace.source, trace.broken = "strength 1", "6:3", [0.5]
    trace.pictures = [Picture(0.0, torch.rand(4, 4), torch.rand(4, 4, 3), torch.rand(1, 16, 4, 4))]
    file = io.BytesIO()
    torch.save(packed({"7:1": trace, None: Trace(missing="not connected")}), file)
    file.seek(0)
    again = unpacked(torch.load(file, weights_only=True))
    assert list(again) == ["7:1", None]
    (picture,), (former,) = again["7:1"].pictures, trace.pictures
    assert picture.percent == former.percent and all(map(torch.equal, picture[1:], former[1:]))
    assert again[None] == Trace(missing="not connected")
    assert replace(again["7:1"], pictures=[]) == replace(trace, pictures=[])


def changed(**changes: Any) -> list[dict[str, Any]]:
    (data,) = packed({"k": run((TAKEN, 0.4))})
    return [{**data, **changes}]


MALFORMED: list[Any] = [
    None,
    7,
    "text",
    {"k": run((TAKEN, 0.4))},
    [{}],
    [None],
    changed(sampler=["k"]),
    changed(total="many"),
    changed(steps=[{"percent": 0.5}]),
    changed(steps=[{"percent": 0.5, "sigma": math.nan, "state": TAKEN}]),
    changed(steps=[{"percent": 0.5, "sigma": 1.0, "state": None}]),
    changed(steps=[{"percent": 0.5, "sigma": 1.0, "state": TAKEN, "mean": "high"}]),
    changed(steps=[{"percent": 0.5, "sigma": 1.0, "state": TAKEN, "colour": 1.0}]),
    changed(broken=[math.inf]),
    changed(pictures=[{"percent": 0.5, "factor": torch.rand(4), "preview": None, "latent": None}]),
]


@pytest.mark.parametrize("data", MALFORMED, ids=range(len(MALFORMED)))
def test_data_of_another_making_are_no_traces(data: Any) -> None:
    assert unpacked(changed()) != {}
    assert unpacked(data) == {}


def test_shown_parts_do_not_keep_the_whole() -> None:
    video = torch.randn(2, 4, 5, 8, 6)
    found = shown(video[:, 0], video)
    assert found is not None
    assert [part.untyped_storage().nbytes() for part in found] == [4 * 8 * 6, 4 * 4 * 8 * 6]
