"""What Python sends to the page: names of events and results, their fields, the states and columns of a step.

The same names stand in ``web/js/contract.mjs``, and ``tests/test_contract.py`` compares both.
"""

from __future__ import annotations

from ...reg_core.trace import COLUMNS, OUTSIDE, RECTIFIED, SEPARATE, UNGUIDED, UNUSABLE

__all__ = [
    "COLUMNS",
    "COMMANDS",
    "EVENTS",
    "RECTIFIED",
    "RESULTS",
    "SCHEDULE_EVENT",
    "SHEET_EVENT",
    "SKIP_COMMAND",
    "STATES",
    "STATUS_EVENT",
    "STEP_EVENT",
    "TILES_EVENT",
    "TILES_RESULT",
    "TRACE_RESULT",
    "WORDS_OPTION",
]

STEP_EVENT = "reg.step"
SCHEDULE_EVENT = "reg.schedule"
STATUS_EVENT = "reg.status"
SHEET_EVENT = "reg.sheet"
TILES_EVENT = "reg.tiles"
EVENTS = {
    STEP_EVENT: ("inspectors", "run", "index", "total", "steps"),
    SCHEDULE_EVENT: ("schedules", "percent", "sigma"),
    STATUS_EVENT: ("node", "prompt", "inputs", "line", "details", "urgent", "holds"),
    SHEET_EVENT: ("node", "prompt_id", "workflow", "tiles", "runs"),
    TILES_EVENT: ("node", "prompt_id", "drawn", "drawing"),
}
"""The fields of each event."""

SKIP_COMMAND = "/reg/skip"
COMMANDS = {SKIP_COMMAND: ("prompt_id", "runs")}
"""What the page posts to the server."""

TRACE_RESULT = "reg_trace"
TILES_RESULT = "reg_tiles"
RESULTS = {
    TRACE_RESULT: ("sentence", "total", "steps", "source", "curve", "weight"),
    TILES_RESULT: ("label", "row", "column", "place", "seconds", "image", "prompt", "changes"),
}
"""The fields of each entry of a result; a tile has its prompt, or its changes to the prompt of the first."""

WORDS_OPTION = "reg_words"
"""The option of an input with the words that it takes and offers, by the value of the input ``axis``."""

STATES = (*RECTIFIED, OUTSIDE, UNGUIDED, SEPARATE, UNUSABLE)
