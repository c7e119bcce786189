"""The host's KSampler with REG built in."""

from __future__ import annotations

from typing import Any

import comfy.samplers
from comfy_api.latest import io

from .host.sampling import Model, ksample
from .inputs import RectifiedNode, cfg_input, rectification_inputs


class RectifiedKSampler(RectifiedNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="REG_KSampler",
            display_name="KSampler (REG)",
            category="model/sampling",
            description="KSampler with Rectified Gradient Guidance and an optional guidance schedule built in.",
            search_aliases=["REG", "rectified gradient guidance", "sampler"],
            inputs=[
                io.Model.Input("model", tooltip="The model used for denoising the latent image."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="The seed of the noise.",
                ),
                io.Int.Input(
                    "steps", default=20, min=1, max=10000, tooltip="Number of sampling steps; 15 to 40 is usual."
                ),
                cfg_input(),
                io.Combo.Input(
                    "sampler_name", options=comfy.samplers.KSampler.SAMPLERS, tooltip="The sampling algorithm."
                ),
                io.Combo.Input(
                    "scheduler",
                    options=comfy.samplers.KSampler.SCHEDULERS,
                    tooltip="How the noise falls over the steps.",
                ),
                io.Conditioning.Input("positive", tooltip="What the image should show."),
                io.Conditioning.Input("negative", tooltip="What to steer away from; an empty prompt is usual."),
                io.Latent.Input("latent_image", tooltip="The latent image to denoise."),
                io.Float.Input(
                    "denoise",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="1 starts from pure noise; lower values keep more of the latent image (image to image).",
                ),
                *rectification_inputs(),
            ],
            outputs=[io.Latent.Output(tooltip="The denoised latent.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model: Model,
        seed: int,
        steps: int,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        positive: Any,
        negative: Any,
        latent_image: dict[str, Any],
        denoise: float,
        **rectification: Any,
    ) -> io.NodeOutput:
        guided = cls.guided(model, **rectification)
        settings = (seed, steps, cfg, sampler_name, scheduler)
        return io.NodeOutput(ksample(guided, settings, positive, negative, latent_image, denoise))
