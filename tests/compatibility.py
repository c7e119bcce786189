"""REG beside one node of the host on one family: the check of one cell of the compatibility matrix.

The reference is the host without the pack: the pair of predictions that its sampling function gets from the patched
model, in double precision, and central differences of the conditional one, with the same sample shifted for both.
"""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import comfy.model_management
import comfy.patcher_extension
import comfy.samplers
import comfy_kitchen
import numpy
import torch
from torch import Tensor
from torch._ops import OpOverload, OpOverloadPacket
from torch.overrides import TorchFunctionMode

from reg_pack.nodes.host.derivative.selection import Method
from reg_pack.nodes.host.sampling import Guidance
from reg_pack.reg_core.jacobian import ESTIMATORS
from reg_pack.reg_core.rectification import FORMS

Model = Any
Conds = dict[str, Any]
Point = tuple[Tensor, Tensor]

CFG, SEED, STEPS = 3.0, 7, 4
PERCENTS = (0.6,)
PROBES = 2
# Rounding of 1e-16 over the step, on networks whose outputs are up to 1e3 times their inputs, is 1e-9 at most; with the
# short step, which hardly ever crosses a kink, 3e-7.
STEP, EXACT = 3e-4, 1e-8
SHORT_STEP, NEAR = 1e-6, 1e-6
VISIBLE = 1e-6
# Of bfloat16, eps 8e-3, through a network and its gradient of condition about 1e1.
HALF = 0.5
# First order in a step that is the root of double rounding, 1.5e-8.
DIFFERENCED = 1e-4
# Float32 rounding, 6e-8, through a network and its gradient of condition about 1e3, times ten.
SINGLE = 1e-3
UNSEEN = 1e-5  # of a prediction: rounding, where a node makes both predictions the same

DIFFERENCE = "finite difference"
REPRESENTATIVES = ("SD1.5", "SD2 v", "SD3", "Wan 2.1")  # eps, v, flow, video
# It sends each token to the experts that suit it best; here a change of experts is near, no step may cross it.
KINKED = (("HiDream", "Self-attention multiply"),)
THOROUGH = ("SD3", "Wan 2.1")  # with them, and with REG alone, every estimator meets every form
FEWER = (("reverse", "row-sum"), ("reverse", "directional"), (DIFFERENCE, "row-sum"))
PASS, REPLACED, REFUSED, INAPPLICABLE = "pass", "other estimator", "refused", "not applicable"
WRONG, CRASH, SILENT = "wrong", "crash", "silent"
FAILURES = (WRONG, CRASH, SILENT)


class Result(NamedTuple):
    """What became of a cell, and why."""

    verdict: str
    reason: str = ""


class Failed(Exception):
    """A cell is not right: the verdict and the reason."""


