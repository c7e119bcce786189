"""Rectified Gradient Guidance (REG) for ComfyUI."""

import logging
import os
import re
import sys

OLDEST_COMFYUI = (0, 16)
FIRST_NODE = "REG_Guidance"


def require_comfyui(version: str) -> None:
    """Raises ImportError, which the host logs, if this ComfyUI is older than the pack's floor."""
    found = re.match(r"\s*v?(\d+)(?:\.(\d+))?", version)
    if not found:
        logging.warning("could not read ComfyUI's version '%s'; REG needs 0.16 or newer", version)
    elif (int(found[1]), int(found[2] or 0)) < OLDEST_COMFYUI:
        raise ImportError(f"Rectified Gradient Guidance needs ComfyUI 0.16 or newer, this is {version}. Update it.")


def other_copy() -> str | None:
    """The folder of another copy of this pack whose nodes the host has already, if there is one."""
    # Importing the root alone needs no host, so the host is asked only where it is loaded.
    node = getattr(sys.modules.get("nodes"), "NODE_CLASS_MAPPINGS", {}).get(FIRST_NODE)
    root = sys.modules.get(node.__module__.partition(".nodes.")[0]) if node else None
    if root is None or root.__name__ == __name__ or not root.__file__:
        return None
    return os.path.dirname(os.path.abspath(root.__file__))


OTHER_COPY = other_copy()
# The host serves the scripts of a pack as soon as it is imported; those of two copies would meet in the page.
WEB_DIRECTORY = None if OTHER_COPY else "./web"


async def comfy_entrypoint():
    """The host's way in; the nodes are imported here, so that importing the root alone needs no host."""
    if OTHER_COPY:
        here = os.path.dirname(os.path.abspath(__file__))
        raise ImportError(
            f"Rectified Gradient Guidance is installed twice, in {OTHER_COPY} and in {here}. "
            "Only the first is used: remove one of the two folders, then restart ComfyUI."
        )
    try:
        from comfyui_version import __version__
    except ImportError:
        __version__ = "unknown"
    require_comfyui(__version__)
    from .nodes import RectifiedGradientGuidance

    return RectifiedGradientGuidance()
