"""The folder of the user that holds everything the bootstrap fetches."""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from .errors import BootstrapError
from .locks import open_lock, try_lock, unlock, wait_lock

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
    # Without a home folder expanduser leaves the ~, where Path.home() would raise.
    home = Path(os.path.expanduser("~"))
    folder = Path(os.path.abspath(cache_folder(os.environ, sys.platform, home)))
    if "~" in folder.parts:
        raise BootstrapError(
            "Expected your user to have a home folder to keep the cache in, but it has none.\n"
            "Set REG_HOME to a folder that you can write to, then run this again."
        )
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


def discard(place: Path) -> None:
    """Remove a file, or a folder and what is in it, if it is there; raises BootstrapError if something of it stays."""
    if place.is_symlink() or place.is_file():
        place.unlink()
    shutil.rmtree(place, ignore_errors=True)
    if os.path.lexists(place):
        raise BootstrapError(
            f"Expected to remove {place}, but part of it is in use or belongs to another user.\n"
            "Close the programs that use it, or delete it by hand, then run this again."
        )


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder while it is being filled; raises BootstrapError if it cannot be locked."""
    with open_lock(folder / ".lock") as handle:
        if not try_lock(handle):
            print(f"Waiting for another run that is filling {folder} ...", flush=True)
            wait_lock(handle)
        try:
            yield
        finally:
            unlock(handle)
