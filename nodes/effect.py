"""What REG did in a run, in sentences: its effect, or why there was none, and what other nodes did to it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ..reg_core.trace import (
    COMPUTED,
    CONDITIONAL,
    EXTRAPOLATED,
    NEGLIGIBLE,
    OUTSIDE,
    RECTIFIED,
    SEPARATE,
    UNGUIDED,
    UNUSABLE,
    Step,
    Trace,
)
from .messages import message

EVEN = 0.05
"""Share of the rectified guidance that no schedule can reproduce, up to which one does as well to the eye."""


def without_effect(trace: Trace) -> str:
    """Why nothing happened, and what to do; empty if something did."""
    if trace.missing:
        return message("nothing-to-show", reason=trace.missing)
    if trace.undone:
        return message("no-effect-undone")
    if trace.changed:
        return ""
    states = {step.state for step in trace.steps}
    if trace.broken:
        return message("no-effect-broken", steps=_broken_steps(trace))
    if not states:
        return message("no-effect-guider")
    if SEPARATE in states:
        return message("no-effect-separate")
    if states == {UNGUIDED}:
        return message("no-effect-unguided")
    if states <= {UNGUIDED, OUTSIDE}:
        return message("no-effect-range")
    return message("no-effect-unusable" if UNUSABLE in states else "no-effect-same-predictions")


def sentence(trace: Trace) -> str:
    """What happened, in one sentence; in others what to do about steps that broke and about other nodes, and whether
    a schedule would do instead of REG.
    """
    nothing = without_effect(trace)
    if nothing:
        return f"REG had {nothing}"
    broken = [message("some-steps-broken", steps=_broken_steps(trace))] if trace.broken else []
    return " ".join([_effect(trace), *broken, *others(trace), *_advice(trace)])


def _advice(trace: Trace) -> list[str]:
    """Whether REG is worth its price here, or a schedule would do; nothing where it hardly acts, or steps broke."""
    local = trace.local
    if local is None or trace.broken or not any((step.change or 0.0) > NEGLIGIBLE for step in trace.changed):
        return []
    return [message("advice-even" if local <= EVEN else "advice-local", error=math.sqrt(local))]


def others(trace: Trace) -> list[str]:
    """What other nodes on the model did to the effect that REG had, a line for each, and what to do about it."""
    if without_effect(trace):
        return []
    lines, separate = [], sum(step.state == SEPARATE for step in trace.steps)
    if separate:
        lines.append(message("partly-separate", count=separate, total=len(trace.steps)))
    if trace.altered:
        by = "less than 1%" if trace.altered < 0.01 else f"{trace.altered:.0%}"
        lines.append(message("guidance-altered", by=by))
    return lines


def summary(trace: Trace, choice: Mapping[str, str], states: Mapping[str, int], reason: str = "") -> str:
    """One line: what happened and how it was chosen, or why nothing did.

    ``choice`` are the settings of the run, ``states`` counts its evaluations by state, ``reason`` is why ``auto`` chose
    them.
    """
    nothing, changed = without_effect(trace), trace.changed
    if nothing:
        return nothing
    computed, extrapolated, spared = (states.get(state, 0) for state in (COMPUTED, EXTRAPOLATED, CONDITIONAL))
    how = f"{choice['form']}, {choice['estimator'] if computed else 'no gradient needed'}"
    if extrapolated:
        how += f", computed {_times(computed)} and extrapolated {_times(extrapolated)}"
    if spared:
        how += f", negative prompt left out {_times(spared)}"
    if trace.cost is not None:
        how += f"; compute {trace.cost:.2f} times CFG's"
    factors = [step.mean or 0.0 for step in changed]
    told = message(
        "guidance-changed",
        change=_average([step.change or 0.0 for step in changed]),
        low=min(factors),
        high=max(factors),
        count=len(changed),
        total=len(trace.steps),
        how=how,
    )
    return " ".join([told, *([message("chosen-by-auto", reason=reason)] if reason else [])])


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _average(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _effect(trace: Trace) -> str:
    """By how much the guidance was changed, and where."""
    shown = [step for step in trace.changed if (step.change or 0.0) > NEGLIGIBLE]
    if not shown:
        return message("effect-negligible", least=NEGLIGIBLE)
    change = _average([step.change or 0.0 for step in shown])
    return message("effect", change=change, where=_where(trace, shown))


def _where(trace: Trace, shown: Sequence[Step]) -> str:
    """At which steps the guidance was changed, and what it was at the others."""
    start, end = shown[0].percent, shown[-1].percent
    if len(shown) == len(trace.steps):
        return ", over the whole run"
    if len(shown) == 1:
        text = f", at one step ({start:.0%} of the run)"
    else:
        text = f" between {start:.0%} and {end:.0%} of the run"
    seen, broken = {id(step) for step in shown}, set(trace.broken)
    rest = {step.state for step in trace.steps if id(step) not in seen and step.percent not in broken}
    if not rest:
        return text
    if rest.isdisjoint(RECTIFIED):
        where = "plain CFG" if SEPARATE not in rest else "not rectified"
        return f"{text}; elsewhere it was {'without guidance' if rest == {UNGUIDED} else where}"
    return f"{text}; elsewhere it was within {NEGLIGIBLE:.0%} of CFG"


def _broken_steps(trace: Trace) -> str:
    """Which steps were not finite, in words."""
    count, first = len(trace.broken), f"{trace.broken[0]:.0%} of the run"
    if count == 1:
        where = f"one step ({first})"
    elif count == len(trace.steps):
        where = "every step"
    else:
        where = f"{count} of {len(trace.steps)} steps (the first at {first})"
    return f"the numbers of {where} were not finite (NaN or infinite)"
