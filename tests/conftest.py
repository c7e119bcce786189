"""The host first on sys.path and the pack under an alias, as ComfyUI loads it, whatever the checkout is called."""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def import_at(folder: Path) -> None:
    """Import a package by its location: ComfyUI owns names like `nodes` and `tests`, so the root is not on the path."""
    spec = importlib.util.spec_from_file_location(
        folder.name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None
    sys.modules[folder.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[folder.name])


import_at(ROOT / "bootstrap")

from bootstrap.pack import forget_repository, import_pack  # noqa: E402
from bootstrap.torch_builds import mend_imports  # noqa: E402

HOST = os.environ.get("COMFYUI_PATH")
pytest_plugins = ["browser", "workflows"]
forget_repository()
sys.path.append(str(ROOT / "tests"))  # last, so that it hides nothing of the host
# The models are tiny: more threads only get in each other's way, and badly where tests run side by side.
os.environ["OMP_NUM_THREADS"] = "1"  # also for the processes that tests start


def import_tested() -> None:
    """Import torch, the mathematics alone, and the host with the pack."""
    mend_imports()
    import torch

    torch.set_num_threads(1)
    import_at(ROOT / "reg_core")
    if HOST:
        import_pack(Path(HOST))


def pytest_configure(config: pytest.Config) -> None:
    """Import what is tested, except in the process that only hands the tests to others (xdist)."""
    distributing = getattr(config.option, "dist", "no") != "no" and not config.option.collectonly
    if distributing and not hasattr(config, "workerinput"):
        return
    import_tested()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not HOST and any(item.get_closest_marker(name) for item in items for name in ("host", "browser")):
        raise pytest.UsageError(
            "tests marked 'host' or 'browser' need ComfyUI: run `python run.py test`, or set COMFYUI_PATH"
        )


def pytest_collection_finish() -> None:
    """Let no collection of garbage look again at what was imported: that took a tenth of the time of the tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def inference_mode() -> Iterator[None]:
    """Every node of the host runs inside inference mode."""
    import torch

    with torch.inference_mode():
        yield
