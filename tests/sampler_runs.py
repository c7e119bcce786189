"""Runs of tiny real models through the host's own samplers, with REG and without, watched where a test needs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.samplers
import torch
from comfy.patcher_extension import WrappersMP
from comfy_extras import nodes_custom_sampler
from torch import Tensor

import nodes
from reg_pack.nodes.host.derivative.selection import Method
from reg_pack.nodes.host.keys import STOPWATCH_KEY
from reg_pack.nodes.host.sampling import Guidance
from reg_pack.nodes.host.scheduling import ScheduledWeight
from tiny_models import conditioning, empty_latent

STEPS, SEED, CFG = 5, 7, 3.0
Model = Any
ksample: Callable[..., Any] = nodes.common_ksampler  # pyright: ignore[reportAttributeAccessIssue]


def reg(
    model: Model,
    *,
    strength: float = 1.0,
    form: str = "row-sum",
    estimator: str = "reverse",
    start: float = 0.0,
    end: float = 1.0,
    schedule: Any = None,
    refresh: str = "auto",
    checkpointing: str = "auto",
) -> Model:
    if schedule is not None:
        model = ScheduledWeight(schedule).install(model)
    return Guidance(Method(strength, form, estimator, refresh, checkpointing), start, end).install(model)


def sample(
    model: Model, cfg: float = CFG, sampler: str = "euler", positive: Any = None, negative: Any = None
) -> Tensor:
    """The stock KSampler."""
    conds = (positive or conditioning(1), negative or conditioning(2))
    result = nodes.common_ksampler(model, SEED, STEPS, cfg, sampler, "simple", *conds, empty_latent(model))
    return result[0]["samples"]


def relative_error(value: Tensor, expected: Tensor) -> float:
    return float((value - expected).norm() / expected.norm())


def custom(guider: Any, model: Model) -> Tensor:
    noise = nodes_custom_sampler.Noise_RandomNoise(SEED)
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "simple", STEPS)
    arguments = (noise, guider, comfy.samplers.sampler_object("euler"), sigmas, empty_latent(model))
    return nodes_custom_sampler.SamplerCustomAdvanced.execute(*arguments)[0]["samples"]


class Interrupted(Exception):
    pass


def sample_steps(model: Model, steps: int, sampler: str = "euler") -> Tensor:
    conds = conditioning(1), conditioning(2)
    latent = empty_latent(model)
    return ksample(model, SEED, steps, CFG, sampler, "simple", *conds, latent)[0]["samples"]


class Watched:
    """A model of which every evaluation is seen, and something may be put in place of its output.

    The wrapper stands under a key of the pack, so that it does not count as one of another node.
    """

    def __init__(self, model: Model, change: Callable[[Tensor, Tensor], Tensor] = lambda output, x: output) -> None:
        self.rows: list[tuple[float, int]] = []
        self.model = model.clone()

        def see(executor: Callable[..., Tensor], x: Tensor, sigma: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            self.rows.append((float(sigma[0]), x.shape[0]))
            return change(executor(x, sigma, *args, **kwargs), x)

        self.model.add_wrapper_with_key(WrappersMP.APPLY_MODEL, STOPWATCH_KEY, see)

    @property
    def total(self) -> int:
        return sum(rows for _, rows in self.rows)

    @property
    def per_level(self) -> list[int]:
        """Rows at each noise level, noisiest first."""
        levels = dict.fromkeys(level for level, _ in self.rows)
        return [sum(rows for at, rows in self.rows if at == level) for level in levels]


def lora(model: Model, seed: int) -> dict[str, Tensor]:
    weights = model.model.state_dict()
    layer = next(key for key in weights if key.endswith(("mlp.fc1.weight", "ff.net.2.weight")))
    rows, columns = weights[layer].shape
    generator = torch.Generator().manual_seed(seed)
    name = layer.removesuffix(".weight")
    return {
        f"{name}.lora_up.weight": torch.randn(rows, 2, generator=generator),
        f"{name}.lora_down.weight": torch.randn(2, columns, generator=generator),
    }


def auto(model: Model, form: str = "row-sum") -> Model:
    return Guidance(Method(form=form)).install(model)
