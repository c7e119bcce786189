"""Makes torchvision and torchaudio importable where they were built for another torch than the one installed."""

import importlib
import importlib.machinery
import sys
import types

# Operators that the native library of torchvision would define, had it been loadable.
TORCHVISION_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

_kept_alive: list[object] = []


def mend_imports() -> list[str]:
    """Import torchvision and torchaudio, replace what fails to load, and name the packages that needed it."""
    mended = []
    if not _imports("torchvision"):
        _declare_operators()
        importlib.import_module("torchvision")
        mended.append("torchvision")
    if not _imports("torchaudio"):
        _stand_in("torchaudio", ("functional", "transforms"))
        mended.append("torchaudio")
    return mended


def has_gpu() -> bool:
    """Tell whether torch can compute on something else than the CPU."""
    import torch

    mps = getattr(torch.backends, "mps", None)
    xpu = getattr(torch, "xpu", None)
    return bool(torch.cuda.is_available() or (mps and mps.is_available()) or (xpu and xpu.is_available()))


def _imports(name: str) -> bool:
    if name in sys.modules:
        return True
    try:
        importlib.import_module(name)
    except (ImportError, OSError, RuntimeError):
        # What a failed import leaves behind would be taken for loaded by the next one.
        for module in [module for module in sys.modules if module.split(".")[0] == name]:
            del sys.modules[module]
        return False
    return True


def _declare_operators() -> None:
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for operator in TORCHVISION_OPERATORS:
        library.define(operator)
    _kept_alive.append(library)


def _stand_in(name: str, parts: tuple[str, ...]) -> None:
    package = types.ModuleType(name, "A stand-in for a package that cannot be loaded here.")
    package.__path__ = []
    package.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
    sys.modules[name] = package
    for part in parts:
        module = types.ModuleType(f"{name}.{part}")
        module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)
        sys.modules[module.__name__] = module
        setattr(package, part, module)
