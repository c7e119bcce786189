"""What the catalogue keeps of a message, and a text of it that is told."""

from __future__ import annotations

from typing import NamedTuple


class Message(NamedTuple):
    """The text, with its values in braces, two sentences for the page of the docs, and the line that a node shows.

    The ``line`` is the message in a few words, with the next action; empty where the text is as short.
    """

    text: str
    cause: str
    remedy: str
    line: str = ""


class Told(str):
    """A text with the line that stands for it on a node."""

    line: str

    def __new__(cls, text: str, line: str) -> Told:
        told = super().__new__(cls, text)
        told.line = line
        return told
