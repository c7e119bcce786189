"""Traces of runs that no sampler has made."""

from __future__ import annotations

from reg_core.trace import Step, Trace


def run(*changes: tuple[str, float | None]) -> Trace:
    """A run of equally spaced steps with these states and changes."""
    steps = [
        Step(index / len(changes), 1.0, state, weight=3.0, mean=None if change is None else 1 - change, change=change)
        for index, (state, change) in enumerate(changes)
    ]
    return Trace(total=len(steps), steps=steps)
