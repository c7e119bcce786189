"""The root of the pack, as the host meets it: which ComfyUI it asks for, and how it knows another copy of itself."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from types import ModuleType

import pytest

from bootstrap.pack import load

ROOT = Path(__file__).parents[1]


@pytest.fixture
def root() -> ModuleType:
    return load("reg_root", ROOT / "__init__.py")


@pytest.mark.parametrize(
    "version", ["0.16", "0.16.0", "0.16rc1", "v0.30.0", "0.30.0.dev1", "0.30.0+git", "0.100", "1", "1.2", " 0.16.3\n"]
)
def test_new_enough_comfyui_is_taken(root: ModuleType, version: str, caplog: pytest.LogCaptureFixture) -> None:
    root.require_comfyui(version)
    assert caplog.records == []


@pytest.mark.parametrize("version", ["0.15.9", "v0.3.64", "0.15rc1", "0.2", "0.9.9+git"])
def test_older_comfyui_is_refused(root: ModuleType, version: str) -> None:
    with pytest.raises(ImportError) as caught:
        root.require_comfyui(version)
    assert str(caught.value) == (
        f"Rectified Gradient Guidance needs ComfyUI 0.16 or newer, this is {version}. Update it."
    )


@pytest.mark.parametrize("version", ["dev", "", "unknown", "git-abc"])
def test_version_that_says_nothing_is_taken_and_logged(
    root: ModuleType, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    root.require_comfyui(version)
    assert caplog.record_tuples == [
        ("root", logging.WARNING, f"could not read ComfyUI's version '{version}'; REG needs 0.16 or newer")
    ]


@pytest.mark.host
def test_comfyui_that_names_no_version_is_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "comfyui_version", ModuleType("comfyui_version"))
    extension = asyncio.run(sys.modules["reg_pack"].comfy_entrypoint())
    assert "REG needs 0.16 or newer" in caplog.text
    assert asyncio.run(extension.get_node_list())


@pytest.mark.host
def test_copies_know_each_other_by_a_node_that_every_copy_has() -> None:
    pack = sys.modules["reg_pack"]
    assert pack.FIRST_NODE in {node.GET_SCHEMA().node_id for node in sys.modules["reg_pack.nodes"].NODES}
    assert pack.OTHER_COPY is None


def test_root_is_imported_without_a_host(root: ModuleType) -> None:
    assert root.other_copy() is None
    assert root.WEB_DIRECTORY == "./web"
