"""The host first on sys.path and the pack under an alias, as ComfyUI loads it, whatever the checkout is called."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent

# The models are tiny: more threads only get in each other's way, and badly where two test runs share the processors.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # for the servers that tests start

# ComfyUI owns the top-level names `nodes` and `tests`, so the folders of this repository are imported by location.
for name in ("bootstrap", "reg_core"):
    spec = importlib.util.spec_from_file_location(
        name, ROOT / name / "__init__.py", submodule_search_locations=[str(ROOT / name)]
    )
    assert spec is not None and spec.loader is not None
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])

from bootstrap.pack import forget_repository, import_pack  # noqa: E402
from bootstrap.torch_builds import mend_imports  # noqa: E402

HOST = os.environ.get("COMFYUI_PATH")
pytest_plugins = ["browser", "workflows"]
forget_repository()
sys.path.append(str(ROOT / "tests"))  # last, so that it hides nothing of the host
mend_imports()
if HOST:
    import_pack(Path(HOST))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not HOST and any(item.get_closest_marker(name) for item in items for name in ("host", "browser")):
        raise pytest.UsageError(
            "tests marked 'host' or 'browser' need ComfyUI: run `python run.py test`, or set COMFYUI_PATH"
        )
