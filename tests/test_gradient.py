"""The gradient pass through models of every family of the host, against central differences in double precision."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import comfy.model_management
import comfy.ops
import comfy.samplers
import comfy.sd
import pytest
import torch
from comfy.patcher_extension import WrapperExecutor
from torch import Tensor

from reg_pack.nodes.host.derivative.attention import DifferentiableAttention
from reg_pack.nodes.host.derivative.composition import Separate
from reg_pack.nodes.host.derivative.kernels import DecomposedKernels
from reg_pack.nodes.host.derivative.memory import repeated_blocks
from reg_pack.nodes.host.derivative.products import Products
from reg_pack.nodes.host.derivative.selection import Method, ModelQuirks, Selection
from reg_pack.nodes.host.evaluation import Evaluation
from reg_pack.reg_core.autograd import KEEP_ALL, RandomState
from reg_pack.reg_core.jacobian import Reverse
from tiny_families import FUSED_FAMILIES, GRADIENT_FAMILIES, Family, double_precision
from tiny_models import conditioning, sd3_flow

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("inference_mode")]

FAMILIES = {**GRADIENT_FAMILIES, **FUSED_FAMILIES}
Warnings = list[str]


@dataclass
class Case:
    """A loaded model and one request of the host for its predictions."""

    patcher: Any
    evaluation: Evaluation

    @property
    def network(self) -> torch.nn.Module:
        return self.patcher.model.diffusion_model

    def conditional(self, x: Tensor) -> Tensor:
        """What the host predicts without the pack."""
        e = self.evaluation
        return e.executor.original(e.model, [e.conds[0]], x, e.sigma, e.model_options)[0]

    def layers(self) -> list[Any]:
        return [m for m in self.network.modules() if isinstance(m, comfy.ops.CastWeightBiasOp)]


def case(name: str, dtype: torch.dtype = torch.float64) -> Case:
    family = FAMILIES[name]
    return requested(family.build(dtype), family, dtype)


def requested(patcher: Any, family: Family, dtype: torch.dtype) -> Case:
    guider = comfy.samplers.CFGGuider(patcher)
    guider.set_conds(family.conditioning(1), family.conditioning(2))
    comfy.model_management.load_models_gpu([patcher])
    patcher.pre_run()
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(1, *family.latent, generator=generator, dtype=torch.float64).to(dtype)
    conds = {side: [dict(cond) for cond in entries] for side, entries in guider.original_conds.items()}
    conds = comfy.samplers.process_conds(patcher.model, x, conds, x.device)
    executor = WrapperExecutor.new_executor(comfy.samplers._calc_cond_batch, [])
    sampling = patcher.model.model_sampling
    sigma = torch.tensor([float(sampling.percent_to_sigma(0.6))], dtype=dtype)
    sides = [conds["positive"], conds["negative"]]
    return Case(patcher, Evaluation(executor, patcher.model, sides, x, sigma, patcher.model_options))


class DoublePrecision(ModelQuirks):
    """What backward computes a second time is in double precision, too."""

    def context(self) -> AbstractContextManager[Any]:
        return double()


def estimate(
    case: Case, estimator: str, warnings: Warnings, form: str = "row-sum", checkpointing: str = "off"
) -> tuple[Tensor, Tensor]:
    """D_c and the product, by the pack's own way through the host."""
    quirks = DoublePrecision() if case.evaluation.x.dtype == torch.float64 else ModelQuirks()
    method = Method(1.0, form, estimator, "every step", checkpointing)
    products = Products(Selection(method, quirks, warnings.append))
    evaluation = replace(case.evaluation, random=RandomState({case.evaluation.x.device}))
    computed = products.computed(evaluation, lambda product: False)
    assert computed.product is not None
    return computed.conditional, computed.product


def central_difference(function: Callable[[Tensor], Tensor], x: Tensor, along: Tensor) -> Tensor:
    """Fourth order: Richardson's extrapolation of two central differences."""

    def second_order(h: float) -> Tensor:
        return (function(x + h * along) - function(x - h * along)) / (2 * h)

    return (4 * second_order(3e-4) - second_order(6e-4)) / 3


def relative_error(value: Tensor, expected: Tensor) -> float:
    return float((value - expected).norm() / expected.norm())


@contextmanager
def double() -> Iterator[None]:
    """Everything in double precision; the host's fused kernels refuse it, so their plain counterparts run."""
    with double_precision(), DecomposedKernels():
        yield


def assert_exact(model: Case, product: Tensor, v: Tensor, tolerance: float) -> None:
    """<alpha J^T v, u> = <v, alpha J u> along three directions."""
    e = model.evaluation
    for seed in range(3):
        u = torch.randn(product.shape, generator=torch.Generator().manual_seed(seed), dtype=product.dtype)
        expected = (v * e.alpha * central_difference(model.conditional, e.x, u)).sum()
        assert abs(float((product * u).sum() - expected)) < tolerance * float(product.norm() * u.norm())


