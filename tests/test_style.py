"""What keeps the pack in one piece: its floor, its import rules, and ruff."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from bootstrap.pack import load

ROOT = Path(__file__).parents[1]


def test_older_comfyui_is_named() -> None:
    pack = load("reg_root", ROOT / "__init__.py")
    for version in ("0.16.0", "0.16.3", "0.30.0", "1.2"):
        pack.require_comfyui(version)
    with pytest.raises(ImportError, match="this is 0.15.9"):
        pack.require_comfyui("0.15.9")


def test_core_imports_only_torch_numpy_and_the_standard_library() -> None:
    allowed = set(sys.stdlib_module_names) | {"torch", "numpy"}
    for path in (ROOT / "reg_core").glob("*.py"):
        for statement in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(statement, ast.Import):
                names = [alias.name for alias in statement.names]
            elif isinstance(statement, ast.ImportFrom) and statement.level == 0:
                names = [statement.module or ""]
            else:
                continue
            assert {name.split(".")[0] for name in names} <= allowed, path.name


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
