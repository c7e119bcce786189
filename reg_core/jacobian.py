"""Jacobian products of a denoiser: exact transposed (reverse), exact (forward), by finite difference.

Each estimator returns the denoised prediction and ``alpha * J^T v`` (reverse) or ``alpha * J v`` (forward, finite
difference), with ``J = dD/dx``. ``alpha * J^T 1`` is the factor of the REG update of arXiv 2501.18865. For an ideal
denoiser J is symmetric (J = Cov(x0 | x) / noise^2 in VE units), so all three agree. A trained network's is not: on the
playground model ``J 1`` and ``J^T 1`` differ by 8 to 34 %.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from .autograd import KEEP_ALL, GradientUnavailable, Recomputation, leaf, recording
from .parameterization import Denoiser, check_sample

# Either known beforehand, or computed from the denoised prediction.
Direction = Tensor | Callable[[Tensor], Tensor]


class Circumstances(NamedTuple):
    """What an estimator has to know of a network and of one evaluation of it, to be ``suited`` to it."""

    eps: float | None = None
    """Relative rounding of the predictions; None is that of the sample's dtype."""
    quantised: bool = False
    """Some weights are quantised."""
    weights_change: bool = False
    """Weights are exchanged in the middle of the evaluation."""
    recomputation: Callable[[], Recomputation] = Recomputation
    """What a backward pass must not keep."""


@dataclass(frozen=True)
class Estimator(ABC):
    """``(denoiser, x, direction, alpha, denoised) -> (denoised, product)``, all samples ``[batch, ...]``.

    ``direction`` is ``v`` or a function that makes ``v`` of the denoised prediction; ``alpha`` is the signal scale, one
    number or broadcastable to ``x``; ``denoised`` is the prediction at ``x`` where known, which may save its
    evaluation. Raises ValueError for an ``x`` that is no dense floating-point tensor. An estimator is a subclass and a
    line of ``ESTIMATORS``; what it needs, it says here, and nobody else asks for its name.
    """

    differentiates: ClassVar[bool] = False
    """It needs a derivative of every kernel; without, evaluations are all that it needs."""
    transposed: ClassVar[bool] = False
    """Its product is ``J^T v``, from a backward pass that keeps activations."""
    fused_attention: ClassVar[bool] = True
    """PyTorch's fused attention has the derivative that it needs."""

    def suited(self, circumstances: Circumstances) -> Estimator:
        """This estimator with the options that fit these circumstances; raises GradientUnavailable where none do."""
        return self

    @abstractmethod
    def __call__(
        self, denoiser: Denoiser, x: Tensor, direction: Direction, alpha: Tensor | float, denoised: Tensor | None = None
    ) -> tuple[Tensor, Tensor]: ...


def _resolve(direction: Direction, denoised: Tensor) -> Tensor:
    return direction if isinstance(direction, Tensor) else direction(denoised)