@pytest.mark.parametrize("form", ["row-sum", "directional"])
@pytest.mark.parametrize("name", FAMILIES)
def test_reverse_equals_central_differences(name: str, form: str) -> None:
    warnings: Warnings = []
    with double():
        model = case(name)
        conditional, product = estimate(model, "reverse", warnings, form)
        v = (
            torch.ones_like(conditional)
            if form == "row-sum"
            else conditional - model.evaluation.both(model.evaluation.x)[1]
        )
        # rounding of 1e-16 over a step of 3e-4, on networks whose outputs are up to 1e3 times their inputs
        assert_exact(model, product, v, 1e-9)
        assert relative_error(conditional, model.conditional(model.evaluation.x)) < 1e-12
    assert warnings == []


@pytest.mark.parametrize("name", FAMILIES)
def test_forward_equals_central_differences(name: str) -> None:
    warnings: Warnings = []
    with double():
        model = case(name)
        conditional, product = estimate(model, "forward", warnings)
        e = model.evaluation
        expected = e.alpha * central_difference(model.conditional, e.x, torch.ones_like(e.x))
        assert relative_error(product, expected) < 1e-8
        assert relative_error(conditional, model.conditional(e.x)) < 1e-12
    assert warnings == []


@pytest.mark.parametrize("name", FAMILIES)
def test_finite_difference_is_first_order_close(name: str) -> None:
    warnings: Warnings = []
    with double():
        model = case(name)
        _, product = estimate(model, "finite difference", warnings)
        e = model.evaluation
        expected = e.alpha * central_difference(model.conditional, e.x, torch.ones_like(e.x))
        assert relative_error(product, expected) < 1e-5  # the step is the root of double rounding: 1.5e-8
    assert warnings == []


@pytest.mark.parametrize("name", FUSED_FAMILIES or ["Cosmos Predict2"])  # the floor fuses nothing
@pytest.mark.parametrize("estimator", ["reverse", "forward"])
def test_fused_kernels_are_decomposed_where_they_stand_in_the_way(name: str, estimator: str) -> None:
    """In the precision that the kernels take: they lack a backward pass, and drop a tangent without a word."""
    warnings: Warnings = []
    model = case(name, torch.float32)
    conditional, product = estimate(model, estimator, warnings)
    with DecomposedKernels():
        expected = estimate(model, estimator, warnings)[1]
    assert torch.equal(product, expected)
    # the plain kernels round elsewhere than the fused ones
    assert relative_error(conditional, model.conditional(model.evaluation.x)) < 1e-5
    assert warnings == []


@pytest.mark.parametrize("name", FAMILIES)
def test_a_block_computed_twice_gives_the_same_gradient(name: str) -> None:
    warnings: Warnings = []
    with double():
        model = case(name)
        whole, checkpointed = (estimate(model, "reverse", warnings, checkpointing=c) for c in ("off", "on"))
        assert len(repeated_blocks(model.network)) > 0
        assert torch.equal(checkpointed[0], whole[0])
        assert relative_error(checkpointed[1], whole[1]) < 1e-12  # sums of gradients in another order
    assert warnings == []


def stream_weights(model: Case) -> None:
    """Weights pass through two buffers that later layers reuse, as in the host's low VRAM mode."""
    largest = max(p.numel() for p in model.network.parameters())
    buffers = itertools.cycle(torch.zeros(2, largest, dtype=model.evaluation.x.dtype))

    def streamed(weight: Tensor) -> Tensor:
        return next(buffers)[: weight.numel()].view(weight.shape).copy_(weight)

    for layer in model.layers():
        layer.weight_function = [*layer.weight_function, streamed]


@pytest.mark.parametrize("checkpointing", ["off", "on"])
@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_are_exact_through_a_reused_weight_buffer(name: str, checkpointing: str) -> None:
    warnings: Warnings = []
    with double():
        model = case(name)
        expected = estimate(model, "reverse", warnings)
        stream_weights(model)
        streamed = estimate(model, "reverse", warnings, checkpointing=checkpointing)
        assert torch.equal(streamed[0], expected[0])
        assert relative_error(streamed[1], expected[1]) < 1e-12
    assert warnings == []


def test_a_reused_weight_buffer_is_fatal_without_fetching_again() -> None:
    """The test above can fail: keeping the weights gives a wrong gradient, without any error of autograd."""
    with double():
        model = case("SD3")
        _, expected = estimate(model, "reverse", [])
        stream_weights(model)
        alone = Separate(model.evaluation, DifferentiableAttention(), nullcontext)
        x = model.evaluation.x
        _, kept = Reverse(KEEP_ALL)(alone.conditional, x, torch.ones_like(x), model.evaluation.alpha)
        assert relative_error(kept, expected) > 0.1


