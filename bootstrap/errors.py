"""The failures that a user can do something about, and the words for them."""

import difflib
import errno
import io
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
INTERRUPTED = 130

FULL = "Free some space, or set REG_HOME to a folder on another disk, then run this again."
CLOSED = (
    "It may belong to another user, be read-only or be in use, or a folder may be in the place of a file: "
    "remove it or make it writable, or set REG_HOME to a folder of your own, then run this again."
)
MISPLACED = "A file is in the place of a folder, or a folder in the place of a file: move it away, then run this again."
OTHERWISE = "Fix that, then run this again."
ADVICE = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EACCES: CLOSED,
    errno.EPERM: CLOSED,
    errno.EROFS: CLOSED,
    errno.EISDIR: MISPLACED,
    errno.ENOTDIR: MISPLACED,
    errno.EEXIST: MISPLACED,
}


class BootstrapError(Exception):
    """A failure whose text says what was expected, what came and what to do."""


def explained(error: OSError) -> str:
    """Put a failure of the operating system into words: what was expected, what came, what to do."""
    wanted = f"to use {error.filename}" if error.filename else "to go on"
    return f"Expected {wanted}, but: {error.strerror or error}.\n{ADVICE.get(error.errno or 0, OTHERWISE)}"


def reported(action: Callable[[], int], stopped: str) -> int:
    """Run an action and return its exit code; an expected failure or an interruption becomes a message and a code."""
    for stream in (sys.stdout, sys.stderr):
        # A path may hold letters that the terminal's encoding lacks.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = action()
        print(end="", flush=True)
        return code
    except BootstrapError as error:
        print(f"\n{error}", file=sys.stderr)
    except KeyboardInterrupt:
        print(f"\n{stopped}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has gone; Python would complain about that once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        print(f"\n{explained(error)}", file=sys.stderr)
    return 1


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that a mistyped one resembles most, if one does."""
    return next(iter(difflib.get_close_matches(word, list(known), 1)), None)


def last_lines(path: Path, count: int = 12) -> str:
    """Return the last non-empty lines of a log file, indented, or a note that there are none."""
    try:
        text = COLOURS.sub("", path.read_text("utf-8", "replace"))
        lines = [line.rstrip()[:200] for line in text.splitlines() if line.strip()]
    except OSError:
        lines = []
    return "\n".join(f"  {line}" for line in lines[-count:]) or "  (the log is empty)"
