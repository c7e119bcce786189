"""The folder of the user that holds everything the bootstrap fetches."""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .errors import BootstrapError

FOLDER_NAME = "comfyui-reg"
GIGABYTE = 1000**3


def cache_folder(environment: Mapping[str, str], platform: str, home: Path) -> Path:
    """Name the cache folder that these environment variables, platform (as sys.platform) and home folder give."""
    chosen = environment.get("REG_HOME")
    if chosen:
        return Path(os.path.abspath(os.path.expanduser(chosen)))
    if platform == "win32":
        local = environment.get("LOCALAPPDATA")
        return (Path(local) if local else home / "AppData" / "Local") / FOLDER_NAME
    if platform == "darwin":
        return home / "Library" / "Caches" / FOLDER_NAME
    shared = environment.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else home / ".cache") / FOLDER_NAME


def open_cache() -> Path:
    """Create the cache folder of this user and return it; raises BootstrapError if it cannot be written."""
    folder = cache_folder(os.environ, sys.platform, Path.home())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise BootstrapError(
            f"Expected to write to the cache folder {folder}, but: {error}.\n"
            "Set REG_HOME to a folder that you can write to, then run this again."
        ) from error
    return folder


def require_space(folder: Path, needed: int) -> None:
    """Raise BootstrapError unless the disk of this folder has so many bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise BootstrapError(
            f"Expected about {needed / GIGABYTE:.1f} GB free for {folder}, but there are {free / GIGABYTE:.1f} GB.\n"
            "Free some space, or set REG_HOME to a folder on another disk, then run this again."
        )


def discard(folder: Path) -> None:
    """Remove a folder and what is in it, if it is there; raises BootstrapError if something of it stays."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        raise BootstrapError(
            f"Expected to remove the unfinished folder {folder}, but part of it is in use.\n"
            "Close the programs that use it, or delete it by hand, then run this again."
        )


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Keep other runs out of the cache while it is being filled; the system lets go if this process dies."""
    with open(folder / ".lock", "a+b") as handle:
        if not _try_lock(handle):
            print("Waiting for another run that is filling the cache ...", flush=True)
            _wait_lock(handle)
        try:
            yield
        finally:
            _unlock(handle)


if sys.platform == "win32":
    import msvcrt
    import time

    def _try_lock(handle: IO[bytes]) -> bool:
        try:
            handle.seek(0)
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _wait_lock(handle: IO[bytes]) -> None:
        while not _try_lock(handle):
            time.sleep(1)

    def _unlock(handle: IO[bytes]) -> None:
        handle.seek(0)
        msvcrt.locking(handle.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(handle: IO[bytes]) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _wait_lock(handle: IO[bytes]) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX)

    def _unlock(handle: IO[bytes]) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)