def quantised_and_plain() -> tuple[Case, Case]:
    """An SD3 model with fp8 weights as the host saves them, and one with the same weights dequantised."""
    family = Family(lambda dtype: sd3_flow(), (16, 8, 8), conditioning)
    weights = sd3_flow().model.diffusion_model.state_dict()
    mark = torch.tensor(list(json.dumps({"format": "float8_e4m3fn"}).encode()), dtype=torch.uint8)
    quantised, plain = dict(weights), dict(weights)
    for name, weight in weights.items():
        if "joint_blocks" in name and name.endswith(("qkv.weight", "proj.weight", "fc1.weight", "fc2.weight")):
            layer, scale = name.removesuffix("weight"), weight.abs().amax() / 448  # the largest e4m3 number
            quantised[name] = (weight / scale).to(torch.float8_e4m3fn)
            quantised |= {f"{layer}weight_scale": scale, f"{layer}comfy_quant": mark}
            plain[name] = quantised[name].float() * scale
    models = (comfy.sd.load_diffusion_model_state_dict(state) for state in (quantised, plain))
    first, second = (requested(model, family, torch.float32) for model in models)
    return first, second


class PackedWeight(Tensor):
    """Another pack's storage of a weight: a tensor subclass with bytes that only the pack's own layer understands."""


class PackedOperations(comfy.ops.manual_cast):
    """Layers as GGUF packs make them: the weight is unpacked by a method of the layer, not by the host's cast."""

    class Linear(comfy.ops.manual_cast.Linear):
        def cast_bias_weight(self, *, dtype: torch.dtype, bias_dtype: torch.dtype, device: Any = None) -> Any:
            weight = self.weight.as_subclass(Tensor)
            weight = weight.neg() / 2 if isinstance(self.weight.data, PackedWeight) else weight
            return weight.to(dtype), None if self.bias is None else self.bias.to(bias_dtype)

        def forward_comfy_cast_weights(self, input: Tensor) -> Tensor:
            weight, bias = self.cast_bias_weight(dtype=input.dtype, bias_dtype=input.dtype)
            return torch.nn.functional.linear(input, weight, bias)


def test_weights_that_another_pack_unpacks_are_fetched_by_its_own_method() -> None:
    warnings: Warnings = []
    family = Family(lambda dtype: sd3_flow(), (16, 8, 8), conditioning)
    plain = requested(sd3_flow(), family, torch.float32)
    options = {"custom_operations": PackedOperations}
    patcher = comfy.sd.load_diffusion_model_state_dict(plain.network.state_dict(), model_options=options)
    packed = requested(patcher, family, torch.float32)
    for layer in packed.layers():
        if isinstance(layer, PackedOperations.Linear):
            layer.weight = torch.nn.Parameter((-2 * layer.weight.data).as_subclass(PackedWeight), requires_grad=False)
    found = estimate(packed, "reverse", warnings)
    for value, expected in zip(found, estimate(plain, "reverse", warnings), strict=True):
        assert relative_error(value, expected) < 1e-6  # a power of two loses nothing
    assert warnings == []


def quantised_layers(model: Case) -> list[Any]:
    return [layer for layer in model.layers() if getattr(layer, "layout_type", None) is not None]


@pytest.mark.parametrize("checkpointing", ["off", "on"])
@pytest.mark.parametrize("form", ["row-sum", "directional"])
def test_quantised_weights_are_dequantised_again_in_backward(form: str, checkpointing: str) -> None:
    warnings: Warnings = []
    quantised, plain = quantised_and_plain()
    layers = quantised_layers(quantised)
    before = [layer.weight for layer in layers]
    assert layers
    found = estimate(quantised, "reverse", warnings, form, checkpointing)
    expected = estimate(plain, "reverse", warnings, form)
    for value, right in zip(found, expected, strict=True):
        assert relative_error(value, right) < 1e-5  # float32 rounding
    assert all(layer.weight is weight for layer, weight in zip(layers, before, strict=True))
    assert warnings == []


@pytest.mark.parametrize("estimator", ["reverse", "forward", "finite difference"])
def test_quantised_activations_are_seen_through_or_told(estimator: str) -> None:
    """As on a GPU with fp8 matrix units: inputs of layers are rounded to 4 bits of precision, too."""
    warnings: Warnings = []
    quantised, plain = quantised_and_plain()
    for layer in quantised_layers(quantised):
        layer._full_precision_mm = False
    _, found = estimate(quantised, estimator, warnings)
    differentiated = estimator == "reverse" and not warnings
    _, expected = estimate(plain, "reverse" if differentiated else "forward", [])
    # a difference sees the rounding, 6 % of each activation; a derivative only its effect on the point it is taken at
    assert relative_error(found, expected) < (0.02 if differentiated else 0.3)
    # the host can differentiate its quantised layers in reverse only, and has learned it after the floor
    has_gradient = estimator == "reverse" and hasattr(comfy.ops, "QuantLinearFunc")
    assert bool(warnings) == (estimator != "finite difference" and not has_gradient)
    assert all("for the rest of this run" in warning for warning in warnings)


def test_quantised_weights_alone_do_not_coarsen_a_difference() -> None:
    """Multiplied in full precision, as on a CPU: the step is that of float32."""
    warnings: Warnings = []
    quantised, plain = quantised_and_plain()
    _, found = estimate(quantised, "finite difference", warnings)
    _, expected = estimate(plain, "forward", warnings)
    assert relative_error(found, expected) < 1e-2  # first order in a step of 3e-4, condition about 1e1
    assert warnings == []
