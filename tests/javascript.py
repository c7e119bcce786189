"""The page's JavaScript outside a browser: modules that need none, and the tools of package.json, run by Node.js."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bootstrap.cache import open_cache
from bootstrap.errors import BootstrapError
from bootstrap.node import NO_NODE, NO_TOOLS, find_node, tools_folder

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "web" / "js"


def run_node(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run Node.js in the repository with a text as its input; fails the test where there is no Node.js."""
    try:
        node = find_node(os.environ)
    except BootstrapError as error:
        pytest.fail(str(error))
    if node is None:
        pytest.fail(NO_NODE)
    return subprocess.run([node, *arguments], cwd=ROOT, input=text, capture_output=True, encoding="utf-8")


def run_tool(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the tools in the cache; fails the test where they are not there."""
    folder = tools_folder(open_cache())
    if not folder.is_dir():
        pytest.fail(NO_TOOLS.format(folder=folder))
    return run_node(str(folder / "node_modules" / script), *arguments)


def evaluate(module: str, function: str, argument: Any = None) -> Any:
    """The JSON value of a JavaScript function of a module of the page and an argument."""
    code = f"""
        import * as module from {json.dumps((SCRIPTS / module).as_uri())}
        let text = ""
        for await (const part of process.stdin.setEncoding("utf8")) text += part
        console.log(JSON.stringify(({function})(module, JSON.parse(text))))
    """
    ended = run_node("--input-type=module", "--eval", code, text=json.dumps(argument))
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)
