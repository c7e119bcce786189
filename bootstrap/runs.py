"""The folders of runs: each run has one of its own, removed at its end; what a killed run left, a later one removes."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .cache import exclusive
from .errors import BootstrapError
from .links import remove_link
from .locks import open_lock, try_lock

PREFIX = "run-"
SERVED = "served"
"""A file in the folder of a run from when on an artist works in it."""
WORK = ("output", "user/default/workflows")
"""Where ComfyUI keeps what an artist saves."""


def log_of(folder: Path) -> Path:
    """Name the file beside the folder of a run that is kept for reading when the run fails."""
    return folder.with_suffix(".log")


def lock_of(folder: Path) -> Path:
    """Name the file beside the folder of a run that is locked as long as the run lives."""
    return folder.with_suffix(".lock")


@contextmanager
def run_folder(root: Path) -> Iterator[Path]:
    """A new folder in the cache for the time of the block; raises BootstrapError if it cannot be locked."""
    runs = root / "runs"
    runs.mkdir(exist_ok=True)
    # Those who look for abandoned folders must never see one whose lock is not taken yet.
    with exclusive(runs):
        remove_abandoned(runs)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=runs))
        lock = open_lock(lock_of(folder))
        try_lock(lock)
    failed = False
    try:
        yield folder
    except Exception:
        failed = True
        raise
    finally:
        kept = keep_work(folder)
        if kept is not None:
            print(f"What you made is kept in {kept}", flush=True)
        remove_folder(folder)
        lock.close()
        lock_of(folder).unlink(missing_ok=True)
        if not failed:
            log_of(folder).unlink(missing_ok=True)


def remove_abandoned(runs: Path) -> None:
    """Remove what runs have left that are no longer alive, as far as it can be removed."""
    for folder in {path.with_suffix("") for path in runs.glob(f"{PREFIX}*")}:
        # What belongs to another user, or is still in use by a server that is about to end, waits for a later run.
        with suppress(OSError, BootstrapError):
            with open_lock(lock_of(folder)) as lock:
                if not try_lock(lock):
                    continue
                keep_work(folder)
                remove_folder(folder)
            log_of(folder).unlink(missing_ok=True)
            if not folder.exists():
                lock_of(folder).unlink()


def keep_work(folder: Path) -> Path | None:
    """Move the images and workflows that an artist has made in a served run out of it; None if there are none."""
    mark = folder / SERVED
    if not mark.is_file():
        return None
    began = mark.stat().st_mtime
    found = [path for part in WORK for path in (folder / part).rglob("*") if path.is_file()]
    made = [path for path in found if path.stat().st_mtime >= began]
    kept = folder.parent.with_name("kept") / folder.name
    for path in made:
        target = kept / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
    return kept if made else None


def remove_folder(folder: Path) -> None:
    """Remove the folder of a run as far as it can be, and never what is linked into it."""
    with suppress(OSError):
        for link in (folder / "custom_nodes").iterdir():
            remove_link(link)
    shutil.rmtree(folder, ignore_errors=True)
