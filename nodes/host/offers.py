"""What the host offers to its nodes, and what is offered to the host."""

from __future__ import annotations

from pathlib import Path

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