@dataclass(frozen=True)
class Setting:
    """Where a node is put: the family, the type that it computes in, and the MODEL without the node."""

    family: str
    dtype: torch.dtype
    subject: Subject
    model: Model

    def conditioning(self, seed: int) -> Any:
        return self.subject.conditionings[seed]

    def draw(self, *shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
        """The same numbers in every precision."""
        return torch.as_tensor(scale * numpy.random.default_rng(seed).standard_normal(shape)).to(self.dtype)


def plain_guider(model: Model, conds: Conds, setting: Setting) -> Any:
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(conds["positive"], conds["negative"])
    guider.set_cfg(CFG)
    return guider


@dataclass(frozen=True)
class Column:
    """One node of the host, or a use of it, and where it acts: on the MODEL, the conditioning, the GUIDER, the mask.

    ``without``: the model whose predictions are right although the node is on it (an output cache that REG bypasses).
    ``kernel``: it has no derivative, so that REG takes the host's own where it differentiates. ``windows``: REG acts in
    each context window. ``random``: the node draws random numbers in each evaluation. ``kinks``: it takes absolute
    values, over which a difference must not step. ``idle``: the cell counts although the node changes nothing by
    itself. ``alike``: it computes the same in another way. ``last_wins``: of REG, so that
    the order of the nodes matters. ``either``: of two REGs
    the one that is told acts. ``frames``: for video only. ``percents``: of
    sampling, where it is evaluated; the last one is compared with differences. ``families``: those it is run with, if
    not all. ``sampler``, ``scheduler``: a whole run with it instead. ``refusal``: words that truly say why REG can do
    nothing beside it.
    """

    name: str
    group: str
    model: Callable[[Model, Setting], Model] | None = None
    conds: Callable[[Conds, Setting], Conds] | None = None
    guider: Callable[[Model, Conds, Setting], Any] = plain_guider
    build: Callable[[Subject, torch.dtype], Model] | None = None
    compute: torch.dtype = torch.float32
    mask: bool = False
    without: bool = False
    kernel: bool = False
    windows: bool = False
    random: bool = False
    kinks: bool = False
    idle: bool = False
    alike: bool = False
    last_wins: bool = False
    either: bool = False
    frames: bool = False
    percents: tuple[float, ...] = PERCENTS
    families: Sequence[str] | None = None
    sampler: str | None = None
    scheduler: str | None = None
    refusal: str = ""


class Subject:
    """A family whose models are built once in each precision, and what REG gives on it with no node beside it."""

    def __init__(self, name: str, family: Any) -> None:
        self.name, self.latent, self._family = name, family.latent, family
        self._models: dict[torch.dtype, Model] = {}
        self.conditionings = {seed: family.conditioning(seed) for seed in range(1, 5)}
        self.conds: Conds = {"positive": self.conditionings[1], "negative": self.conditionings[2]}
        self.alone: dict[tuple[Any, ...], tuple[Outcome, Outcome]] = {}

    def fresh(self, dtype: torch.dtype) -> Model:
        """A model of its own."""
        return self._family.build(dtype)

    def build(self, dtype: torch.dtype) -> Model:
        if dtype not in self._models:
            self._models[dtype] = self.fresh(dtype)
        return self._models[dtype]

    def forget(self) -> None:
        """After a fault: what is on the models then may stay."""
        self._models.clear()
        self.alone.clear()


@dataclass
class Outcome:
    """Guided predictions of a run, the pairs that its sampling function was given, and what the artist was told."""

    denoised: list[Tensor] = field(default_factory=list)
    given: list[list[tuple[Tensor, Tensor]]] = field(default_factory=list)
    pairs: list[list[tuple[Tensor, Tensor]]] = field(default_factory=list)
    points: list[list[Point]] = field(default_factory=list)
    messages: list[tuple[int, str]] = field(default_factory=list)

    @property
    def last(self) -> int | None:
        """The last evaluation of which both predictions were asked for."""
        return max((place for place, pairs in enumerate(self.pairs) if pairs), default=None)

    def warned(self, text: str) -> bool:
        return any(level >= logging.WARNING and text in message for level, message in self.messages)

    @property
    def summary(self) -> str:
        """What the node with REG said at the end; a node with a schedule says where cfg came from."""
        informed = (message.splitlines()[0] for level, message in self.messages if level == logging.INFO)
        told = [line for line in informed if "cfg comes from the schedule" not in line]
        return told[-1] if told else ""

    @property
    def method(self) -> tuple[str | None, str | None]:
        """Form and estimator, as the artist was told."""
        found = re.search(r"\((row-sum|directional), ([a-z ]+)[,;)]", self.summary)
        return (found[1], found[2]) if found else (None, None)

    @property
    def estimator(self) -> str | None:
        return self.method[1]

    def told(self) -> str:
        return "; ".join(dict.fromkeys(message.splitlines()[0].removeprefix("REG: ") for _, message in self.messages))


@contextmanager
def listening() -> Iterator[list[tuple[int, str]]]:
    heard: list[tuple[int, str]] = []
    handler, logger = logging.Handler(), logging.getLogger("REG")
    handler.emit = lambda record: heard.append((record.levelno, record.getMessage()))  # type: ignore[method-assign]
    level, logger.propagate = logger.level, False
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield heard
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = True


class _Double(TorchFunctionMode):
    """Casts to float32 are casts to float64, and fused kernels, which refuse it, run as their plain counterparts."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.float:
            func = torch.Tensor.double
        elif isinstance(func, (OpOverload, OpOverloadPacket)):
            library, _, name = str(func).partition(".")
            if library == "comfy_kitchen":
                func = getattr(comfy_kitchen.backends.eager, name.removesuffix(".default"), func)
        if torch.float32 in [value for value in args if isinstance(value, torch.dtype)]:
            args = tuple(torch.float64 if value is torch.float32 else value for value in args)
        if kwargs:
            kwargs = {key: torch.float64 if value is torch.float32 else value for key, value in kwargs.items()}
            return func(*args, **kwargs)
        return func(*args)


@contextmanager
def double() -> Iterator[None]:
    """The host computes in double precision inside this block."""
    default, training = torch.get_default_dtype(), comfy.model_management.in_training
    torch.set_default_dtype(torch.float64)
    comfy.model_management.in_training = True
    try:
        with _Double():
            yield
    finally:
        torch.set_default_dtype(default)
        comfy.model_management.in_training = training


@dataclass
class Bench:
    """A family and a column in one precision: builds the models once, runs them with and without REG."""

    subject: Subject
    column: Column
    dtype: torch.dtype
    base: Model

    @property
    def setting(self) -> Setting:
        return Setting(self.subject.name, self.dtype, self.subject, self.base)

    def conds(self) -> Conds:
        conds = self.subject.conds
        return self.column.conds(conds, self.setting) if self.column.conds else conds

    def patched(self, model: Model) -> Model:
        return self.column.model(model, self.setting) if self.column.model else model

    def reference(self, differentiated: bool = True) -> Model:
        """The MODEL without REG whose predictions are the right ones."""
        alone = self.column.without or (self.column.kernel and differentiated)
        return self.base if alone else self.patched(self.base)

    def run(
        self, model: Model, answers: Outcome | None = None, points: Sequence[Point] | None = None, bare: bool = False
    ) -> Outcome:
        """Guided predictions of ``model`` at the levels of the column, or at ``points``, inputs of the guider.

        ``answers``: the pairs that the sampling function gets in place of the model's. ``bare``: the host's CFG guider.
        """
        outcome, model = Outcome(), watched(model, self.column.random)
        asked = Asked(iter([pair for pairs in answers.given for pair in pairs]) if answers else None)
        asked.watch(model, windows=self.column.windows and points is None and answers is None)
        guider = (plain_guider if bare else self.column.guider)(model, self.conds(), self.setting)

        def evaluate(inner: Any, x: Tensor, sigmas: Tensor, extra_args: Any, **kwargs: Any) -> Tensor:
            options = extra_args["model_options"]
            sampling = inner.inner_model.inner_model.model_sampling
            for place, step in enumerate(sigmas[:-1] if points is None else points):
                torch.manual_seed(SEED + place)
                if points is not None:
                    at, level = (part.clone() for part in step)
                    output = inner.inner_model(at, level, model_options=options, seed=SEED)
                else:
                    noise, signal = (self.setting.draw(*x.shape, seed=seed + place) for seed in (11, 21))
                    at = sampling.noise_scaling(step, noise, signal)
                    output = inner(at, step * x.new_ones(len(x)), **extra_args)
                outcome.denoised.append(output.clone())
                asked.keep(outcome)
            return x

        noise, latent, mask = self.start(len(points[0][0]) if points else 1)
        sampling = model.get_model_object("model_sampling")
        levels = [float(sampling.percent_to_sigma(percent)) for percent in self.column.percents]
        sampler, sigmas = comfy.samplers.KSAMPLER(evaluate), torch.tensor([*levels, 0.0], dtype=self.dtype)
        with listening() as outcome.messages:
            guider.sample(noise, latent, sampler, sigmas, denoise_mask=mask, disable_pbar=True, seed=SEED)
        return outcome

    @property
    def kinked(self) -> bool:
        return self.column.kinks or (self.subject.name, self.column.name) in KINKED

    def start(self, batch: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Noise, latent and mask that a sampler is given, the same for all of a batch: some models see them, too."""
        noise, latent = (
            self.setting.draw(1, *self.subject.latent, seed=seed).repeat_interleave(batch, 0) for seed in (5, 6)
        )
        if not self.column.mask:
            return noise, torch.zeros_like(noise), None
        mask = torch.linspace(0, 1, noise.shape[-1], dtype=noise.dtype).expand(batch, 1, *noise.shape[2:])
        return noise, latent, mask.clone()

    def pairs(self, model: Model, points: Sequence[Point]) -> list[tuple[Tensor, Tensor]]:
        """The pairs at some inputs of the guider."""
        return [pairs[0] for pairs in self.run(model, points=points).pairs]

    def slopes(self, model: Model, point: Point, pair: tuple[Tensor, Tensor], along: Sequence[Tensor]) -> list[Tensor]:
        """Derivatives of the conditional prediction: Richardson's extrapolation of two central differences."""
        x, sigma = point
        step = SHORT_STEP if self.kinked else STEP
        steps = (step, -step, 2 * step, -2 * step)
        shifted = [x, *(x + shift * u for u in along for shift in steps)]
        batch = (torch.cat(shifted), sigma.repeat(len(shifted)))
        values: Sequence[Tensor] = ()
        with suppress(RuntimeError, ValueError):  # a model of one sample at a time
            values = self.pairs(model, [batch])[0][0].split(1)
        if not values or distance(values[0], pair[0]) > EXACT / 100:
            # Each in a run of its own: a cache may leave out what seems to come again.
            values = [self.pairs(model, [(part, sigma)])[0][0] for part in shifted]
        columns = zip(*(iter(values[1:]),) * len(steps), strict=True)
        return [(8 * (one - minus_one) - (two - minus_two)) / (12 * step) for one, minus_one, two, minus_two in columns]


@dataclass
class Asked:
    """The pairs of predictions that a run asks for, at its sampling function and, if wanted, in each window."""

    answers: Iterator[tuple[Tensor, Tensor]] | None
    given: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    windows: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    both: bool = False
    """The sampler reads D_u, too."""

    def watch(self, model: Model, windows: bool) -> None:
        options = model.model_options
        self.windowed = windows
        options["sampler_pre_cfg_function"] = [self.see, *options.get("sampler_pre_cfg_function", [])]
        if windows:
            kind = comfy.patcher_extension.WrappersMP.CALC_COND_BATCH
            before = model.wrappers.get(kind, {})
            outer = {key: functions for key, functions in before.items() if key == "neighbour"}
            model.wrappers[kind] = {**outer, "compatibility": [self.window], **before, **outer}

    def see(self, arguments: dict[str, Any]) -> Any:
        pair, conds = arguments["conds_out"], arguments["conds"]
        if len(pair) != 2 or not conds[0] or not conds[1]:
            return pair
        self.both |= arguments["model_options"].get("disable_cfg1_optimization", False)
        if self.answers is not None:
            pair = [part.clone() for part in next(self.answers)]
        self.given.append((pair[0].clone(), pair[1].clone()))
        if not self.windowed:
            self.points.append((arguments["input"].clone(), arguments["sigma"].clone()))
        return pair

    def window(self, executor: Any, inner: Any, conds: Any, x: Tensor, sigma: Tensor, options: Any) -> Any:
        pair = executor(inner, conds, x, sigma, options)
        if len(conds) == 2 and conds[0] and conds[1]:
            self.windows.append((pair[0].clone(), pair[1].clone()))
            self.points.append((x.clone(), sigma.clone()))
        return pair

    def keep(self, outcome: Outcome) -> None:
        """What has been asked for since the last time belongs to one evaluation."""
        outcome.given.append(list(self.given))
        outcome.pairs.append(list(self.windows if self.windowed else self.given))
        outcome.points.append(list(self.points))
        for kept in (self.given, self.windows, self.points):
            kept.clear()


def watched(model: Model, random: bool) -> Model:
    """A clone; where a node draws random numbers, each evaluation of the network gets the same ones."""
    model = model.clone()
    if random:

        def seeded(executor: Any, *args: Any, **kwargs: Any) -> Tensor:
            torch.manual_seed(SEED)
            return executor(*args, **kwargs)

        kind = comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL
        model.add_wrapper_with_key(kind, "same random numbers", seeded)
    return model


def reg(model: Model, form: str = "row-sum", estimator: str = "reverse", **more: Any) -> Model:
    strength = more.pop("strength", 1.0)
    return Guidance(Method(strength, form, estimator, **more.pop("method", {})), **more).install(model)


def distance(value: Tensor, expected: Tensor, scale: Tensor | None = None) -> float:
    size = float((expected if scale is None else scale).norm())
    return float((value - expected).norm()) / size if size else float((value - expected).norm())


def same(first: Outcome, second: Outcome) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first.denoised, second.denoised, strict=True))


