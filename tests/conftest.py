"""The host first on sys.path, the pack under an alias: as ComfyUI loads it, whatever the checkout is called.

ComfyUI owns the top-level names `nodes`, `tests` and `utils`, so the root of this repository must not be importable.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

ROOT = Path(__file__).parent.parent
PACK = "reg_pack"


def load(name: str, location: Path) -> ModuleType:
    """The module or package at ``location``, imported as ``name``."""
    package = [str(location.parent)] if location.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, location, submodule_search_locations=package)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


torch.set_num_threads(1)  # the models are tiny: more threads only get in each other's way
sys.path[:] = [entry for entry in sys.path if Path(entry or os.getcwd()).resolve() != ROOT]
sys.path.append(str(ROOT / "tests"))  # last, so that it hides nothing of the host
load("reg_core", ROOT / "reg_core" / "__init__.py")
load("bootstrap", ROOT / "bootstrap" / "__init__.py")
HOST = os.environ.get("COMFYUI_PATH")
if HOST:
    sys.path.insert(0, HOST)
    from bootstrap.torch_builds import mend_imports

    mend_imports()
    arguments, sys.argv = sys.argv, ["comfyui", "--cpu"]
    import comfy.options

    comfy.options.enable_args_parsing()
    import comfy.cli_args  # noqa: F401  (parsed now, before pytest's own arguments come back)

    sys.argv = arguments
    load(PACK, ROOT / "__init__.py")
    load(f"{PACK}.nodes", ROOT / "nodes" / "__init__.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not HOST and any(item.get_closest_marker("host") for item in items):
        raise pytest.UsageError("tests marked 'host' need ComfyUI: run `python run.py test`, or set COMFYUI_PATH")
