"""The axes of REG Compare: what each takes, what it makes of a tile, and what it says where it changes nothing."""

from __future__ import annotations

import itertools
import logging
from typing import Any

import execution
import pytest
import torch
from executor import LINKS, METHOD, SAMPLING, sampled, sheet
from executor import host as host
from hypothesis import given
from hypothesis import strategies as st
from javascript import evaluate
from workflows import node

from arbitrary import examples
from reg_pack.nodes.compare.axes import AXES, axes_words
from reg_pack.nodes.compare.grid import compare, find
from reg_pack.nodes.compare.spelling import distance
from reg_pack.nodes.compare.tile import MATCHED, MEASURED, ConnectedSchedule, MeasuredSchedule, Tile
from reg_pack.nodes.host.derivative.selection import Method
from reg_pack.nodes.host.runs import MOST, RUNS
from reg_pack.nodes.host.sampling import Guidance
from reg_pack.nodes.host.widgets import Widget
from reg_pack.reg_core.measurement import measured
from reg_pack.reg_core.rectification import FORMS
from reg_pack.reg_core.trace import Trace
from tiny_models import FAMILIES

pytestmark = pytest.mark.host

BASE = Tile({"cfg": 4.0, "seed": 7, "strength": 1.0})
FILES = ("first.safetensors", "second.safetensors")
UPSTREAM = [
    Widget("1", frozenset(), "text", "a cat", "STRING", None, None, None),
    Widget("2", frozenset(), "lora_name", "style.safetensors", "COMBO", None, None, None),
    Widget("2", frozenset(), "strength_model", 2.0, "FLOAT", None, -100.0, 100.0),
    Widget("3", frozenset(), "ckpt_name", FILES[0], "COMBO", FILES, None, None),
    Widget("4", frozenset(), "shift", 5.0, "FLOAT", None, 0.0, 100.0),
]


@pytest.mark.parametrize("name", AXES)
def test_axis_takes_its_examples(name: str) -> None:
    axis = AXES[name]
    base = Tile({"seed": 5}, connected=ConnectedSchedule(["schedule", 0]), upstream=lambda names: UPSTREAM)
    values = axis.values(axis.examples(), base)
    assert len(values) == axis.examples().count(",") + 1
    tiles = [value.apply(base) for value in values]
    assert not any(tile == other for tile, other in itertools.combinations(tiles, 2))
    for tile in tiles:
        changed = {name for name, setting in tile.settings.items() if setting != base.settings.get(name)}
        assert changed == set(axis.sets)


SPELLED = {
    "range": ("cfg", "2-8 x4", ["2", "4", "6", "8"]),
    "range among values": ("cfg", "1; 0.5 - 1.5 x 3, 7", ["1", "0.5", "1", "1.5", "7"]),
    "range of tenths": ("strength", "0.1-0.7 x3", ["0.1", "0.4", "0.7"]),
    "range downwards": ("cfg", "8-2 x3", ["8", "5", "2"]),
    "range of whole numbers": ("steps", "10-20 x4", ["10", "13", "17", "20"]),
    "fewer whole numbers than values": ("steps", "1-2 x4", ["1", "2"]),
    "range of one": ("cfg", "2-8 x1", ["2"]),
    "percent": ("start", "20%, 5 %", ["0.2", "0.05"]),
    "range of percent": ("end", "20-80% x3", ["0.2", "0.5", "0.8"]),
    "percent in a schedule": ("schedule", "interval 20% 60%", ["interval 0.2 0.6"]),
    "lines and semicolons": ("seed", "3; 5\n7,", ["3", "5", "7"]),
}


@pytest.mark.parametrize("case", SPELLED)
def test_short_text_gives_the_tiles_of_the_long_one(case: str) -> None:
    axis, text, values = SPELLED[case]
    short, long = (
        [value.apply(BASE).settings for value in find(axis).values(written, BASE)]
        for written in (text, ", ".join(values))
    )
    assert short == long and len(short) == len(values)


