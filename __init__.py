"""Rectified Gradient Guidance (REG) for ComfyUI."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """The host's way in; the nodes are imported here, so that importing the root alone needs no host."""
    from .nodes import RectifiedGradientGuidance

    return RectifiedGradientGuidance()
