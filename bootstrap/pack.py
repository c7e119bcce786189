"""The pack in this process, beside a ComfyUI without a server: for tests and benchmarks."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

from .host import REPOSITORY
from .torch_builds import mend_imports

ALIAS = "reg_pack"


def load(name: str, location: Path) -> ModuleType:
    """Import the module or package at a location under a name of its own."""
    package = [str(location.parent)] if location.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, location, submodule_search_locations=package)
    if spec is None or spec.loader is None:
        raise ImportError(f"{location} is no Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def forget_repository() -> None:
    """Take the repository off the import path: its `nodes` and `tests` would hide ComfyUI's own."""
    sys.path[:] = [entry for entry in sys.path if Path(entry or os.getcwd()).resolve() != REPOSITORY]


def import_pack(host: Path, arguments: tuple[str, ...] = ("--cpu",)) -> None:
    """Import ComfyUI, first on the path, and this pack as the package `reg_pack`, as ComfyUI itself loads it."""
    forget_repository()
    sys.path.insert(0, str(host))
    mend_imports()
    # ComfyUI reads the command line when it is imported.
    own, sys.argv = sys.argv, ["comfyui", *arguments]
    try:
        import comfy.options

        comfy.options.enable_args_parsing()
        importlib.import_module("comfy.cli_args")
    finally:
        sys.argv = own
    load(ALIAS, REPOSITORY / "__init__.py")
    load(f"{ALIAS}.nodes", REPOSITORY / "nodes" / "__init__.py")
