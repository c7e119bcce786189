"""What the host offers to its nodes, and what is offered to the host."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import comfy.samplers
import folder_paths


def sampler_names() -> list[str]:
    """The sampling algorithms, with those that other packs have added so far."""
    return comfy.samplers.KSampler.SAMPLERS


def scheduler_names() -> list[str]:
    """How the noise may fall over the steps, with what other packs have added so far."""
    return comfy.samplers.KSampler.SCHEDULERS


def offer_diffusion_models(folder: Path) -> None:
    """Have the host list the models of a folder in Load Diffusion Model, the host's own way for a pack."""
    folder_paths.add_model_folder_path("diffusion_models", str(folder))


def offer_command(path: str, obey: Callable[[Any], None]) -> None:
    """Have the host's server take commands, JSON that is posted to a path; ValueError refuses one."""
    module: Any = sys.modules.get("server")
    server = getattr(getattr(module, "PromptServer", None), "instance", None)
    if server is None:
        return
    web = module.web

    @server.routes.post(path)
    async def answer(request: Any) -> Any:
        try:
            obey(await request.json())
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({})
