"""The host's CURVE value as straight pieces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reg_pack.nodes.host.curve import CurveInput, curve_points

pytestmark = pytest.mark.host

KNOTS = [(0.0, 0.2), (0.31, 0.9), (0.6, 0.9), (1.0, 0.1)]


def value(interpolation: str, knots: list[tuple[float, float]] = KNOTS) -> dict[str, Any]:
    return {"points": [list(knot) for knot in knots], "interpolation": interpolation}


@pytest.mark.parametrize("interpolation", ["linear", "monotone_cubic"])
def test_passes_through_the_drawn_points_and_stays_between_them(interpolation: str) -> None:
    points = dict(curve_points(value(interpolation)))
    for x, y in KNOTS:
        assert points[x] == pytest.approx(y, abs=1e-12)
    assert min(points.values()) == pytest.approx(0.1)
    assert max(points.values()) == pytest.approx(0.9)
    assert list(points) == sorted(points)


def test_linear_curve_is_exact_everywhere() -> None:
    progress, heights = zip(*curve_points(value("linear")), strict=True)
    x = np.linspace(0, 1, 1001)
    expected = np.interp(x, *zip(*KNOTS, strict=True))
    np.testing.assert_allclose(np.interp(x, progress, heights), expected, atol=1e-12)


def test_curve_that_does_not_span_the_range_is_level_beyond_its_ends() -> None:
    points = dict(curve_points(value("monotone_cubic", [(0.25, 0.3), (0.75, 0.8)])))
    assert points[0.0] == pytest.approx(0.3)
    assert points[1.0] == pytest.approx(0.8)


def test_bare_list_of_pairs_is_a_smooth_curve() -> None:
    assert curve_points([list(knot) for knot in KNOTS]) == curve_points(value("monotone_cubic"))


@pytest.mark.parametrize("interpolation", ["linear", "monotone_cubic"])
def test_linked_curve_equals_its_drawn_value(interpolation: str) -> None:
    """A Curve Editor hands on the host's object; before 0.19 there is none, and a link carries the value itself."""
    linked = CurveInput.from_raw(value(interpolation)) if CurveInput else value(interpolation)
    assert curve_points(linked) == curve_points(value(interpolation))


def test_value_that_the_page_has_wrapped_is_what_is_within() -> None:
    assert curve_points({"__type__": "CURVE", "__value__": value("linear")}) == curve_points(value("linear"))


PAIR = [[0.0, 0.0], [1.0, 1.0]]


@pytest.mark.parametrize(
    ("drawn", "said"),
    [
        ("0,0 1,1", "list of points"),
        (None, "list of points"),
        (7.0, "list of points"),
        ({"interpolation": "linear"}, "list of points"),
        ({"points": "0123"}, "list of points"),
        ({"points": ["01", "23"]}, "two numbers"),
        ({"points": [[0.0], [1.0]]}, "two numbers"),
        ({"points": [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]}, "two numbers"),
        ({"points": [[0.0, "high"], *PAIR]}, "must be a number"),
        ({"points": [[0.0, None], *PAIR]}, "must be a number"),
        ({"points": [[0.5, np.nan], *PAIR]}, "must be a number"),
        ({"points": [[-np.inf, 0.5], *PAIR]}, "must be a number"),
        ({"points": [[0.5, 1e308], *PAIR]}, "must be a number"),
        ({"points": [[0.5, "9" * 10**6], *PAIR]}, "must be a number"),
        ({"points": PAIR * 10**6}, "at most 10000 points"),
        ({"__type__": "CURVE", "__value__": None}, "list of points"),
    ],
    ids=lambda part: part if isinstance(part, str) and len(part) < 20 else "value",
)
def test_what_is_no_curve_is_refused_in_few_words(drawn: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        curve_points(drawn)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("interpolation", ["linear", "monotone_cubic"])
def test_points_above_each_other_are_a_step(interpolation: str) -> None:
    points = dict(curve_points(value(interpolation, [(0.0, 0.2), (0.5, 0.2), (0.5, 0.8), (1.0, 0.8)])))
    assert points[0.25] == pytest.approx(0.2, abs=1e-12) or interpolation == "monotone_cubic"
    assert points[0.75] == pytest.approx(0.8, abs=1e-12)
    assert all(0.2 - 1e-12 <= height <= 0.8 + 1e-12 for height in points.values())


def test_one_point_is_no_curve() -> None:
    with pytest.raises(ValueError, match="at least two points; got 1"):
        curve_points(value("linear", [(0.5, 0.5)]))