def require(truth: bool, reason: str, verdict: str = WRONG) -> None:
    if not truth:
        raise Failed(verdict, reason)


def refusal(outcome: Outcome, column: Column) -> Result:
    """REG changed nothing: it has said so, and what to do."""
    words = ("no effect", "plain CFG", "carries no guidance", "was not applied")
    said = [text for _, text in outcome.messages if any(word in text for word in words)]
    require(bool(said), f"nothing changed, and nothing was said but: {outcome.told() or 'nothing'}", SILENT)
    alike = all(distance(*pair) < UNSEEN for pairs in outcome.pairs for pair in pairs)
    reasons = ["could not be used", "plain CFG", *(["give the same prediction"] if alike else [])]
    reasons += [column.refusal] if column.refusal else []
    guided = any(outcome.pairs) and not any(reason in text for text in said for reason in reasons)
    untrue = guided or any("strength is 0" in text or "Widen the range" in text for text in said)
    require(not untrue, f"nothing changed, and the reason is not true: {said[-1]}")
    return Result(REFUSED, said[-1].splitlines()[0].removeprefix("REG: "))


def bench(subject: Subject, column: Column, dtype: torch.dtype) -> Bench:
    return Bench(subject, column, dtype, column.build(subject, dtype) if column.build else subject.build(dtype))


