"""Gradient passes that keep less give the gradient of keeping everything, and leave nothing on the network."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Collection, Iterator
from typing import Any

import pytest
import torch
from module_hooks import hooks_of
from torch import Tensor, nn
from torch.nn import functional

from reg_core.autograd import KEEP_ALL, MemoryBudgetExceeded, Recomputation, TangentDropped, recording
from reg_core.autograd.random_state import _generator
from reg_core.jacobian import Forward, Reverse, difference_step, disagreement

DTYPE = torch.float64
EXACT = 1e-12  # float64 rounding where sums are taken in another order
WIDTH, DEPTH = 8, 5
UNLIMITED = 2**62


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=DTYPE)


X, V = draw(3, 4, WIDTH), draw(3, 4, WIDTH, seed=1)


class Parts(nn.Module):
    """Attention and a gated MLP for a residual stream."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH, dtype=DTYPE)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, dtype=DTYPE)
        self.mlp = nn.Linear(WIDTH, 2 * WIDTH, dtype=DTYPE)

    def attention(self, x: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(*self.qkv(self.norm(x)).chunk(3, dim=-1))

    def gated(self, x: Tensor) -> Tensor:
        value, gate = self.mlp(self.norm(x)).chunk(2, dim=-1)
        return value * torch.sigmoid(gate)


class Block(Parts):
    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(x)
        return x + self.gated(x)


class InPlaceBlock(Parts):
    """Writes into its input, and over values that autograd has saved."""

    def forward(self, x: Tensor) -> Tensor:
        x += self.attention(x)
        x.mul_(0.9)
        x += self.gated(x)
        return x


class OptionsBlock(Parts):
    """Reads from a dict that all blocks share, and tells its caller something through it."""

    def forward(self, x: Tensor, *, options: dict[str, Any]) -> Tensor:
        options["told"].append(options["index"])
        return x + options["mask"][0] * torch.sin(x * (1 + options["index"])) + self.attention(x)


class TwoStreamBlock(Parts):
    """Two streams in, a tuple out; the second is an argument by name, and nested in a list."""

    def forward(self, x: Tensor, *, others: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        joined = self.attention(torch.cat([x, *others], dim=1))
        image, text = joined.split([x.shape[1], others[0].shape[1]], dim=1)
        return x + image, [others[0] + self.gated(text)]


class OuterBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.ModuleList([Block(), InPlaceBlock()])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.inner:
            x = block(x.tanh())
        return x


class Stack(nn.Module):
    def __init__(self, kind: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([kind() for _ in range(DEPTH)])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class OptionsStack(Stack):
    def forward(self, x: Tensor) -> Tensor:
        options: dict[str, Any] = {"told": [], "mask": [torch.full((WIDTH,), 0.5, dtype=DTYPE)]}
        for index, block in enumerate(self.blocks):
            options["index"] = index
            x = block(x, options=options)
        assert options["told"] == list(range(DEPTH))
        options["index"] = -1
        return x


class TwoStreamStack(Stack):
    def forward(self, x: Tensor) -> Tensor:
        others = [x[:, :2].cos()]
        for block in self.blocks:
            x, others = block(x, others=others)
        return x * others[0].mean(dim=1, keepdim=True)


class SkipStack(Stack):
    """A U-Net's skips: outputs of early blocks meet those of late ones, in place."""

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for block in self.blocks[:2]:
            x = block(x)
            skips.append(x)
        for block in self.blocks[2:4]:
            x = block(x)
            x += skips.pop()
        return self.blocks[4](x.sin())


def made(build: Callable[[], nn.Module]) -> Any:
    """Weights as the host's loaders make them: inside inference mode."""
    torch.manual_seed(0)
    with torch.inference_mode():
        return build().requires_grad_(False)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "residual": lambda: Stack(Block),
    "in place": lambda: Stack(InPlaceBlock),
    "shared options": lambda: OptionsStack(OptionsBlock),
    "two streams": lambda: TwoStreamStack(TwoStreamBlock),
    "nested": lambda: Stack(OuterBlock),
    "skips": lambda: SkipStack(Block),
}
KINDS = (Parts, OuterBlock)  # of which the nested network has both, one inside the other


def blocks_of(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, KINDS)]


def product(
    network: Callable[[Tensor], Tensor], recomputation: Recomputation | None, x: Tensor = X, v: Tensor = V
) -> Tensor:
    """J^T v inside inference mode, as the host calls for it."""
    with torch.inference_mode():
        return Reverse(recomputation)(network, x, v, 1.0)[1]


def close(value: Tensor, expected: Tensor) -> bool:
    return float((value - expected).norm()) < EXACT * float(expected.norm())


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_blocks_computed_twice_give_the_gradient_of_keeping_everything(name: str, in_place: bool) -> None:
    network = made(NETWORKS[name])
    calls: dict[nn.Module, int] = {}
    for block in blocks_of(network):
        block.register_forward_pre_hook(lambda b, args: calls.update({b: calls.get(b, 0) + 1}))
    expected = product(network, None)
    calls.clear()
    overwrites = name in ("in place", "nested")
    got = product(network, Recomputation(blocks=blocks_of(network), in_place=in_place or overwrites))
    assert close(got, expected)
    assert set(calls.values()) == {2}


@pytest.mark.parametrize("name", NETWORKS)
def test_keeping_everything_is_exact(name: str) -> None:
    """The reference of the test above, against forward mode, which keeps nothing."""
    network = made(NETWORKS[name])
    normal = _normal(made(NETWORKS[name]))
    expected = torch.func.jacfwd(lambda x: normal(x.clone()))(X)
    assert isinstance(expected, Tensor)
    assert close(product(network, None), torch.einsum("abc,abcijk->ijk", V, expected))


def _normal(network: nn.Module) -> nn.Module:
    for owner in network.modules():
        for name, parameter in list(owner.named_parameters(recurse=False)):
            setattr(owner, name, nn.Parameter(parameter.detach().clone(), requires_grad=False))
    return network


def bytes_kept(network: nn.Module, blocks: Collection[nn.Module]) -> int:
    """The smallest budget that is enough."""
    low, high = -1, 2**24
    while high - low > 1:
        middle = (low + high) // 2
        try:
            product(network, Recomputation(blocks=blocks, budget=middle))
            high = middle
        except MemoryBudgetExceeded:
            low = middle
    return high


def test_of_a_block_computed_twice_only_the_input_is_kept() -> None:
    network = made(NETWORKS["residual"])
    whole, blocks = bytes_kept(network, ()), bytes_kept(network, blocks_of(network))
    assert blocks == DEPTH * X.nbytes
    # at least the input of both norms, q, k, v, value and gate
    assert whole > 7 * blocks


def test_budget_is_refused_by_size_and_weights_cost_nothing() -> None:
    network = made(lambda: nn.Linear(WIDTH, WIDTH, dtype=DTYPE))  # backward needs the weight and nothing else
    assert product(network, Recomputation(budget=0)).isfinite().all()
    with pytest.raises(MemoryBudgetExceeded, match="exceed 0 MiB"):
        product(lambda x: network(x).tanh(), Recomputation(budget=X.nbytes - 1))
    assert product(lambda x: network(x).tanh(), Recomputation(budget=X.nbytes)).isfinite().all()


class Stream:
    """A buffer that every layer's weights pass through, made in inference mode as the host's are."""

    def __init__(self) -> None:
        with torch.inference_mode():
            self.buffers = itertools.cycle(torch.zeros(3, 4096, dtype=DTYPE))

    def __call__(self, weight: Tensor) -> Tensor:
        return next(self.buffers)[: weight.numel()].view(weight.shape).copy_(weight)


class Layers(nn.Module):
    """Layers that use their own weights, or borrow those from ``weight``, and a constant in between."""

    def __init__(self, borrow: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        borrowing = {"borrow": staticmethod(borrow)}

        def layer(kind: type[nn.Module], forward: Callable[..., Tensor], *args: Any, **kwargs: Any) -> nn.Module:
            return type(kind.__name__, (kind,), {"forward": forward, **borrowing})(*args, dtype=DTYPE, **kwargs)

        def linear(self: Any, x: Tensor) -> Tensor:
            return functional.linear(x, self.borrow(self.weight), self.borrow(self.bias))

        def conv(self: Any, x: Tensor) -> Tensor:
            return functional.conv2d(x, self.borrow(self.weight), self.borrow(self.bias), padding=1)

        def group_norm(self: Any, x: Tensor) -> Tensor:
            return functional.group_norm(x, self.num_groups, self.borrow(self.weight), self.borrow(self.bias))

        def layer_norm(self: Any, x: Tensor) -> Tensor:
            weight, bias = self.borrow(self.weight), self.borrow(self.bias)
            return functional.layer_norm(x, self.normalized_shape, weight, bias)

        self.borrow = borrow
        self.stages = nn.ModuleList(
            nn.Sequential(
                layer(nn.GroupNorm, group_norm, 2, 4),
                layer(nn.Conv2d, conv, 4, 4, 3),
                layer(nn.LayerNorm, layer_norm, WIDTH),
                layer(nn.Linear, linear, WIDTH, WIDTH),
            )
            for _ in range(3)
        )
        self.scale = nn.Parameter(draw(4, 1, 1, seed=7))

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.stages:
            # a weight outside of every layer, which goes through the same buffer
            x = (x + torch.tanh(stage(x))) * self.borrow(self.scale)
        return x

    def randomise(self) -> Layers:
        generator = torch.Generator().manual_seed(3)
        for parameter in self.parameters():
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator, dtype=DTYPE) / 2)
        return self


