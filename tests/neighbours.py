"""What other packs do with a MODEL, imitated by patches of our own that use the host's hooks in the same ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import comfy.model_patcher
import comfy.sampler_helpers
import comfy.samplers
import torch
from comfy.ldm.modules.attention import attention_pytorch
from comfy.patcher_extension import CallbacksMP, WrappersMP
from torch import Tensor

Model = Any
OVERRIDE = "optimized_attention_override"


def couple_attention(model: Model, scale: float = 3.0) -> Model:
    """Attention of the positive is pushed from that of the negative where both share a batch (NAG of several packs)."""

    def couple(func: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        output = func(*args, **kwargs)
        sides = (kwargs.get("transformer_options") or {}).get("cond_or_uncond", [])
        if sorted(sides) != [0, 1]:
            return output
        parts = dict(zip(sides, output.chunk(2), strict=True))
        parts[0] = parts[1] + scale * (parts[0] - parts[1])
        return torch.cat([parts[side] for side in sides])

    model = model.clone()
    model.model_options["transformer_options"][OVERRIDE] = couple
    return model


def couple_outputs(model: Model, share: float = 0.2) -> Model:
    """Every prediction is drawn to the mean of its batch (EnhanceAVideo takes its scores over the batch)."""

    def couple(apply_model: Callable[..., Tensor], options: dict[str, Any]) -> Tensor:
        output = apply_model(options["input"], options["timestep"], **options["c"])
        return output + share * (output.mean(0, keepdim=True) - output)

    model = model.clone()
    model.set_model_unet_function_wrapper(couple)
    return model


def detached_attention(func: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
    """A kernel without a derivative, slightly coarser than PyTorch's (sage, int8, block-sparse attention)."""
    with torch.no_grad():
        plain = [torch.autograd.forward_ad.unpack_dual(arg.detach()).primal for arg in args[:3]]
        output = attention_pytorch(*plain, *args[3:], **kwargs).detach()
        return output * (1 + 2e-2 * torch.sin(50 * output))


def install_at_every_evaluation(model: Model) -> Model:
    """The override is put in place again by the host's callback before every evaluation (BlockSparseAttention)."""

    def install(patcher: Model, sigma: Tensor, *options: dict[str, Any]) -> None:
        for given in options or (patcher.model_options,):
            given["transformer_options"][OVERRIDE] = detached_attention

    model = model.clone()
    model.add_callback_with_key(CallbacksMP.ON_PREPARE_STATE, "neighbour", install)
    return model


def install_around_the_network(model: Model) -> Model:
    """The override is put in place by a wrapper of the network itself, where the family calls it."""

    def wrap(executor: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        for options in (value for value in (*args, *kwargs.values()) if isinstance(value, dict)):
            if "cond_or_uncond" in options:
                options[OVERRIDE] = detached_attention
        return executor(*args, **kwargs)

    model = model.clone()
    model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "neighbour", wrap)
    return model


def forget_the_gradient(model: Model) -> Model:
    """A part of the network runs under no_grad, as patches with that decorator do: its gradient is lost."""

    def forget(executor: Callable[..., Tensor], x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        output = executor(x, *args, **kwargs)
        return output + (output.detach() - output) * 0.7

    model = model.clone()
    model.add_wrapper_with_key(WrappersMP.APPLY_MODEL, "neighbour", forget)
    return model


def sub_windows(model: Model, count: int = 2) -> Model:
    """Windows over the height, each asked for by itself, told in an entry of the options of its own (``ad_params``)."""

    def windowed(
        executor: Callable[..., Any], model: Any, conds: Any, x: Tensor, sigma: Tensor, options: dict[str, Any]
    ) -> list[Tensor]:
        params = options["transformer_options"].setdefault("ad_params", {})
        outputs = []
        for index, part in enumerate(x.chunk(count, dim=2)):
            params["sub_idxs"] = list(range(index * part.shape[2], (index + 1) * part.shape[2]))
            outputs.append(executor(model, conds, part, sigma, options))
        return [torch.cat(parts, dim=2) for parts in zip(*outputs, strict=True)]

    model = model.clone()
    key = WrappersMP.CALC_COND_BATCH
    model.wrappers[key] = {"neighbour": [windowed], **model.wrappers.get(key, {})}  # outside those that are there
    return model


class MergingGuider(comfy.samplers.CFGGuider):
    """Samples with one MODEL and merges the wrappers of a second one into the run, as guiders of two models do."""

    def __init__(self, model: Model, second: Model) -> None:
        super().__init__(model)
        self.second = second

    def sample(self, *args: Any, **kwargs: Any) -> Tensor:
        before = self.model_options
        self.model_options = comfy.model_patcher.create_model_options_clone(before)
        try:
            conds = {name: [cond.copy() for cond in conds] for name, conds in self.original_conds.items()}
            comfy.sampler_helpers.prepare_model_patcher(self.second, conds, self.model_options)
            return super().sample(*args, **kwargs)
        finally:
            self.model_options = before


def multiply_the_negative(model: Model, factor: float = 0.0) -> Model:
    """A pre-CFG function that overwrites the negative prediction in place."""

    def multiply(args: dict[str, Any]) -> list[Tensor]:
        args["conds_out"][1] *= factor
        return args["conds_out"]

    model = model.clone()
    model.set_model_sampler_pre_cfg_function(multiply)
    return model


def put_back(model: Model) -> Model:
    """A pre-CFG function that evaluates the model once more and gives the plain predictions."""

    def plain(args: dict[str, Any]) -> list[Tensor]:
        options = {"transformer_options": {"sample_sigmas": args["sigma"]}}
        return comfy.samplers._calc_cond_batch(args["model"], args["conds"], args["input"], args["sigma"], options)

    model = model.clone()
    model.set_model_sampler_pre_cfg_function(plain)
    return model


def ask_one_at_a_time(model: Model) -> Model:
    """The two predictions are asked for one by one, each with the other left out (SkipLayerGuidanceDiTSimple)."""

    def ask(args: dict[str, Any]) -> list[Tensor]:
        (positive, negative), rest = args["conds"], (args["input"], args["sigma"], args["model_options"])
        if negative is None:
            return comfy.samplers.calc_cond_batch(args["model"], args["conds"], *rest)
        positive_out, _ = comfy.samplers.calc_cond_batch(args["model"], [positive, None], *rest)
        _, negative_out = comfy.samplers.calc_cond_batch(args["model"], [None, negative], *rest)
        return [positive_out, negative_out]

    model = model.clone()
    model.set_model_sampler_calc_cond_batch_function(ask)
    return model


@contextmanager
def replaced_sampling_function() -> Iterator[list[float]]:
    """The host's sampling function is another one for the whole process, which gives the cfg that it was asked for."""
    before, asked = comfy.samplers.sampling_function, []

    def replaced(model: Any, x: Tensor, sigma: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        asked.append(float(args[2]))
        return before(model, x, sigma, *args, **kwargs)

    comfy.samplers.sampling_function = replaced
    try:
        yield asked
    finally:
        comfy.samplers.sampling_function = before


NEIGHBOURS: dict[str, Callable[[Model], Model]] = {
    "attention that couples positive and negative": couple_attention,
    "output that couples the batch": couple_outputs,
    "attention override installed at every evaluation": install_at_every_evaluation,
    "attention override installed around the network": install_around_the_network,
    "part of the network without a gradient": forget_the_gradient,
    "windows of another pack": sub_windows,
    "negative overwritten before CFG": multiply_the_negative,
    "plain predictions put back before CFG": put_back,
    "predictions asked for one at a time": ask_one_at_a_time,
}
