"""Runs pip with its output in a log, its progress on the terminal and its failures explained."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .console import Progress
from .errors import BootstrapError, last_lines

TELLING = re.compile(r"\s*(Collecting|Downloading|Using cached|Building|Preparing|Installing|Getting)\b")
NETWORK_SIGNS = (
    "Failed to establish a new connection",
    "NewConnectionError",
    "NameResolutionError",
    "Temporary failure in name resolution",
    "ConnectTimeoutError",
    "Read timed out",
    "getaddrinfo failed",
    "ProxyError",
)


def child_environment() -> dict[str, str]:
    """Return the environment variables for a program of the private environment, free of the caller's own packages."""
    dropped = {"PYTHONHOME", "PYTHONPATH", "PYTHONSAFEPATH", "PYTHONSTARTUP", "__PYVENV_LAUNCHER__"}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}


def run_logged(command: Sequence[str], log: Path, label: str) -> int:
    """Run a command with its output added to the log and return its exit code; an interruption ends it too."""
    environment = {**child_environment(), "PIP_USER": "0", "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "w", encoding="utf-8") as sink, Progress(label) as progress:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            encoding="utf-8",
            errors="replace",
        )
        try:
            for line in process.stdout or ():
                sink.write(line)
                if TELLING.match(line):
                    progress.update(shortened(line.strip()))
            code = process.wait()
            progress.failed = code != 0
            return code
        except BaseException:
            process.terminate()
            process.wait()
            raise


def shortened(text: str, length: int = 90) -> str:
    """Cut a text that is longer than a line should be."""
    return text if len(text) <= length else text[: length - 3] + "..."


class Installer:
    """The pip of one Python."""

    def __init__(self, python: Path, logs: Path) -> None:
        self.python = python
        self.logs = logs

    def pip(self, label: str, name: str, arguments: Sequence[str]) -> None:
        """Run a pip command; raises BootstrapError with the last lines of its output if it fails."""
        log = self.logs / f"{name}.log"
        command = [str(self.python), "-m", "pip", *arguments, "--progress-bar", "off"]
        code = run_logged(command, log, label)
        if code:
            raise BootstrapError(
                f"{label}: expected pip to succeed, but it ended with code {code}. {advice(log)}\n"
                f"{last_lines(log, 6)}\nThe whole output: {log}"
            )


def advice(log: Path) -> str:
    """Say what to do about a failed pip, judged by its output."""
    output = log.read_text("utf-8", "replace")
    if "DO NOT MATCH THE HASHES" in output:
        return "The download has another hash than the pinned one (below): do not use it; try again or report it."
    if "No space left on device" in output:
        return "The disk is full: free some space or set REG_HOME to a folder on another disk, then run this again."
    if any(sign in output for sign in NETWORK_SIGNS):
        return "The package index cannot be reached: check the network (or proxy), then run this again."
    return "Its last lines are below; when the cause is mended, run this again."
