"""Runs pip with its output in a log, its progress on the terminal and its failures explained."""

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from .console import Progress
from .errors import BootstrapError, last_lines

TELLING = re.compile(r"\s*(Collecting|Downloading|Using cached|Building|Preparing|Installing|Getting)\b")
# The last lines of a pip that found no way to the index, in the words of pip 21 to 26 and of the systems below it.
NETWORK_SIGNS = re.compile(
    r"""connection\ (broken|aborted|refused|reset|timed\ out|error)
      | (connect|read)\ ?timed?\ ?out | timeout\ ?error
      | connection\ ?error | name\ ?resolution\ ?error | proxy\ ?error | ssl\ ?error | protocol\ ?error
      | failed\ to\ (establish|connect|resolve) | cannot\ connect | tunnel\ connection\ failed
      | temporary\ failure\ in\ name\ resolution | name\ or\ service\ not\ known | nodename\ nor\ servname
      | getaddrinfo\ failed | network\ is\ unreachable | no\ route\ to\ host | certificate_verify_failed
      | incomplete\ ?(read|download) | network\ connectivity | max\ retries\ exceeded | http\ error\ 5[0-9]{2}
    """,
    re.IGNORECASE | re.VERBOSE,
)
# A pip that was told to be brief, or not to try again, says no more than this of a missing connection.
NOTHING_OFFERED = re.compile(r"\(from versions: none\)|\(from versions: \)")
UNSUITED = re.compile(r"Could not find a version that satisfies|No matching distribution found")
# What a pip before 25 takes a download for that broke off.
INCOMPLETE = re.compile(r"BadZipFile|\.whl is invalid")
CHECK = "check the network, the proxy and the settings of pip (`pip config list`)"
TAIL = 25  # lines at the end of pip's output, among which it says why it gave up


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
    tail = "\n".join(line for line in output.splitlines()[-TAIL:])
    if "DO NOT MATCH THE HASHES" in output:
        return "The download has another hash than the pinned one (below): do not use it; try again or report it."
    if any(sign in output for sign in ("No space left on device", "not enough space on the disk")):
        return "The disk is full: free some space or set REG_HOME to a folder on another disk, then run this again."
    if NETWORK_SIGNS.search(tail):
        return f"There is no connection to the package index: {CHECK}, then run this again."
    if NOTHING_OFFERED.search(tail):
        return (
            f"There is no connection to the package index, or it has nothing for {here()}: {CHECK}, "
            "then run this again; if they are in order, use another Python."
        )
    if INCOMPLETE.search(tail):
        return "A download arrived incomplete: run this again."
    if UNSUITED.search(tail):
        return f"The package index has no such version for {here()}: run this again with another Python."
    return "Its last lines are below. Fix the cause, then run this again."


def here() -> str:
    """Name what packages have to suit: this Python and its platform."""
    return f"Python {sys.version_info[0]}.{sys.version_info[1]} on {sysconfig.get_platform()}"
