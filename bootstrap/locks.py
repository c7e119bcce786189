"""Locks between runs, which the system opens again when the process that holds one ends, however it ends."""

import errno
import sys
from pathlib import Path
from typing import IO

from .errors import BootstrapError


def open_lock(path: Path) -> IO[bytes]:
    """Open the file of a lock, made if need be; raises BootstrapError if it cannot be opened to be written."""
    try:
        return open(path, "a+b")
    except OSError as error:
        raise BootstrapError(
            f"Expected to open the lock {path}, but: {error.strerror}.\n"
            "It may belong to another user, or a folder may be in its place: remove it, "
            "or set REG_HOME to a folder of your own, then run this again."
        ) from error


def try_lock(handle: IO[bytes]) -> bool:
    """Take a lock unless another run holds it, and tell which; raises BootstrapError if the disk knows no locks."""
    try:
        _lock_now(handle)
    except OSError as error:
        if error.errno in TAKEN:
            return False
        raise BootstrapError(
            f"Expected to lock {handle.name}, but: {error.strerror}.\n"
            "A network drive may know no locks: set REG_HOME to a folder of this machine, then run this again."
        ) from error
    return True


if sys.platform == "win32":
    import msvcrt
    import time

    TAKEN = {errno.EACCES, errno.EDEADLK}

    def _lock_now(handle: IO[bytes]) -> None:
        handle.seek(0)
        msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)

    def wait_lock(handle: IO[bytes]) -> None:
        """Wait until a lock is free and take it."""
        while not try_lock(handle):
            time.sleep(1)

    def unlock(handle: IO[bytes]) -> None:
        """Let go of a lock."""
        handle.seek(0)
        msvcrt.locking(handle.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    TAKEN = {errno.EWOULDBLOCK, errno.EAGAIN}

    def _lock_now(handle: IO[bytes]) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def wait_lock(handle: IO[bytes]) -> None:
        """Wait until a lock is free and take it."""
        fcntl.flock(handle, fcntl.LOCK_EX)

    def unlock(handle: IO[bytes]) -> None:
        """Let go of a lock."""
        fcntl.flock(handle, fcntl.LOCK_UN)