LONG = {
    "a range of a million": ("cfg", f"0-1 x{10**6}", "at most 64 tiles; cfg has 1000000 values"),
    "ranges of too many": ("cfg", "0-1 x40, 2-3 x40", "at most 64 tiles; cfg has 80 values"),
    "a range of millions of digits": ("cfg", "9" * 10**6 + "-9 x3", "cfg takes numbers such as"),
    "a sampler that is none": ("sampler", "no such", "sampler must be one of the names that its input offers, such as"),
    "a sampler that is misspelt": ("sampler", "eular", "Did you mean euler?"),
    "percent of nothing": ("start", "%", "start takes numbers such as"),
    "too much percent": ("end", "120%", "end must be a number between 0 and 1; got 1.2"),
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


TYPOS = {
    "RGE": ("method", "CFG, RGE", "REG: method RGE is unknown. Did you mean REG?"),
    "cfg mached": ("method", "REG, cfg mached", "REG: method cfg mached is unknown. Did you mean CFG matched?"),
    "SNRR": ("method", "SNRR 1.0", "REG: method SNRR 1.0 is unknown. Did you mean SNR?"),
    "rowsum": ("form", "rowsum", "REG: form rowsum is unknown. Did you mean row-sum?"),
    "finite diference": (
        "estimator",
        "finite diference",
        "REG: estimator finite diference is unknown. Did you mean finite difference?",
    ),
    "liner": ("schedule", "constant, liner 7 1", "REG: schedule liner 7 1 is unknown. Did you mean linear?"),
    "conected": ("schedule", "conected", "REG: schedule conected is unknown. Did you mean connected?"),
}


@pytest.mark.parametrize("typo", TYPOS)
def test_typo_is_told_with_what_was_meant(typo: str) -> None:
    axis, text, said = TYPOS[typo]
    with pytest.raises(ValueError) as error:
        find(axis).values(text, BASE)
    assert str(error.value) == said


def test_page_says_the_same_while_it_is_written() -> None:
    """Python says it before a run; both look for the word that was meant in the same way."""
    words = axes_words()
    texts = [[axis, f"{text}, ", words[axis]] for axis, text, _ in TYPOS.values()]
    said = evaluate("spelling.mjs", "({ mistake }, texts) => texts.map((text) => mistake(...text)?.line)", texts)
    assert [f"REG: {line}" for line in said] == [said for _, _, said in TYPOS.values()]
    right = [[name, AXES[name].examples(), words[name]] for name in words]
    assert evaluate("spelling.mjs", "({ mistake }, texts) => texts.map((text) => mistake(...text))", right) == [
        None
    ] * len(words)


@pytest.mark.parametrize("axis", [("budget", "as CFG, free"), ("method", "CFG, REG")])
def test_budget_that_needs_a_curve_is_refused_before_anything_is_sampled(axis: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="the budget free follows a curve .*, or the method measured"):
        sheet(axis, refresh="free")
    assert torch.equal(sheet(("method", "CFG"), refresh="free"), sampled())


@pytest.mark.parametrize("place", ["column", "row"])
def test_one_typo_is_one_error(place: str) -> None:
    other = "row" if place == "column" else "column"
    axes = {f"{place}s": "method", f"{place}_values": "CFG, RGE", f"{other}s": "cfg", f"{other}_values": "3, 6"}
    links = {name: [name, 0] for name in (*LINKS, "vae")}
    inputs = {**links, **SAMPLING, "cfg": 4.0, **METHOD, **axes}
    prompt = {name: node("Anything", name=name) for name in links} | {"compare": node("REG_Compare", **inputs)}
    valid, _, _, errors = execution.asyncio.run(execution.validate_prompt("id", prompt, None))
    (error,) = errors["compare"]["errors"]
    assert not valid and error["details"] == "REG: method RGE is unknown. Did you mean REG?"


LETTERS = st.text("aeRG-  ", max_size=9)


@examples(200)
@given(LETTERS, LETTERS, LETTERS)
def test_distance_is_one_of_words(one: str, other: str, third: str) -> None:
    assert (distance(one, other) == 0) == (one == other)
    assert distance(one, other) == distance(other, one) <= max(len(one), len(other))
    assert distance(one + third, other + third) <= distance(one, other)


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


@pytest.mark.parametrize("name", [MATCHED, MEASURED])
def test_method_by_the_measure_of_reg_needs_it(name: str) -> None:
    with pytest.raises(ValueError, match=f"method {name} takes its weight from tiles with REG. Add REG") as error:
        find("method").values(f"CFG, {name.upper()}", BASE)
    assert len(str(error.value)) < 400


def test_plain_cfg_is_matched_to_the_reg_tile_of_the_same_row() -> None:
    comparison = compare(BASE, ("method", "REG, cfg  Matched"), ("strength", "0.5, 1"))
    assert comparison.columns == ["REG", MATCHED]
    for reg, plain in zip(comparison.tiles[::2], comparison.tiles[1::2], strict=True):
        assert plain.matched == reg and not plain.rectified and plain.followed is None


def test_reg_at_strength_0_is_matched_by_itself() -> None:
    linked = Tile({**BASE.settings, "strength": 0.0}, connected=ConnectedSchedule(["plan", 0]))
    _, plain = compare(linked, ("method", "REG, CFG matched"), ("none", "")).tiles
    assert plain.matched is None and not plain.rectified and plain.followed == linked.connected


def test_schedule_is_measured_by_the_first_tile_that_measures_one() -> None:
    tiles = compare(BASE, ("method", "measured, REG"), ("cfg", "1, 3, 6")).tiles
    assert [tile.schedule for tile in tiles[::2]] == [MeasuredSchedule(tiles[3])] * 3
    with pytest.raises(ValueError, match="none of them has guidance to rectify. Set a strength above 0"):
        compare(BASE, ("method", "measured, REG"), ("strength", "0"))


def reg_run(form: str = "row-sum", **changes: Any) -> Trace:
    """What REG does in the run of the tile with REG, sampled by the host's KSampler."""
    model = Guidance(Method(1.0, form, "reverse")).install(FAMILIES["SD3 flow"]())
    sampled(held={"model": model}, **changes)
    (trace,) = RUNS.of(model).values()
    return trace


def test_matched_tile_has_the_cfg_of_the_run_with_reg() -> None:
    tiles = sheet(("method", "CFG, CFG matched, REG"), ("cfg", "4, 6")).split(1)
    for cfg, (plain, matched, reg) in zip((4.0, 6.0), (tiles[:3], tiles[3:]), strict=True):
        weight = reg_run(cfg=cfg).matched
        assert weight is not None and 1 < weight < cfg
        assert torch.equal(matched, sampled(cfg=weight))
        assert not torch.equal(matched, plain) and not torch.equal(matched, reg)


@pytest.mark.parametrize("form", FORMS)
def test_measured_tile_follows_the_schedule_of_the_run_with_reg(form: str) -> None:
    _, tile = sheet(("method", "REG, measured"), form=form).split(1)
    schedule = measured([reg_run(form).steps], 4.0, form)
    apply = node("REG_ApplySchedule", model=["model", 0], schedule=["schedule", 0])
    by_hand = sampled(
        {"schedule": node("Anything", name="schedule"), "apply": apply}, {"schedule": schedule}, model=["apply", 0]
    )
    assert torch.equal(tile, by_hand)


def test_more_tiles_with_reg_than_runs_are_kept_are_matched() -> None:
    strengths = [f"{index / 20:g}" for index in range(1, MOST + 2)]
    tiles = sheet(("method", "REG, CFG matched"), ("strength", ", ".join(strengths)), steps=2)
    assert len(tiles) == 2 * len(strengths)
    assert not any(torch.equal(*pair) for pair in itertools.pairwise(tiles[1::2].split(1)))


def test_matched_to_reg_without_guidance_is_cfg_1() -> None:
    tiles = sheet(("method", "CFG, REG, CFG matched"), cfg=1.0).split(1)
    assert all(torch.equal(tile, tiles[0]) for tile in tiles)
