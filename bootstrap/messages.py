"""docs/messages.md, the page of all messages of the nodes: `python run.py locales` writes it from their catalogue."""

from pathlib import Path
from string import Formatter
from typing import Any

from .host import REPOSITORY

PAGE = REPOSITORY / "docs" / "messages.md"
BEGINNING = """# Messages

Every message of the nodes: why it comes, and what to do. Words in braces stand for what the message fills in. A message
stands in the log, after "REG:", and on the node, in a line that has the whole message as its tooltip. One that stops a
run stands in ComfyUI's window of errors.

<!-- `python run.py locales` writes this page from nodes/messages/. Do not edit it. -->
"""
END = """
## What is not here

`reg_core` is a library that stands alone, with error texts of its own, which say what was expected and what came: a
number out of range, a range that runs backwards, a network without a gradient. The nodes pass them on. Before any node
is loaded, the `__init__.py` of the pack says itself that ComfyUI is too old, or that the pack is installed twice.
"""


def page(catalogue: Any) -> str:
    """Return the page for the module of messages."""
    lines = [BEGINNING]
    for topic, messages in catalogue.TOPICS.items():
        lines.append(f"## {topic}\n")
        for name, entry in messages.items():
            on_node = f"*On the node:* {_quoted(entry.line)}\n\n" if entry.line else ""
            lines.append(f"### {name}\n\n> {_quoted(entry.text)}\n\n{on_node}*Cause:* {entry.cause}\n")
            lines.append(f"*Remedy:* {entry.remedy}\n")
            if name == "diagnostics-failed":
                lines.append("`{what}` is one of: " + "; ".join(catalogue.PARTS.values()) + ".\n")
    return "\n".join(lines) + END


def _quoted(text: str) -> str:
    """The text with the bare names of its values, as code."""
    parts = Formatter().parse(text)
    return "".join(f"{words}`{{{name}}}`" if name is not None else words for words, name, _, _ in parts)


def write_page(catalogue: Any, file: Path = PAGE) -> None:
    """Write the page."""
    text = page(catalogue)
    new = not file.exists() or file.read_text("utf-8") != text
    file.write_text(text, encoding="utf-8")
    print(f"{file}: {'written' if new else 'up to date'}")
