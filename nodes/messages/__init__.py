"""Every message of the nodes that an artist can meet: what it says, why it comes, and what to do about it.

``message(name, ...)`` gives the text; `python run.py locales` writes docs/messages.md, which lists them all.
"""

from __future__ import annotations

from typing import Any

from . import autoguidance, comparison, diagnostics, effect, gradient, inputs, playground, schedules
from .diagnostics import PARTS
from .message import Message, Told

__all__ = ["MESSAGES", "PARTS", "TOPICS", "Message", "Told", "message"]

TOPICS: dict[str, dict[str, Message]] = {
    "What REG did": effect.MESSAGES,
    "The gradient": gradient.MESSAGES,
    "Inputs": inputs.MESSAGES,
    "Guidance schedules": schedules.MESSAGES,
    "REG AutoGuider": autoguidance.MESSAGES,
    "REG Compare": comparison.MESSAGES,
    "The playground": playground.MESSAGES,
    "What only shows something": diagnostics.MESSAGES,
}
"""By the heading under which the docs list them."""
MESSAGES: dict[str, Message] = {name: entry for entries in TOPICS.values() for name, entry in entries.items()}


def message(name: str, /, **values: Any) -> Told:
    """The text of a message and its line, with their values."""
    entry = MESSAGES[name]
    return Told(entry.text.format(**values), (entry.line or entry.text).format(**values))