def check(subject: Subject, column: Column) -> Result:
    """The verdict on one cell; every fault of the host or pack is a verdict, too."""
    try:
        return _check(subject, column)
    except Failed as failure:
        subject.forget()
        return Result(*failure.args)
    except Exception as error:
        subject.forget()
        return Result(CRASH, _explained(error))


def _check(subject: Subject, column: Column) -> Result:
    if column.families is not None and subject.name not in column.families:
        return Result(INAPPLICABLE, f"run with {', '.join(column.families)}")
    if column.frames and (len(subject.latent) != 4 or subject.latent[1] < 2):
        return Result(INAPPLICABLE, "no frames")
    single = bench(subject, column, column.compute)
    if column.sampler or column.scheduler:
        return sampled(single)
    try:
        plain = single.run(single.base if column.last_wins else single.patched(single.base))
    except Exception as error:  # the host's own business
        subject.forget()
        return Result(INAPPLICABLE, f"without REG, too: {_explained(error)}")
    if not all(value.isfinite().all() for value in plain.denoised):
        return Result(INAPPLICABLE, "without REG, too: predictions that are not finite")
    alone = _alone(subject, column, single)
    if not (column.idle or column.mask or column.build or column.last_wins) and same(plain, alone[0]):
        return Result(INAPPLICABLE, "changes nothing in this family")
    return _compared(single, plain, alone)


