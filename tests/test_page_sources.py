"""The page's JavaScript: its types, its style, and the tests of the modules that need no browser."""

from __future__ import annotations

import re
import subprocess

from javascript import ROOT, SCRIPTS, run_node, run_tool

SERVED = {".js", ".mjs", ".md", ".png"}


def assert_passes(ended: subprocess.CompletedProcess[str], advice: str) -> None:
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}\n{advice}"


def test_types_agree() -> None:
    ended = run_tool("typescript/bin/tsc", "--project", "jsconfig.json", "--pretty", "false")
    assert_passes(ended, "Fix what tsc says of web/js; what the host has is declared in tests/js/comfyui.d.ts.")


def test_types_are_checked_in_every_module() -> None:
    listed = run_tool("typescript/bin/tsc", "--project", "jsconfig.json", "--listFilesOnly").stdout
    assert [path.name for path in SCRIPTS.iterdir() if f"/web/js/{path.name}" not in listed] == []


def test_style_is_kept() -> None:
    ended = run_tool("@biomejs/biome/bin/biome", "ci", "--error-on-warnings", "--colors=off")
    assert_passes(ended, "`npm ci`, then `npm run format` mends most of this.")


def test_modules_without_a_browser_pass_their_tests() -> None:
    files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests" / "js").glob("*.test.mjs"))
    ended = run_node("--test", "--test-reporter=tap", *files)
    assert_passes(ended, "Fix the tests that are `not ok` above; `npm test` runs them alone.")
    passed = re.search(r"^# pass (\d+)$", ended.stdout, re.MULTILINE)
    assert passed and int(passed.group(1)) > len(files), ended.stdout


def test_no_line_is_too_long() -> None:
    """The formatter leaves comments and texts as they are."""
    lines = [(path.name, line) for path in SCRIPTS.iterdir() for line in path.read_text("utf-8").splitlines()]
    assert [place for place in lines if len(place[1]) > 120] == []


def test_page_is_served_as_it_is_written() -> None:
    """Without a build step; what checks the sources stands outside of what the host serves."""
    assert [path for path in (ROOT / "web").rglob("*") if path.is_file() and path.suffix not in SERVED] == []
