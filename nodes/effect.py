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
from .messages import Told, message

EVEN = 0.05
"""Share of the rectified guidance that no schedule can reproduce, up to which one does as well to the eye."""


EARLY = 0.6
"""Share of the effect in one half of the steps from which on most of it is there."""


def without_effect(trace: Trace) -> Told | None:
    """Why nothing happened, and what to do; None if something did."""
    if trace.missing:
        return message("nothing-to-show", reason=trace.missing)
    if trace.undone:
        return message("no-effect-undone")
    if trace.changed:
        return None
    states = {step.state for step in trace.steps}
    if trace.broken:
        return message("no-effect-broken", steps=_broken_steps(trace))
    if not states:
        return message("no-effect-guider")
    if SEPARATE in states:
        return message("no-effect-separate")
    if states == {UNGUIDED}:
        return _unguided(trace)
    if states <= {UNGUIDED, OUTSIDE}:
        return message("no-effect-range")
    return message("no-effect-unusable" if UNUSABLE in states else "no-effect-same-predictions")


def _unguided(trace: Trace) -> Told:
    """Why there was no guidance at any step."""
    weights = [step.weight for step in trace.steps if step.weight is not None]
    if any(not math.isclose(weight, 1.0) for weight in weights):
        return message("no-effect-no-negative")
    return message("no-effect-schedule-one" if trace.scheduled and weights else "no-effect-unguided")


def sentence(trace: Trace) -> str:
    """What happened, in one sentence; in others what to do about steps that broke and about other nodes, and whether
    a schedule would do instead of REG.
    """
    nothing = without_effect(trace)
    if nothing:
        return " ".join([f"REG had {nothing}", *concerns(trace)])
    broken = [message("some-steps-broken", steps=_broken_steps(trace))] if trace.broken else []
    return " ".join([_effect(trace), *broken, *concerns(trace), *_advice(trace)])


def _advice(trace: Trace) -> list[str]:
    """Whether REG is worth its price here, or a schedule would do; nothing where it hardly acts, or steps broke."""
    local = trace.local
    if local is None or trace.broken or not any((step.change or 0.0) > NEGLIGIBLE for step in trace.changed):
        return []
    return [message("advice-even" if local <= EVEN else "advice-local", error=math.sqrt(local))]


def pressing(trace: Trace) -> list[Told]:
    """What asks the artist to do something about a run that had an effect, or about two REGs on one model."""
    lines, separate = [], sum(step.state == SEPARATE for step in trace.steps)
    acts = not without_effect(trace)
    if acts and separate:
        lines.append(message("partly-separate", count=separate, total=len(trace.steps)))
    if trace.repeated:
        lines.append(message("reg-repeated"))
    if acts and trace.strength > 1:
        lines.append(message("strength-above-one", strength=trace.strength))
    return lines


def concerns(trace: Trace) -> list[Told]:
    """What to know besides the effect, a line for each: what asks for something to be done, and what else acted."""
    lines = pressing(trace)
    if without_effect(trace):
        return lines
    if trace.altered:
        by = "less than 1%" if trace.altered < 0.01 else f"{trace.altered:.0%}"
        lines.append(message("guidance-altered", by=by))
    weights = [step.weight for step in trace.steps if step.weight is not None]
    if trace.scheduled and weights:
        lines.append(message("cfg-from-schedule", span=span(weights)))
    return lines


def span(weights: Sequence[float]) -> str:
    """From the lowest weight to the highest, in words."""
    low, high = (f"{weight:.1f}".removesuffix(".0") for weight in (min(weights), max(weights)))
    return low if low == high else f"{low} to {high}"


def headline(trace: Trace) -> str:
    """What a node says of a run, in a few words: what to do, if there is something to do, or else the effect."""
    nothing = without_effect(trace)
    if nothing:
        return nothing.line
    if trace.broken:
        return message("some-steps-broken", steps=_broken_steps(trace)).line
    urgent = pressing(trace)
    return urgent[0].line if urgent else _status(trace)


def _status(trace: Trace) -> str:
    """The effect in a few words."""
    if not _shown(trace):
        return message("status-faint" if trace.strength < 1 else "status-idle", least=NEGLIGIBLE).line
    word, amounts = _amounts(trace.changed)
    how = f"{word} by {_average(amounts):.0%}"
    weights = [step.weight for step in trace.steps if step.weight is not None]
    if trace.scheduled and weights:
        return message("status-effect-scheduled", span=span(weights), how=how).line
    return message("status-effect", how=how, where=_emphasis(trace, amounts)).line


def _amounts(steps: Sequence[Step]) -> tuple[str, list[float]]:
    """Whether the guidance became smaller or larger, or only another one, and by how much at each step.

    It is all gone where D_u was left out.
    """
    changes = [step.change or 0.0 for step in steps]
    cuts = [1 - (step.after or 0.0) / step.before if step.before else step.change or 0.0 for step in steps]
    cut = _average(cuts)
    if abs(cut) < _average(changes) / 2:
        return "changed", changes
    return ("cut", cuts) if cut > 0 else ("raised", [-entry for entry in cuts])


def _emphasis(trace: Trace, amounts: Sequence[float]) -> str:
    """Over which part of the run REG acted, or in which half of it most of what it did lies."""
    changed = trace.changed
    start, end = changed[0].percent, changed[-1].percent
    if len(changed) == 1 and len(trace.steps) > 1:
        return f" at one step ({start:.0%} of the run)"
    if {step.state for step in trace.steps} & {OUTSIDE, UNGUIDED}:
        return f" from {start:.0%} to {end:.0%} of the run"
    half = {id(step) for step in trace.steps[: len(trace.steps) // 2]}
    early = sum(amount for step, amount in zip(changed, amounts, strict=True) if id(step) in half)
    share = early / (sum(amounts) or 1.0)
    return ", most of it early" if share >= EARLY else ", most of it late" if share <= 1 - EARLY else ""


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


def _shown(trace: Trace) -> list[Step]:
    """The steps whose guidance was changed enough to be seen."""
    return [step for step in trace.changed if (step.change or 0.0) > NEGLIGIBLE]


def _effect(trace: Trace) -> str:
    """By how much the guidance was changed, and where."""
    shown = _shown(trace)
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
