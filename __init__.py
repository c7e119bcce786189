"""Rectified Gradient Guidance (REG) for ComfyUI."""

WEB_DIRECTORY = "./web"
OLDEST_COMFYUI = (0, 16)


def require_comfyui(version: str) -> None:
    """Raises ImportError, which the host logs, if this ComfyUI is older than the pack's floor."""
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_COMFYUI:
        raise ImportError(f"Rectified Gradient Guidance needs ComfyUI 0.16 or newer, this is {version}. Update it.")


async def comfy_entrypoint():
    """The host's way in; the nodes are imported here, so that importing the root alone needs no host."""
    from comfyui_version import __version__

    require_comfyui(__version__)
    from .nodes import RectifiedGradientGuidance

    return RectifiedGradientGuidance()
