"""The failures that a user can do something about."""

import re
from pathlib import Path

COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class BootstrapError(Exception):
    """A failure whose text says what was expected, what came and what to do."""


def last_lines(path: Path, count: int = 12) -> str:
    """Return the last non-empty lines of a log file, indented, or a note that there are none."""
    try:
        text = COLOURS.sub("", path.read_text("utf-8", "replace"))
        lines = [line.rstrip()[:200] for line in text.splitlines() if line.strip()]
    except OSError:
        lines = []
    return "\n".join(f"  {line}" for line in lines[-count:]) or "  (the log is empty)"