def _alone(subject: Subject, column: Column, single: Bench) -> tuple[Outcome, Outcome]:
    """What the host and REG predict at the same places with no node beside them."""
    key = (column.compute, *column.percents)
    if key not in subject.alone:
        bare = bench(subject, Column("", "", percents=column.percents), column.compute)
        subject.alone[key] = bare.run(bare.base), bare.run(reg(bare.base))
    return subject.alone[key]


def _compared(single: Bench, plain: Outcome, alone: tuple[Outcome, Outcome]) -> Result:
    column, patched = single.column, single.patched(single.base)
    unchanged = {"strength 0": reg(patched, strength=0.0), "an empty range": reg(patched, start_percent=1.0)}
    for what, off in unchanged.items():
        require(same(single.run(off), plain), f"{what} is not the run without REG")
    guided = single.run(reg(patched))
    require(same(single.run(reg(patched)), guided), "two runs differ")
    if column.model and not column.last_wins:
        after = single.run(single.patched(reg(single.base)))
        require(same(after, guided), "before and after the node in the chain differ")
    before = single.base if column.last_wins else single.patched(single.base)
    require(same(single.run(before), plain), "afterwards the run without REG differs")
    without = plain if single.reference() is not single.base else single.run(single.base)
    if all(distance(*values) < UNSEEN for values in zip(guided.denoised, without.denoised, strict=True)):
        return refusal(guided, single.column)
    require("guidance changed by" in guided.summary, f"there was an effect, and it was said: {guided.told()}")
    if guided.last is None:
        raise Failed(WRONG, f"an effect where no pair was asked for: {guided.told()}")
    replay = single.run(single.reference(), answers=guided)
    for value, expected in zip(guided.denoised, replay.denoised, strict=True):
        require(distance(value, expected) < SINGLE / 10, "the host composes the rectified pair otherwise")
    if column.compute != torch.float32 or column.alike:
        return _alike(single, guided)
    if all(same_pairs(one, two) for one, two in zip((plain, guided), alone, strict=True)) and column.name != "REG":
        return Result(PASS)  # the node acts on the pair, which is that of REG alone
    return _differentiated(single.subject, column, guided)


