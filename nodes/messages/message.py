"""What the catalogue keeps of a message."""

from __future__ import annotations

from typing import NamedTuple


class Message(NamedTuple):
    """The text, with its values in braces, and two sentences for the page of the docs."""

    text: str
    cause: str
    remedy: str
