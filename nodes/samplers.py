"""The host's KSampler with REG built in."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from .host.sampling import Model, ksample
from .inputs import KNOWS_ITS_ID, RectifiedNode, denoise_input, rectification_inputs, sampler_inputs


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
                *sampler_inputs(),
                io.Conditioning.Input("positive", tooltip="What the image should show."),
                io.Conditioning.Input("negative", tooltip="What to steer away from; an empty prompt is usual."),
                io.Latent.Input("latent_image", tooltip="The latent image to denoise."),
                denoise_input(),
                *rectification_inputs(),
            ],
            outputs=[io.Latent.Output(tooltip="The denoised latent.")],
            **KNOWS_ITS_ID,
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
