"""The sentences that a run comes to."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from traces import run

from arbitrary import examples
from reg_pack.nodes.effect import headline, sentence, summary
from reg_pack.reg_core.trace import (
    COMPUTED,
    CONDITIONAL,
    EXTRAPOLATED,
    OUTSIDE,
    PURE_NOISE,
    RECTIFIED,
    SEPARATE,
    UNGUIDED,
    UNUSABLE,
    Step,
    Trace,
)

pytestmark = pytest.mark.host

SENTENCES: list[tuple[list[tuple[str, float | None]], str]] = [
    ([(PURE_NOISE, 1.0), (COMPUTED, 0.5), (EXTRAPOLATED, 0.3)], "by 60% on average, over the whole run."),
    (
        [(OUTSIDE, None), (COMPUTED, 0.4), (COMPUTED, 0.2), (OUTSIDE, None)],
        "by 30% on average between 25% and 50% of the run; elsewhere it was plain CFG.",
    ),
    (
        [(COMPUTED, 0.01), (COMPUTED, 0.5), (EXTRAPOLATED, 0.3), (COMPUTED, 0.015)],
        "by 40% on average between 25% and 50% of the run; elsewhere it was within 2% of CFG.",
    ),
    ([(UNGUIDED, None), (COMPUTED, 0.4)], "by 40% on average, at one step (50% of the run); elsewhere it was without"),
    ([(COMPUTED, 0.01), (COMPUTED, 0.02)], "by less than 2% at every step: it is plain CFG to the eye."),
    ([], "guider computes its predictions itself"),
    ([(UNGUIDED, None)] * 2, "no guidance to rectify"),
    ([(UNGUIDED, None), (OUTSIDE, None)], "between start and end"),
    ([(UNUSABLE, None), (OUTSIDE, None)], "could not be used at any step"),
    ([(COMPUTED, None), (EXTRAPOLATED, None)], "give the same prediction"),
]


@pytest.mark.parametrize(("steps", "expected"), SENTENCES, ids=lambda case: case[:40] if isinstance(case, str) else "")
def test_sentence_says_what_happened(steps: list[tuple[str, float | None]], expected: str) -> None:
    text = sentence(run(*steps))
    assert expected in text
    assert text.startswith("REG ")
    assert "\n" not in text


def test_a_run_that_was_not_found_says_so() -> None:
    assert sentence(Trace(missing="not connected")) == "REG had no effect to show: not connected"


def test_run_with_broken_steps_says_where_and_what_to_do() -> None:
    half = run((COMPUTED, 0.4), (COMPUTED, 0.2), (UNUSABLE, None), (UNUSABLE, None))
    half.broken = [0.5, 0.75]
    assert sentence(half) == (
        "REG changed the guidance by 30% on average between 0% and 25% of the run. But the numbers of 2 of 4 steps "
        "(the first at 50% of the run) were not finite (NaN or infinite), which can break the image. Load the model in "
        "another precision, such as fp32."
    )
    one = run((COMPUTED, 0.4), (UNUSABLE, None), (OUTSIDE, None))
    one.broken = [1 / 3]
    assert "at one step (0% of the run); elsewhere it was plain CFG. But the numbers of one step (33%" in sentence(one)


CHOICE = {"form": "row-sum", "estimator": "reverse"}


def test_summary_counts_what_was_computed_and_extrapolated() -> None:
    trace = run((PURE_NOISE, 1.0), (COMPUTED, 0.5), (EXTRAPOLATED, 0.3), (EXTRAPOLATED, 0.2), (OUTSIDE, None))
    assert summary(trace, CHOICE, {PURE_NOISE: 1, COMPUTED: 1, EXTRAPOLATED: 2}) == (
        "guidance changed by 50%, factor 0.00 to 0.80, in 4 of 5 evaluations "
        "(row-sum, reverse, computed once and extrapolated 2 times)."
    )


def test_summary_says_why_auto_chose() -> None:
    text = summary(run((COMPUTED, 0.5)), CHOICE, {COMPUTED: 1}, "The model has a gradient and memory for it.")
    assert text.endswith("(row-sum, reverse). Chosen by auto: The model has a gradient and memory for it.")


SIZES: list[tuple[list[tuple[float, float]], str]] = [
    ([(0.2, 0.8), (0.3, 0.7), (0.9, 0.1), (1.0, 0.05)], "REG on: guidance cut by 40%, most of it early."),
    ([(0.9, 0.1), (1.0, 0.1), (0.4, 0.6), (0.4, 0.6)], "REG on: guidance cut by 32%, most of it late."),
    ([(0.5, 0.5)] * 4, "REG on: guidance cut by 50%."),
    ([(1.4, 0.4)] * 4, "REG on: guidance raised by 40%."),
    ([(0.95, 0.6)] * 4, "REG on: guidance changed by 60%."),
    ([(1.0, 0.01)] * 4, "REG on, but within 2% of CFG here: bypass it to save time."),
]
"""The size of the guidance after REG, as a share of that before, and its change, of each step."""


@pytest.mark.parametrize(("sizes", "expected"), SIZES, ids=lambda case: case if isinstance(case, str) else "")
def test_headline_tells_whether_guidance_became_smaller(sizes: list[tuple[float, float]], expected: str) -> None:
    trace = run(*[(COMPUTED, change) for _, change in sizes])
    trace.steps = [
        replace(step, before=2.0, after=2 * size) for step, (size, _) in zip(trace.steps, sizes, strict=True)
    ]
    assert headline(trace) == expected


def test_guidance_that_was_left_out_is_gone() -> None:
    trace = run((CONDITIONAL, 1.0), (CONDITIONAL, 1.0))
    trace.steps = [replace(step, after=0.0) for step in trace.steps]
    assert headline(trace) == "REG on: guidance cut by 100%."


def test_headline_asks_for_one_thing_at_a_time() -> None:
    trace = run((COMPUTED, 0.4), (SEPARATE, None))
    trace.strength, trace.repeated = 1.5, True
    assert headline(trace) == "Another node stops REG at 1 of 2 steps: remove it."
    trace.broken = [0.0]
    assert headline(trace) == "Some steps broke (NaN): load the model as fp32."


values = st.none() | st.floats()
steps = st.builds(
    Step, st.floats(0, 1), st.floats(), st.sampled_from([*RECTIFIED, UNGUIDED]), *[values] * 8, st.none(), values
)


@examples(100)
@given(st.lists(steps, max_size=6), st.text(max_size=10))
def test_a_run_is_told_whatever_its_numbers(made: list[Step], missing: str) -> None:
    trace = Trace(total=len(made), missing=missing, steps=made)
    assert 0 < len(sentence(trace)) < 600
    assert 0 < len(headline(trace)) < 80