def same_pairs(first: Outcome, second: Outcome) -> bool:
    """The same pairs at every evaluation, bit for bit."""
    parts = [[part for pairs in outcome.pairs for pair in pairs for part in pair] for outcome in (first, second)]
    return len(parts[0]) == len(parts[1]) and all(torch.equal(one, two) for one, two in zip(*parts, strict=True))


def _alike(single: Bench, guided: Outcome) -> Result:
    """The effect in half precision, or of the same network computed otherwise, against that of REG alone in float32."""
    full = bench(single.subject, single.column, torch.float32)
    right, plain = full.run(reg(full.base)), full.run(full.base)
    for got, expected, pair in zip(guided.pairs[-1], right.pairs[-1], plain.pairs[-1], strict=True):
        off = distance((got[0] - got[1]).float(), expected[0] - expected[1], expected[1] - pair[1])
        require(off < (SINGLE if single.column.alike else HALF), f"the effect is off by {off:.1%}")
    return Result(PASS)


def sampled(single: Bench) -> Result:
    """A whole run; REG gives at each of its evaluations what it gives at that noise level and sample alone."""
    column, base = single.column, single.base

    asked_for_both = False

    def run(model: Model) -> tuple[Tensor, Outcome]:
        nonlocal asked_for_both
        outcome, model = Outcome(), model.clone()
        asked = Asked(None)
        asked.watch(model, windows=False)
        guider = plain_guider(model, single.conds(), single.setting)
        noise, latent, _ = single.start(1)
        sampler = comfy.samplers.sampler_object(column.sampler or "euler")
        sampling = model.get_model_object("model_sampling")
        sigmas = comfy.samplers.calculate_sigmas(sampling, column.scheduler or "simple", STEPS)
        with listening() as outcome.messages:
            image = guider.sample(noise, latent, sampler, sigmas, disable_pbar=True, seed=SEED)
        asked_for_both = asked.both
        asked.keep(outcome)
        return image, outcome

    try:
        plain, _ = run(base)
    except Exception as error:  # the host's own business
        return Result(INAPPLICABLE, f"without REG, too: {_explained(error)}")
    if not plain.isfinite().all():
        return Result(INAPPLICABLE, "without REG, too: an image that is not finite")
    for what, off in {"strength 0": reg(base, strength=0.0), "an empty range": reg(base, start_percent=1.0)}.items():
        require(torch.equal(run(off)[0], plain), f"{what} is not the run without REG")
    image, outcome = run(reg(base))
    require(torch.equal(run(reg(base))[0], image), "two runs differ")
    require(torch.equal(run(base)[0], plain), "afterwards the run without REG differs")
    if torch.equal(image, plain):
        return refusal(outcome, single.column)
    require("guidance changed by" in outcome.summary, f"there was an effect, and it was said: {outcome.told()}")
    require(bool(image.isfinite().all()), "the image is not finite")
    alone = reg(base)
    alone.model_options["disable_cfg1_optimization"] = asked_for_both
    pairs = single.pairs(alone, outcome.points[0])
    for pair, expected in zip(outcome.pairs[0], pairs, strict=True):
        require(all(torch.equal(one, two) for one, two in zip(pair, expected, strict=True)), "a pair is another one")
    return Result(PASS)


def _explained(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:160]