@dataclass(frozen=True)
class Reverse(Estimator):
    """Exact ``alpha * J^T v`` by reverse-mode differentiation, the product of the paper.

    Cost: one evaluation, which is also the prediction, and one backward pass; memory of the recorded activations, less
    what ``recomputation`` computes again (one evaluation more with checkpointed blocks). Without it everything is kept,
    at one evaluation more for a network that overwrites its activations. Raises GradientUnavailable when the output
    carries no gradient (a kernel without a backward pass), MemoryBudgetExceeded as ``recomputation`` says.
    Source: arXiv 2501.18865, REG update (row sums ``J^T 1``).
    """

    recomputation: Recomputation | None = None

    differentiates: ClassVar[bool] = True
    transposed: ClassVar[bool] = True

    def suited(self, circumstances: Circumstances) -> Estimator:
        if circumstances.weights_change:
            raise GradientUnavailable(
                "LoRA hooks that differ between prompts change the weights in the middle of a prediction, where a "
                "backward pass would be wrong."
            )
        return replace(self, recomputation=circumstances.recomputation())

    def __call__(
        self, denoiser: Denoiser, x: Tensor, direction: Direction, alpha: Tensor | float, denoised: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        check_sample(x)
        del denoised  # its evaluation cannot be saved: backward needs the recorded one
        if self.recomputation is not None:
            return _reverse(denoiser, x, direction, alpha, self.recomputation)
        try:
            return _reverse(denoiser, x, direction, alpha, KEEP_ALL)
        except RuntimeError as error:
            if not is_overwriting(error):
                raise
            return _reverse(denoiser, x, direction, alpha, Recomputation(in_place=True))


def is_overwriting(error: RuntimeError) -> bool:
    """Whether the network overwrote what backward needs; the cure is ``Recomputation(in_place=True)``."""
    return "inplace operation" in str(error)


def _reverse(
    denoiser: Denoiser, x: Tensor, direction: Direction, alpha: Tensor | float, recomputation: Recomputation
) -> tuple[Tensor, Tensor]:
    with recording(recomputation):
        x = leaf(x).requires_grad_()
        output = denoiser(x.clone())  # a network may write into its input, which a leaf does not allow
        denoised = output.detach()
        product = None
        if output.requires_grad:
            (product,) = torch.autograd.grad(output, x, _resolve(direction, denoised), allow_unused=True)
        if product is None:
            raise GradientUnavailable(
                "REG: the model's output carries no gradient, so estimator 'reverse' cannot be used with it. "
                "Choose 'finite difference'."
            )
        return denoised, alpha * product


@dataclass(frozen=True)
class Forward(Estimator):
    """Exact ``alpha * J v`` by forward-mode differentiation; equals ``Reverse`` only where J is symmetric.

    Cost: one evaluation of about twice the price, no stored activations; one plain evaluation more if ``direction``
    needs the prediction and ``denoised`` is not given. Raises GradientUnavailable when a kernel has no such derivative.
    """

    differentiates: ClassVar[bool] = True
    fused_attention: ClassVar[bool] = False  # on most devices

    def suited(self, circumstances: Circumstances) -> Estimator:
        if circumstances.quantised:
            raise GradientUnavailable("The quantised layers of this model have no forward-mode derivative.")
        return self

    def __call__(
        self, denoiser: Denoiser, x: Tensor, direction: Direction, alpha: Tensor | float, denoised: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        check_sample(x)
        with recording():
            if isinstance(direction, Tensor):
                v = direction
            else:
                if denoised is None:
                    with torch.no_grad():
                        denoised = denoiser(leaf(x))
                v = direction(denoised)
            with forward_ad.dual_level():
                try:
                    output = denoiser(forward_ad.make_dual(leaf(x), leaf(v).to(x.dtype)))
                except NotImplementedError as error:  # torch's word for a kernel without a forward-mode formula
                    raise GradientUnavailable(f"{FORWARD_UNAVAILABLE} ({error})") from error
                value, tangent = forward_ad.unpack_dual(output)
                if tangent is None:
                    raise GradientUnavailable(FORWARD_UNAVAILABLE)
                return value.detach().clone(), alpha * tangent.detach()


FORWARD_UNAVAILABLE = (
    "REG: a part of the model has no forward-mode derivative, so estimator 'forward' cannot be used with it. "
    "Choose 'reverse' or 'finite difference'."
)


def difference_step(eps: float) -> float:
    """RMS size of the finite-difference step, in units of the signal, for predictions with relative rounding ``eps``.

    ``sqrt(eps)``: truncation grows with the step and rounding with its inverse, so the best step goes with the root
    of ``eps``. Measured on the playground model at middle noise, the whole network in one precision: 0.1 % off in fp32,
    3 to 8 % in fp16, 10 to 24 % in bf16.
    """
    return eps**0.5


@dataclass(frozen=True)
class FiniteDifference(Estimator):
    """``alpha * J v`` by a forward difference: ``(D(x + h alpha v) - D(x)) / h``, no gradients, any kernel.

    Each sample's ``h`` gives the shift of the signal, ``h v``, the RMS size ``step * sqrt(1 + rms(x) / alpha)``: noise
    makes D smoother and x coarser. The default step suits a network that computes in the precision of ``x``; give
    ``difference_step(eps)`` for one that computes in half precision. Cost: one evaluation beyond the prediction, no
    memory. Not exact: first order in ``step``, and J instead of J^T.
    Error analysis: Knoll & Keyes, J. Comput. Phys. 193 (2004), section 2.3.
    """

    step: float | None = None

    def suited(self, circumstances: Circumstances) -> Estimator:
        return self if circumstances.eps is None else replace(self, step=difference_step(circumstances.eps))

    def __call__(
        self, denoiser: Denoiser, x: Tensor, direction: Direction, alpha: Tensor | float, denoised: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        check_sample(x)
        denoised = denoiser(x.clone()) if denoised is None else denoised
        v = _resolve(direction, denoised)
        size = difference_step(torch.finfo(x.dtype).eps) if self.step is None else self.step
        rms = _root_mean_square(v)
        # Where alpha is 0 the product is 0 and any finite step is right.
        noisiness = _root_mean_square(x) / torch.as_tensor(alpha).abs().clamp_min(1e-3)
        # Where v vanishes so does the product; any finite h is right.
        h = torch.where(rms > 0, size * (1 + noisiness).sqrt() / rms, torch.ones_like(rms))
        shifted = (x + h * alpha * v).to(x.dtype)
        return denoised, ((denoiser(shifted) - denoised) / h).to(x.dtype)


def disagreement(
    denoiser: Denoiser,
    x: Tensor,
    direction: Direction,
    alpha: Tensor | float,
    denoised: Tensor,
    product: Tensor,
    step: float | None = None,
    transposed: bool = True,
) -> float:
    """How far a product p is from what a finite difference says of it, in units of ``<p, p>``.

    ``|<v, alpha J p> - <p, p>|`` for ``p = alpha J^T v``, with a difference along p; ``|<alpha J v, p> - <p, p>|`` for
    ``p = alpha J v`` (not ``transposed``), along v. 0 for the exact product, up to the error of the difference, also
    where J is not symmetric; near 1 for a product that has nothing to do with J. Cost: one evaluation.
    """
    v = _resolve(direction, denoised)
    along, other = (product, v) if transposed else (v, product)
    _, difference = FiniteDifference(step)(denoiser, x, along, alpha, denoised)
    square = product.float().square().sum()
    return float(((other * difference).float().sum() - square).abs() / square) if square > 0 else 0.0


def _root_mean_square(x: Tensor) -> Tensor:
    """Per sample, ``[batch, 1, ...]``, in float32 at least: squares of half-precision numbers under- and overflow."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return wide.square().mean(dim=tuple(range(1, x.ndim)), keepdim=True).sqrt()


ESTIMATORS: dict[str, Estimator] = {
    "reverse": Reverse(),
    "forward": Forward(),
    "finite difference": FiniteDifference(),
}
