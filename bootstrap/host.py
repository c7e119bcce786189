"""The ComfyUI to run in: the user's own if there is one, otherwise a pinned download."""

import gzip
import json
import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from .archive import HostPin, extract, fetch_archive, found_hash
from .cache import discard
from .errors import BootstrapError
from .installer import Installer

REPOSITORY = Path(os.path.abspath(__file__)).parents[1]
EXPECTED_FILES = ("main.py", "comfyui_version.py", "requirements.txt")
EXPECTED_FOLDERS = ("comfy",)
NAMED_FILES = 3  # of those that a message lists


def read_part(folder: Path, name: str) -> str:
    """Read a text file of the ComfyUI in a folder; raises BootstrapError if it cannot be read."""
    try:
        return (folder / name).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BootstrapError(
            f"Expected to read {name} of the ComfyUI in {folder}, but: {error}.\n"
            "Repair or update that ComfyUI, or set COMFYUI_PATH to another."
        ) from error


def host_version(folder: Path) -> str:
    """Read the version of the ComfyUI in a folder; raises BootstrapError if it does not say one."""
    found = re.search(r"""__version__\s*=\s*["']([^"']+)""", read_part(folder, "comfyui_version.py"))
    if not found:
        raise BootstrapError(
            f"Expected a version in {folder / 'comfyui_version.py'}, but it names none.\n"
            "Repair or update that ComfyUI, or set COMFYUI_PATH to another."
        )
    return found.group(1)


def missing_parts(folder: Path) -> list[str]:
    """List what a folder lacks to be a ComfyUI."""
    folders = [name for name in EXPECTED_FOLDERS if not (folder / name).is_dir()]
    return folders + [name for name in EXPECTED_FILES if not (folder / name).is_file()]


def existing_host(environment: Mapping[str, str], repository: Path) -> Path | None:
    """Find the user's own ComfyUI, if any; raises BootstrapError if COMFYUI_PATH names something else."""
    named = environment.get("COMFYUI_PATH")
    if named:
        folder = Path(os.path.abspath(os.path.expanduser(named)))
        missing = missing_parts(folder)
        if missing:
            raise BootstrapError(
                f"Expected a ComfyUI in COMFYUI_PATH={folder}, but it has no {', '.join(missing)}.\n"
                "Set COMFYUI_PATH to the folder that holds ComfyUI's main.py, or unset it to use the pinned download."
            )
        return folder
    around = repository.parent.parent
    if repository.parent.name == "custom_nodes" and not missing_parts(around):
        return around
    return None


def fetch_host(pin: HostPin, root: Path, installer: Installer) -> Path:
    """Return the folder of a pinned ComfyUI whose every file is as in its archive; raises BootstrapError if it fails.

    What is missing or changed is unpacked again, from a new download if need be. Files that the archive does not hold
    (settings, images, compiled modules) are nobody's business.
    """
    folder = root / "hosts" / f"comfyui-{pin.version}"
    listing = folder.with_name(f"{folder.name}.json")
    hashes = read_listing(listing, pin)
    if folder.is_dir():
        changed = [name for name in hashes if found_hash(folder / name) != hashes[name]]
        if hashes and not changed:
            return folder
        if changed:
            few = ", ".join(changed[:NAMED_FILES]) + (", ..." if len(changed) > NAMED_FILES else "")
            print(f"ComfyUI {pin.version}: {len(changed)} of its files are missing or changed ({few}).")
            print("It is unpacked again.", flush=True)
    archive = fetch_archive(pin, root / "downloads", installer)
    write_listing(listing, pin, unpack_host(archive, folder, pin.version))
    return folder


def read_listing(listing: Path, pin: HostPin) -> dict[str, str]:
    """Read the SHA-256 of each file of a pinned ComfyUI by its name; none if they are not known."""
    try:
        content = json.loads(listing.read_text("utf-8"))
        return dict(content["files"]) if content["archive"] == pin.sha256 else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def write_listing(listing: Path, pin: HostPin, hashes: Mapping[str, str]) -> None:
    """Keep the SHA-256 of each file of a pinned ComfyUI, wholly or not at all."""
    part = listing.with_name(f"{listing.name}.part")
    part.write_text(json.dumps({"archive": pin.sha256, "files": hashes}, indent=0), "utf-8")
    if listing.is_dir():
        discard(listing)
    os.replace(part, listing)


def unpack_host(archive: Path, folder: Path, version: str) -> dict[str, str]:
    """Make a folder hold the ComfyUI of an archive and return the SHA-256 of each file by its name.

    A folder that is not there yet appears whole or not at all; raises BootstrapError if it fails.
    """
    part = folder.with_name(f"{folder.name}.part")
    discard(part)
    fresh = not folder.is_dir()
    place = part if fresh else folder
    try:
        hashes = extract(archive, place)
        missing = missing_parts(place)
        if missing:
            raise BootstrapError(f"Expected a ComfyUI in {archive}, but it holds no {', '.join(missing)}.")
        found = host_version(place)
        if found != version:
            raise BootstrapError(f"Expected ComfyUI {version} in {archive}, but it is {found}.")
        if fresh:
            discard(folder)
            os.replace(part, folder)
        return hashes
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BootstrapError(
            f"Expected to unpack {archive} into {folder}, but: {error}.\n"
            "Nothing of it was kept. Delete the archive, then run this again."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
