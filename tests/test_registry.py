"""What the Comfy registry gets: who publishes it, and an archive that holds what an artist needs and nothing more."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from pathspec import GitIgnoreSpec
from workflows import images, playground, stock

from bootstrap.errors import BootstrapError
from bootstrap.registry import require_publishable
from bootstrap.server import PACK_NAME, ComfyServer

ROOT = Path(__file__).parents[1]
LARGEST = 6_500_000  # bytes of the archive; the two models of the playground are 2 MB each
# What the scanner of the registry flags: "command injection", "network operations", "environment manipulation".
FLAGGED = re.compile(
    r"\b(?:subprocess|urllib|requests|aiohttp|socket|pip|environ|getenv|ctypes|pickle)\b|\b(?:eval|exec)\("
)
PROJECT = """
[project]
version = "1.2.3"
[project.urls]
Repository = "https://github.com/someone/something"
[tool.comfy]
PublisherId = "someone"
"""
CHANGES = "# Changelog\n\n## 1.2.3 (2026-11-25)\n"


@pytest.mark.parametrize("tag", ["", "1.2.3"])
def test_whole_project_may_be_published(tag: str) -> None:
    assert require_publishable(PROJECT, CHANGES, tag) == "1.2.3"


@pytest.mark.parametrize(
    ("given", "changed", "complaint"),
    [
        ('PublisherId = "someone"', "", r"PublisherId in \[tool.comfy\].* got ''"),
        ('PublisherId = "someone"', 'PublisherId = ""', r"PublisherId in \[tool.comfy\].* got ''"),
        ('PublisherId = "someone"', 'PublisherId = "your-publisher-id"', "got 'your-publisher-id'"),
        ('Repository = "https://github.com/someone/something"', "", r"Repository in \[project.urls\].* got ''"),
        ("github.com/someone", "github.com/username", "got 'https://github.com/username/something'"),
        ("[project.urls]", "[tool.else]", r"Repository in \[project.urls\].* got ''"),
        ('"1.2.3"', '"1.2"', r"version in \[project\].* got '1.2'"),
        ('"1.2.3"', '"1.2.4"', "a section '## 1.2.4' in CHANGELOG.md"),
    ],
)
def test_placeholder_is_refused(given: str, changed: str, complaint: str) -> None:
    assert given in PROJECT
    with pytest.raises(BootstrapError, match=rf"Expected {complaint}|Expected .*{complaint}"):
        require_publishable(PROJECT.replace(given, changed), CHANGES)


def test_other_tag_is_refused() -> None:
    with pytest.raises(BootstrapError, match=r"Expected the tag of version 1.2.3, but got '1.2.2'"):
        require_publishable(PROJECT, CHANGES, "1.2.2")


def test_newest_release_of_the_changelog_is_the_version() -> None:
    project, changelog = ((ROOT / name).read_text("utf-8") for name in ("pyproject.toml", "CHANGELOG.md"))
    versions = re.findall(r"^## (\d\S*)", changelog, re.MULTILINE)
    assert f'\nversion = "{versions[0]}"\n' in project


def ignored(name: str) -> GitIgnoreSpec:
    return GitIgnoreSpec.from_lines((ROOT / name).read_text("utf-8").splitlines())


def tracked_files() -> list[str]:
    """The files that git tracks; in a checkout without git all that it would not ignore."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode == 0:
        return [name for name in listed.stdout.split("\0") if (ROOT / name).is_file()]
    found = (path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if path.is_file())
    return [name for name in found if not name.startswith(".git/") and not ignored(".gitignore").match_file(name)]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive as the registry makes it: what git tracks, less what .comfyignore names."""
    path, left_out = tmp_path_factory.mktemp("registry") / "node.zip", ignored(".comfyignore")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in tracked_files():
            if not left_out.match_file(name):
                packed.write(ROOT / name, name)
    return path


@pytest.fixture(scope="module")
def installed(archive: Path) -> Path:
    """The archive unpacked, in a folder of the pack's name."""
    folder = archive.parent / PACK_NAME
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    return folder


def test_archive_holds_what_an_artist_needs_only(archive: Path, installed: Path) -> None:
    assert {path.name for path in installed.iterdir()} == {
        *("__init__.py", "nodes", "reg_core", "web", "locales", "example_workflows", "playground"),
        *("README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "requirements.txt"),
    }
    kept = {path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_file()}
    folders = ("nodes", "reg_core", "web", "locales", "example_workflows")
    assert kept >= {name for name in tracked_files() if name.startswith(tuple(f"{folder}/" for folder in folders))}
    assert {name for name in kept if name.startswith("playground/")} == {
        "playground/MODEL_CARD.md",
        "playground/emoji/MODEL_CARD.md",
        "playground/reg_playground_digits.safetensors",
        "playground/reg_playground_emoji.safetensors",
    }
    assert archive.stat().st_size < LARGEST


def test_scanner_of_the_registry_finds_nothing(installed: Path) -> None:
    found = [
        f"{path.relative_to(installed)}:{number}: {line.strip()}"
        for path in sorted(installed.rglob("*.py"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if FLAGGED.search(line)
    ]
    assert found == []


def test_validation_before_publishing_finds_nothing(installed: Path, tmp_path: Path) -> None:
    """The registry's own check, which tells nobody of itself and keeps its settings in a folder of this test."""
    command = [sys.executable, "-m", "comfy_cli", "--skip-prompt", "--no-enable-telemetry", "node", "validate"]
    home = {name: str(tmp_path) for name in ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "XDG_CONFIG_HOME")}
    checked = subprocess.run(command, cwd=installed, env={**os.environ, **home}, capture_output=True, text=True)
    assert checked.returncode == 0 and "All validation checks passed" in checked.stderr, checked.stdout + checked.stderr


@pytest.fixture(scope="module")
def packs(installed: Path) -> list[Path]:
    """The pack of the archive, which the server then has in the place of this checkout."""
    assert installed.name == PACK_NAME
    return [installed]


@pytest.mark.host
def test_host_loads_the_whole_pack_from_the_archive(server: ComfyServer) -> None:
    from reg_pack.nodes import NODES

    known, shown = server.get("/object_info"), [node.GET_SCHEMA() for node in NODES]
    assert {name for name in known if name.startswith("REG_")} == {schema.node_id for schema in shown}
    for schema in shown:
        if not schema.is_dev_only:
            page = server.read(f"/extensions/{PACK_NAME}/docs/{schema.node_id}.md").decode("utf-8")
            assert page.startswith(f"# {schema.display_name}\n")
    texts = server.get("/i18n")
    for language in (path.name for path in (ROOT / "locales").iterdir()):
        assert "REG_Guidance" in texts[language]["nodeDefs"], language
    workflows = {path.stem for path in (ROOT / "example_workflows").glob("*.json")}
    assert workflows == set(server.get("/workflow_templates")[PACK_NAME])
    scripts = {path.relative_to(ROOT / "web").as_posix() for path in (ROOT / "web" / "js").rglob("*.js")}
    assert {f"/extensions/{PACK_NAME}/{name}" for name in scripts} <= set(server.get("/extensions"))


@pytest.mark.host
def test_playground_of_the_archive_draws(server: ComfyServer) -> None:
    (drawn,) = images(server, playground() | {"k": stock("reg")}, "k")
    assert drawn.shape == (2, 64, 64, 3) and drawn.std() > 20
