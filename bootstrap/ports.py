"""Ports of the loopback."""

import os
import socket

from .errors import BootstrapError

LOOPBACK = "127.0.0.1"


def claim_port(port: int | None) -> int:
    """Return the port asked for, or a free one; raises BootstrapError if the one asked for cannot be had."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        if os.name == "posix":
            # A port that merely waits for the last packets of an earlier server is free.
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((LOOPBACK, port or 0))
        except (OSError, OverflowError) as error:
            raise BootstrapError(
                f"Expected port {port} of {LOOPBACK} to be free, but: {error}.\n"
                "Stop the program that uses it, or choose another with --port (without it, a free one is found)."
            ) from error
        return trial.getsockname()[1]
