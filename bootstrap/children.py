"""Programs that take over the terminal from the bootstrap until they end."""

import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType


def hand_over(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> int:
    """Run a command in a folder and return its exit code; interruptions are left to it and termination is passed on."""
    process = subprocess.Popen(list(command), cwd=folder, env=dict(environment))

    def pass_on(number: int, frame: FrameType | None) -> None:
        process.terminate()

    previous = signal.signal(signal.SIGTERM, pass_on)
    try:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                # The terminal has sent the same interruption to the child, which ends by itself.
                continue
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def beside(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    """A command that runs during the block with its output in a file, and is ended with the block if it still runs."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as output:
        process = subprocess.Popen(
            list(command), cwd=folder, env=dict(environment), stdout=output, stderr=subprocess.STDOUT
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