IMAGE, IMAGE_V = draw(2, 4, WIDTH, WIDTH), draw(2, 4, WIDTH, WIDTH, seed=1)


def layers_of(network: nn.Module) -> list[Any]:
    return [module for module in network.modules() if isinstance(getattr(module, "bias", None), Tensor)]


@pytest.mark.parametrize("checkpointed", [False, True])
def test_weights_fetched_again_give_the_exact_gradient(checkpointed: bool) -> None:
    own = made(lambda: Layers(lambda weight: weight).randomise())
    streamed = made(lambda: Layers(Stream()).randomise())
    fetched: list[tuple[type, str]] = []

    def fetch(layer: Any, name: str, dtype: torch.dtype, device: torch.device) -> Tensor:
        fetched.append((type(layer).__mro__[1], name))
        assert (dtype, device) == (DTYPE, torch.device("cpu"))
        return layer.borrow(getattr(layer, name)).clone()

    layers = dict.fromkeys(layers_of(streamed), fetch)
    blocks = list(streamed.stages) if checkpointed else ()
    expected = product(own, KEEP_ALL, IMAGE, IMAGE_V)
    assert close(product(streamed, Recomputation(layers, blocks), IMAGE, IMAGE_V), expected)
    # of every kind of layer backward needs the weight
    assert {kind for kind, name in fetched if name == "weight"} == {nn.GroupNorm, nn.Conv2d, nn.LayerNorm, nn.Linear}
    # Keeping the weights is silently wrong: the test can fail.
    kept = product(streamed, KEEP_ALL, IMAGE, IMAGE_V)
    assert float((kept - expected).norm()) > 0.1 * float(expected.norm())


