"""The host's KSampler and KSampler (Advanced) with REG built in."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from .host.sampling import Model, ksample
from .inputs import (
    RectifiedNode,
    denoise_input,
    knows_its_id,
    measured_input,
    rectification_inputs,
    sampler_inputs,
    step_inputs,
)

ENABLE, DISABLE = "enable", "disable"


def _model_input() -> io.Model.Input:
    return io.Model.Input("model", tooltip="The model used for denoising the latent image.")


def _sampled_inputs() -> list[io.Input]:
    return [
        io.Conditioning.Input("positive", tooltip="What the image should show."),
        io.Conditioning.Input("negative", tooltip="What to steer away from; an empty prompt is usual."),
        io.Latent.Input("latent_image", tooltip="The latent image to denoise."),
    ]


class RectifiedKSampler(RectifiedNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="REG_KSampler",
            display_name="KSampler (REG)",
            category="REG/sampling",
            description="KSampler with Rectified Gradient Guidance and an optional guidance schedule built in.",
            search_aliases=["REG", "rectified gradient guidance", "sampler"],
            inputs=[
                _model_input(),
                *sampler_inputs(),
                *_sampled_inputs(),
                denoise_input(),
                *rectification_inputs(),
                measured_input(),
            ],
            outputs=[io.Latent.Output(tooltip="The denoised latent.")],
            **knows_its_id(),
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
        return io.NodeOutput(ksample(guided, settings, positive, negative, latent_image, denoise=denoise))


class RectifiedKSamplerAdvanced(RectifiedNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="REG_KSamplerAdvanced",
            display_name="KSampler Advanced (REG)",
            category="REG/sampling",
            description="KSampler (Advanced), to sample only some of the steps, with Rectified Gradient Guidance and "
            "an optional guidance schedule built in.",
            search_aliases=["REG", "rectified gradient guidance", "sampler", "refiner"],
            inputs=[
                _model_input(),
                io.Combo.Input(
                    "add_noise",
                    options=[ENABLE, DISABLE],
                    advanced=True,
                    tooltip="Whether to add noise first. Disable it to continue where another sampler stopped.",
                ),
                *sampler_inputs("noise_seed"),
                *_sampled_inputs(),
                *step_inputs(),
                io.Combo.Input(
                    "return_with_leftover_noise",
                    options=[DISABLE, ENABLE],
                    advanced=True,
                    tooltip="Whether to keep the noise that is left at end_at_step. Enable it if another sampler "
                    "continues.",
                ),
                *rectification_inputs(),
                measured_input(),
            ],
            outputs=[io.Latent.Output(tooltip="The latent after the last sampled step.")],
            **knows_its_id(),
        )

    @classmethod
    def execute(
        cls,
        model: Model,
        add_noise: str,
        noise_seed: int,
        steps: int,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        positive: Any,
        negative: Any,
        latent_image: dict[str, Any],
        start_at_step: int,
        end_at_step: int,
        return_with_leftover_noise: str,
        **rectification: Any,
    ) -> io.NodeOutput:
        guided = cls.guided(model, **rectification)
        settings = (noise_seed, steps, cfg, sampler_name, scheduler)
        part = {
            "disable_noise": add_noise == DISABLE,
            "start_step": start_at_step,
            "last_step": end_at_step,
            "force_full_denoise": return_with_leftover_noise == DISABLE,
        }
        return io.NodeOutput(ksample(guided, settings, positive, negative, latent_image, **part))


NODES: list[type[io.ComfyNode]] = [RectifiedKSampler, RectifiedKSamplerAdvanced]
