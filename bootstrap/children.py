"""Programs that take over the terminal from the bootstrap until they end."""

import signal
import subprocess
from collections.abc import Mapping, Sequence
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