def test_a_constant_in_the_reused_buffer_is_copied() -> None:
    """It belongs to no layer, so nothing can fetch it again; the last of the four values lies where the first did."""
    streamed = made(lambda: Layers(Stream()).randomise())
    layers = dict.fromkeys(layers_of(streamed)[:1], lambda layer, name, dtype, device: getattr(layer, name).clone())

    def network(x: Tensor) -> Tensor:
        first = x * streamed.borrow(streamed.scale)
        streamed.borrow(torch.full_like(streamed.scale, 5))
        streamed.borrow(torch.full_like(streamed.scale, 6))
        return first * streamed.borrow(torch.full_like(streamed.scale, 7))

    got = product(network, Recomputation(layers), IMAGE, IMAGE_V)
    assert close(got, IMAGE_V * streamed.scale * 7)
    assert close(product(network, KEEP_ALL, IMAGE, IMAGE_V), IMAGE_V * 7 * 7)  # the test can fail


OVERWRITING: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {}
"""In place, and the same out of place."""


def overwriting(name: str, out_of_place: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
    def register(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        OVERWRITING[name] = function, out_of_place
        return function

    return register


@overwriting("add", lambda x: x.exp() + x.exp().sin())
def _add(x: Tensor) -> Tensor:
    hidden = x.exp()
    hidden += hidden.sin()  # exp has saved its output, sin its input
    return hidden


@overwriting("mul_", lambda x: x.sin().tanh() * 3)
def _mul(x: Tensor) -> Tensor:
    return x.sin().tanh().mul_(3)


@overwriting("view", lambda x: torch.cat([x.exp()[..., :4] * 2, x.exp()[..., 4:]], dim=-1))
def _view(x: Tensor) -> Tensor:
    hidden = x.exp()
    hidden[..., :4] *= 2  # through a view of what is kept
    return hidden


@overwriting("twice", lambda x: (x.exp() * 2).sigmoid() * x.exp() + 1)
def _twice(x: Tensor) -> Tensor:
    hidden = x.exp()
    gate = (hidden * 2).sigmoid_()
    hidden *= gate
    return hidden.add_(1)


@overwriting("out", lambda x: x.exp() * x.exp().cos())
def _out(x: Tensor) -> Tensor:
    hidden = x.exp()
    result = hidden * hidden.cos()
    with torch.no_grad():
        torch.add(hidden, 1, out=hidden.detach())  # a scratch buffer that is used again
    return result


@pytest.mark.parametrize("name", OVERWRITING)
def test_what_the_network_overwrites_is_copied_before(name: str) -> None:
    in_place, out_of_place = OVERWRITING[name]
    assert close(product(in_place, Recomputation(in_place=True)), product(out_of_place, KEEP_ALL))


@pytest.mark.parametrize("name", OVERWRITING)
@pytest.mark.parametrize("recomputation", [KEEP_ALL, Recomputation(budget=UNLIMITED)], ids=["autograd", "hooks"])
def test_an_overwritten_tensor_is_refused_where_it_is_not_copied(name: str, recomputation: Recomputation) -> None:
    with pytest.raises(RuntimeError, match="inplace operation"):
        product(OVERWRITING[name][0], recomputation)


class OverwritingStack(Stack):
    """The caller writes into what a block was given, after the block."""

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            output = block(x)
            x.mul_(0.5)
            x = x + output
        return x


def test_a_block_input_that_its_caller_overwrites_is_copied_or_refused() -> None:
    network = made(lambda: OverwritingStack(Block))
    expected = product(network, None)
    assert close(product(network, Recomputation(blocks=blocks_of(network), in_place=True)), expected)
    with pytest.raises(RuntimeError, match="inplace operation"):
        product(network, Recomputation(blocks=blocks_of(network)))


class Changing(nn.Module):
    """Computes one function the first time and another one from then on."""

    def __init__(self, first: Callable[[Tensor], Tensor], second: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.functions = itertools.chain([first], itertools.repeat(second))

    def forward(self, x: Tensor) -> Tensor:
        return next(self.functions)(x)


CHANGES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "less is saved": (lambda x: x.sin().tanh(), lambda x: x.sin()),
    "nothing is saved": (lambda x: x.sin(), lambda x: 2 * x),
    "another shape": (lambda x: x.sin(), lambda x: torch.cat([x, x]).sin()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_block_that_computes_differently_the_second_time_is_refused(change: str) -> None:
    block = Changing(*CHANGES[change])
    with pytest.raises(RuntimeError, match="computes differently|invalid gradient|size of tensor"):
        product(lambda x: block(x).exp(), Recomputation(blocks=[block]))


class NoisyBlock(Parts):
    """Draws random numbers, as token merging does to choose its tokens."""

    def forward(self, x: Tensor) -> Tensor:
        return x + self.attention(x * torch.rand_like(x))


def test_a_block_that_draws_random_numbers_gets_the_same_ones_the_second_time() -> None:
    network = made(lambda: Stack(NoisyBlock))
    torch.manual_seed(0)
    expected, following = product(network, None), torch.rand(3)
    torch.manual_seed(0)
    assert close(product(network, Recomputation(blocks=blocks_of(network))), expected)
    assert torch.equal(torch.rand(3), following)  # and the sampler's own numbers are not touched


class Failure(Exception):
    pass


class FailsInBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise Failure


def nowhere(network: nn.Module) -> Callable[[Tensor], Tensor]:
    return network


def in_forward(network: nn.Module) -> Callable[[Tensor], Tensor]:
    return _failing_at(network, DEPTH // 2)


def in_the_second_computation(network: nn.Module) -> Callable[[Tensor], Tensor]:
    return _failing_at(network, DEPTH + 1)


def _failing_at(network: nn.Module, position: int) -> nn.Module:
    """The network with a fault inside a layer inside a block, at this one of all their calls."""
    calls = itertools.count()

    def failing(layer: nn.Module) -> Callable[[Tensor], Tensor]:
        def forward(x: Tensor) -> Tensor:
            if next(calls) == position:
                raise Failure
            return type(layer).forward(layer, x)

        return forward

    for block in blocks_of(network):
        layer = block.get_submodule("qkv")
        layer.forward = failing(layer)
    return network


def in_backward(network: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda x: network(FailsInBackward.apply(x))


def modes() -> tuple[bool, bool, int]:
    saving = torch._C._autograd._top_saved_tensors_default_hooks(True) is None
    return torch.is_inference_mode_enabled(), torch.is_grad_enabled(), saving


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
@pytest.mark.parametrize("fails", [nowhere, in_forward, in_the_second_computation, in_backward])
def test_hooks_and_modes_are_gone_afterwards(
    fails: Callable[[nn.Module], Callable[[Tensor], Tensor]], mode: Callable[[], Any]
) -> None:
    network = made(NETWORKS["residual"])
    plain = [module for module in network.modules() if isinstance(module, nn.Linear)]
    layers = dict.fromkeys(plain, lambda layer, name, dtype, device: getattr(layer, name))
    recomputation = Recomputation(layers, blocks_of(network), UNLIMITED, in_place=True)
    expected, denoiser = product(network, None), fails(network)
    with mode():
        before = modes()
        if fails is nowhere:
            assert close(Reverse(recomputation)(denoiser, X, V, 1.0)[1], expected)
        else:
            with pytest.raises(Failure):
                Reverse(recomputation)(denoiser, X, V, 1.0)
        assert modes() == before
        assert hooks_of(network) == []


def test_hooks_are_there_during_the_pass() -> None:
    """The test above can fail."""
    network = made(NETWORKS["residual"])
    with recording(Recomputation(blocks=blocks_of(network))):
        assert len(hooks_of(network)) >= 2 * DEPTH


@pytest.fixture(scope="module")
def doubled() -> Iterator[Callable[[Tensor], Tensor]]:
    """A kernel of an extension, which has a backward pass but no forward-mode derivative."""

    def double(x: Tensor) -> Tensor:
        return 2 * x

    kernel: Any = torch.library.custom_op("reg_tests::doubled", double, mutates_args=())
    kernel.register_autograd(lambda ctx, grad: 2 * grad)
    yield kernel


def test_a_kernel_that_drops_the_tangent_is_refused(doubled: Callable[[Tensor], Tensor]) -> None:
    """Without the refusal the product would be 1, not 3."""
    with pytest.raises(TangentDropped, match="reg_tests.doubled.* has no forward-mode derivative"):
        Forward()(lambda x: x + doubled(x), X, V, 1.0)
    assert close(product(lambda x: x + doubled(x), KEEP_ALL), 3 * V)


def test_a_kernel_that_sees_no_tangent_is_not_refused(doubled: Callable[[Tensor], Tensor]) -> None:
    constant = doubled(X)
    assert close(Forward()(lambda x: x * doubled(constant), X, V, 1.0)[1], V * 4 * X)


STEP = difference_step(torch.finfo(DTYPE).eps)


def asymmetric() -> Any:
    return made(NETWORKS["residual"])


@pytest.mark.parametrize("alpha", [1.0, 0.4])
def test_disagreement_of_an_exact_product_is_the_error_of_the_difference(alpha: float) -> None:
    network = asymmetric()
    denoised, exact = Reverse()(network, X, V, alpha)
    _, other = Forward()(network, X, V, alpha)
    assert float((exact - other).norm()) > 0.1 * float(exact.norm())  # J is not symmetric
    # first order in its step, for a network whose second derivative is of the order of its first
    assert disagreement(network, X, V, alpha, denoised, exact) < 100 * STEP


@pytest.mark.parametrize("transposed", [True, False])
@pytest.mark.parametrize(("factor", "expected"), [(1.0, 0.0), (2.0, 0.5), (0.5, 1.0), (-1.0, 2.0)])
def test_disagreement_of_a_scaled_product(factor: float, expected: float, transposed: bool) -> None:
    """|c p^2 - c^2 p^2| / c^2 p^2 = |1 / c - 1|."""
    network = asymmetric()
    denoised, exact = (Reverse() if transposed else Forward())(network, X, V, 0.4)
    wrong = disagreement(network, X, V, 0.4, denoised, factor * exact, transposed=transposed)
    assert wrong == pytest.approx(expected, abs=100 * STEP)


def test_disagreement_of_a_product_with_other_weights_is_large() -> None:
    network = asymmetric()
    denoised, _ = Reverse()(network, X, V, 1.0)
    with torch.inference_mode():
        for seed, parameter in enumerate(network.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=100 + seed) / WIDTH**0.5)
    _, wrong = Reverse()(network, X, V, 1.0)
    assert disagreement(asymmetric(), X, V, 1.0, denoised, wrong) > 0.25


def test_random_generators_of_devices_are_asked_as_each_kind_can_be() -> None:
    """That of MPS without a device, and a kind of device without any is left alone."""
    assert _generator(torch.device("mps")) == (torch.mps.get_rng_state, torch.mps.set_rng_state)
    assert _generator(torch.device("cuda:0")) is not None
    assert next(iter(inspect.signature(torch.cuda.get_rng_state).parameters)) == "device"
    assert _generator(torch.device("meta")) is None
