"""The axes of REG Compare: what each takes, what it makes of a tile, and what it says where it changes nothing."""

from __future__ import annotations

import itertools
import logging
from typing import Any

import pytest
from executor import host as host
from executor import sheet

from reg_pack.nodes.compare.axes import AXES
from reg_pack.nodes.compare.grid import compare, find
from reg_pack.nodes.compare.tile import ConnectedSchedule, Tile

pytestmark = pytest.mark.host

BASE = Tile({"cfg": 4.0, "seed": 7, "strength": 1.0})


@pytest.mark.parametrize("name", AXES)
def test_axis_takes_its_examples(name: str) -> None:
    axis, base = AXES[name], Tile({"seed": 5}, connected=ConnectedSchedule(["schedule", 0]))
    values = axis.values(axis.examples(), base)
    assert len(values) == axis.examples().count(",") + 1
    tiles = [value.apply(base) for value in values]
    assert not any(tile == other for tile, other in itertools.combinations(tiles, 2))
    for tile in tiles:
        changed = {name for name, setting in tile.settings.items() if setting != base.settings.get(name)}
        assert changed == set(axis.sets)


LONG = {
    "seed of 400 digits": ("seed", "9" * 400, "seed must be a whole number"),
    "seed of 10,000 digits": ("seed", "9" * 10_000, "seed takes whole numbers"),
    "seed beyond the last": ("seed", "+18446744073709551615", "seed must be a whole number"),
    "seed below the first": ("seed", "+-8", "seed takes whole numbers"),
    "seed in another format": ("seed", "1e3", "seed takes whole numbers"),
    "hexadecimal": ("seed", "0x10", "seed takes whole numbers"),
    "cfg too large for a float": ("cfg", "1e400", "cfg must be a number"),
    "cfg of a million digits": ("cfg", "9" * 10**6, "cfg must be a number"),
    "only commas": ("cfg", "," * 10**6, "cfg has no values"),
    "a million values": ("schedule", "linear 7 1," * 10**6, "at most 64 tiles; schedule has 1000000 values"),
    "a million numbers": ("schedule", "linear " + "1 " * 10**6, "linear takes 0 to 2 numbers"),
    "a long name": ("method", "x" * 10**6, "method must be one of CFG, REG"),
    "a long form": ("form", "x" * 10**6, "form must be one of"),
    "not finite": ("schedule", "linear nan", "start_cfg of linear must be a number"),
}


@pytest.mark.parametrize("case", LONG)
def test_values_of_an_axis_are_refused_in_few_words(case: str) -> None:
    axis, text, said = LONG[case]
    with pytest.raises(ValueError, match=said) as error:
        find(axis).values(text, BASE)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("axis", [None, ["cfg"], {"cfg": 1}, "x" * 10**6])
def test_what_is_no_axis_is_refused(axis: Any) -> None:
    with pytest.raises(ValueError, match="an axis must be one of none, method") as error:
        compare(BASE, (axis, "1"), ("none", ""))
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("turned", [False, True])
def test_method_that_is_a_schedule_keeps_it_whatever_the_schedule_axis_says(turned: bool) -> None:
    axes = ("method", "REG, SNR 2"), ("schedule", "constant")
    comparison = compare(BASE, *(reversed(axes) if turned else axes))
    assert [(tile.rectified, str(tile.schedule)) for tile in comparison.tiles] == [(True, "constant"), (False, "SNR 2")]


def test_connected_schedule_is_that_of_tiles_with_reg_and_none_of_their_own() -> None:
    linked = Tile(BASE.settings, connected=ConnectedSchedule(["plan", 0]))
    tiles = compare(linked, ("method", "CFG, REG, SNR 2"), ("none", "")).tiles
    assert [tile.followed and str(tile.followed) for tile in tiles] == [None, "connected", "SNR 2"]
    (tile,) = compare(linked, ("method", "CFG"), ("schedule", "connected")).tiles
    assert tile.followed == linked.connected and not tile.guided


@pytest.mark.parametrize(
    ("schedules", "said"),
    [
        ("constant, linear, linear 7 1", ["The linear 7 1 schedule sets the weight of its tiles"]),
        ("linear 7 1, linear 6, cosine", ["The schedules linear 7 1, linear 6 set the weight of their tiles"]),
        ("constant, interval 0.2", []),
    ],
)
def test_cfg_axis_that_changes_nothing_is_told(
    schedules: str, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        sheet(("schedule", schedules), ("cfg", "3, 5"))
    told = [record.getMessage() for record in caplog.records if "cfg axis" in record.getMessage()]
    assert [text.partition(" Choose ")[0] for text in told] == [
        f"REG: {text}, so the cfg axis does not change them." for text in said
    ]
    assert all(text.endswith("or another axis.") for text in told)