def _differentiated(subject: Subject, column: Column, guided: Outcome) -> Result:
    """Every estimator and form in double precision, and what single precision gives against it."""
    result, place = Result(PASS), guided.last
    assert place is not None
    exact = bench(subject, column, torch.float64)
    with double():
        patched = exact.patched(exact.base)
        plain = exact.run(exact.base if column.last_wins else patched)
        require(plain.last == place, "the host without REG asks for other predictions")
        try:
            references = [Reference.of(exact, point) for point in plain.points[place]]
        except RuntimeError:
            require(column.windows, "the host cannot be asked for its prediction")
            return Result(INAPPLICABLE, "the check cannot ask for one window alone where images join the latent")
        differenced = references
        if column.kernel:
            differenced = [Reference.of(exact, point, differentiated=False) for point in plain.points[place]]
        whole: dict[tuple[str | None, str | None], list[tuple[Tensor, Tensor]]] = {}
        thorough = column.name == "REG" or subject.name in THOROUGH
        for estimator, form in itertools.product(ESTIMATORS, FORMS) if thorough else FEWER:
            outcome = exact.run(reg(patched, form, estimator))
            if outcome.estimator is None:
                result = refusal(outcome, column)
                continue
            told, used = outcome.method
            assert told is not None and used is not None
            require(told == form or column.either, f"{told} in place of {form}")
            if used != estimator and not column.either:
                silent = f"{form}: {used} in place of {estimator} without a warning"
                require(outcome.warned("for the rest of this run"), silent)
                result = Result(REPLACED, _warning(outcome))
            require(len(outcome.pairs[place]) == len(references), "REG changes which predictions are asked for")
            right = differenced if used == DIFFERENCE else references
            for reference, pair in zip(right, outcome.pairs[place], strict=True):
                reference.judge(pair, told, used)
            whole[outcome.method] = outcome.pairs[place]
    if guided.estimator != "reverse":
        require(guided.warned("for the rest of this run"), f"{guided.estimator} in place of reverse without a warning")
        result = Result(REPLACED, _warning(guided))
    right = differenced if guided.estimator == DIFFERENCE else references
    for got, exactly, reference in zip(guided.pairs[place], whole[guided.method], right, strict=True):
        off = distance((got[0] - got[1]).double(), exactly[0] - exactly[1], exactly[1] - reference.pair[1])
        # Where single precision shifts the prediction itself (the embedding of a timestep in other units), so much more
        # may it shift the effect.
        shifted = distance(got[0].double(), exactly[0], exactly[1] - reference.pair[1])
        limit = max(SINGLE, 10 * shifted) if guided.estimator == "reverse" else SINGLE * 100
        require(off < limit, f"in float32 the effect is off by {off:.1%}")
    return result


def _warning(outcome: Outcome) -> str:
    return next(
        (text.splitlines()[0].removeprefix("REG: ") for level, text in outcome.messages if level >= logging.WARNING), ""
    )


@dataclass
class Reference:
    """Plain predictions at one input of the network, and central differences of the conditional one."""

    pair: tuple[Tensor, Tensor]
    alpha: Tensor
    tolerance: float
    probes: list[Tensor]
    slopes: list[Tensor]
    along_ones: Tensor
    along_gap: Tensor

    @classmethod
    def of(cls, bench: Bench, point: Point, differentiated: bool = True) -> Reference:
        model = bench.reference(differentiated)
        pair = bench.pairs(model, [point])[0]
        x, sigma = point
        ones = torch.ones(1, *[1] * (x.ndim - 1), dtype=x.dtype)
        alpha = model.get_model_object("model_sampling").noise_scaling(sigma[:1], torch.zeros_like(ones), ones)
        gap = pair[0] - pair[1]
        visible = gap.abs() > VISIBLE * gap.abs().max()  # elsewhere the factor does not show
        probes = [bench.setting.draw(*x.shape, seed=31 + seed) * visible for seed in range(PROBES)]
        *slopes, along_ones, along_gap = bench.slopes(model, point, pair, [*probes, torch.ones_like(x), gap])
        tolerance = NEAR if bench.kinked else EXACT
        return cls(pair, alpha, tolerance, probes, slopes, alpha * along_ones, alpha * along_gap)

    def judge(self, pair: tuple[Tensor, Tensor], form: str, estimator: str) -> None:
        """Whether a rectified pair is right by this estimator.

        <factor, u> = alpha <1, J u>, or <G, u> = alpha <g, J u>, for reverse; the whole of G by the others.
        """
        case = f"{form}, {estimator}"
        gap, rectified = self.pair[0] - self.pair[1], pair[0] - pair[1]
        off = distance(pair[0], self.pair[0])
        require(off < EXACT, f"{case}: the conditional prediction is off by {off:.1e}")
        if estimator != "reverse":
            off = distance(rectified, self.along_ones * gap if form == "row-sum" else self.along_gap)
            limit = self.tolerance * 10 if estimator == "forward" else DIFFERENCED
            require(off < limit, f"{case}: the product is off by {off:.1e}")
            return
        for u, slope in zip(self.probes, self.slopes, strict=True):
            product = (rectified / gap).where(u != 0, 0) if form == "row-sum" else rectified
            expected = (self.alpha * slope * (1 if form == "row-sum" else gap)).sum()
            off = float(((product * u).sum() - expected).abs() / (product.norm() * u.norm()))
            require(off < self.tolerance, f"{case}: the product is off by {off:.1e}")
