"""What keeps the pack in one piece: what each folder may import, ruff and pyright, everywhere in the same version."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


STANDARD = set(sys.stdlib_module_names)
NODES_API = "comfy_api.latest"
"""The host's public interface for nodes; what else the host has is behind nodes/host/."""


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports by its full name, also within functions."""
    for statement in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom) and statement.level == 0:
            yield statement.module or ""


@pytest.mark.parametrize("path", (ROOT / "reg_core").rglob("*.py"), ids=lambda path: path.stem)
def test_core_imports_only_torch_numpy_and_the_standard_library(path: Path) -> None:
    assert {name.split(".")[0] for name in imported(path)} <= STANDARD | {"torch", "numpy"}


OUTSIDE_HOST = [path for path in (ROOT / "nodes").rglob("*.py") if ROOT / "nodes" / "host" not in path.parents]


@pytest.mark.parametrize("path", OUTSIDE_HOST, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_nodes_import_nothing_of_the_host_but_its_interface(path: Path) -> None:
    others = [name for name in imported(path) if name != NODES_API]
    assert {name.split(".")[0] for name in others} <= STANDARD | {"torch", "numpy", "safetensors", "PIL"}


@pytest.mark.parametrize("folder", ["reg_core", "nodes"])
def test_imports_inside_the_pack_are_relative(folder: str) -> None:
    """The host imports the pack under a name of its own choosing."""
    for path in (ROOT / folder).rglob("*.py"):
        for statement in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(statement, ast.ImportFrom) and statement.level == 0:
                assert (statement.module or "").split(".")[0] not in {"reg_core", "nodes"}, path.name


@pytest.mark.parametrize("command", [("check",), ("format", "--check")])
def test_code_is_clean(command: tuple[str, ...]) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--no-cache", str(ROOT)], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_types_are_right() -> None:
    """Pyright brings its own node where there is none, and would else ask the index for a newer pyright."""
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable]
    offline = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    result = subprocess.run(command, cwd=ROOT, env=offline, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_checks_before_a_commit_have_the_versions_of_the_tests() -> None:
    """Those of .pre-commit-config.yaml, and of the `test` extra and package.json."""
    hooks = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    pinned = re.findall(r"/(ruff|pyright)[\w-]*\n\s+rev: v(\S+)", hooks)
    pinned += re.findall(r'"@biomejs/(biome)@([^"]+)"', hooks)
    tools = "".join((ROOT / name).read_text("utf-8") for name in ("pyproject.toml", "package.json"))
    of_tests = re.findall(r'"(?:@biomejs/)?(ruff|pyright|biome)(?:\[\w+\])?(?:==|": ")([^"]+)"', tools)
    assert sorted(pinned) == sorted(of_tests)
    assert len(pinned) == 3


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs", "web/docs", "playground"])
def test_links_of_the_documents_lead_somewhere(name: str) -> None:
    pages = [ROOT / name] if name.endswith(".md") else sorted((ROOT / name).glob("*.md"))
    assert pages
    for page in pages:
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8")):
            assert link.startswith("https://") or (page.parent / link).exists(), f"{page.name}: {link}"


def test_places_that_the_architecture_names_are_in_the_code() -> None:
    """A new reader finds from the table the line of the equation, of the decision and of the chart."""
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8").split("## One step")[0]
    rows = re.findall(r"\| `([\w/.]+\.(?:py|js))`: (.+) \|", page)
    assert {"reg_core/rectification.py", "reg_core/refresh.py", "web/js/inspector.js"} <= {path for path, _ in rows}
    for path, names in rows:
        code = (ROOT / path).read_text("utf-8")
        for name in re.findall(r"`([\w.]+)`", names):
            for part in name.split("."):
                assert re.search(rf"^\s*(def|class|function) {part}\b", code, re.MULTILINE), f"{path}: {name}"
