"""What Python sends to the page: names of events and results, their fields, the states and columns of a step.

The same names stand in ``web/js/contract.mjs``, and ``tests/test_contract.py`` compares both.
"""

from __future__ import annotations

from ...reg_core.trace import COLUMNS, OUTSIDE, RECTIFIED, SEPARATE, UNGUIDED, UNUSABLE

__all__ = [
    "COLUMNS",
    "EVENTS",
    "RECTIFIED",
    "RESULTS",
    "SCHEDULE_EVENT",
    "STATES",
    "STATUS_EVENT",
    "STEP_EVENT",
    "TILES_RESULT",
    "TRACE_RESULT",
    "WORDS_OPTION",
]

STEP_EVENT = "reg.step"
SCHEDULE_EVENT = "reg.schedule"
STATUS_EVENT = "reg.status"
EVENTS = {
    STEP_EVENT: ("inspectors", "run", "index", "total", "steps"),
    SCHEDULE_EVENT: ("schedules", "percent", "sigma"),
    STATUS_EVENT: ("node", "prompt", "inputs", "line", "details", "urgent", "holds"),
}
"""The fields of each event."""

TRACE_RESULT = "reg_trace"
TILES_RESULT = "reg_tiles"
RESULTS = {
    TRACE_RESULT: ("sentence", "total", "steps", "source", "curve", "weight"),
    TILES_RESULT: ("label", "row", "column", "seconds", "prompt", "changes"),
}
"""The fields of each entry of a result; a tile has its prompt, or its changes to the prompt of the first."""

WORDS_OPTION = "reg_words"
"""The option of an input with the words that it takes, by the value of the input ``axis``."""

STATES = (*RECTIFIED, OUTSIDE, UNGUIDED, SEPARATE, UNUSABLE)
