"""What REG costs and what its factor is on the playground model, through the host's own KSampler, as Markdown tables.

    COMFYUI_PATH=/path/to/ComfyUI python benchmarks/playground.py

Time is the median over runs that take turns, so that the ratio to plain CFG holds when the machine's speed drifts.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from bootstrap.pack import import_pack  # noqa: E402

import_pack(Path(os.environ["COMFYUI_PATH"]))

import comfy.sd  # noqa: E402
import comfy.utils  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

import nodes  # noqa: E402
from reg_pack.nodes.host.estimation import Method  # noqa: E402
from reg_pack.nodes.host.sampling import Guidance, ScheduledWeight  # noqa: E402
from reg_pack.nodes.playground import UNCONDITIONAL, class_conditioning  # noqa: E402
from reg_pack.reg_core.schedule import SNR, Interval  # noqa: E402

WEIGHT, STEPS, BATCH, ROUNDS = 3.0, 20, 10, 7
Model = Any


def reg(model: Model, form: str, estimator: str) -> Model:
    return Guidance(Method(form=form, estimator=estimator)).install(model)


def sample(model: Model, weight: float = WEIGHT) -> Tensor:
    positive, negative = class_conditioning(list(range(BATCH))), class_conditioning([UNCONDITIONAL])
    latent = {"samples": torch.zeros(BATCH, 16, 8, 8)}
    return nodes.common_ksampler(model, 1, STEPS, weight, "euler", "simple", positive, negative, latent)[0]["samples"]


def seconds(run: Callable[[], Tensor]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def print_cost(model: Model) -> None:
    ways = {"no guidance (w = 1)": lambda: sample(model, 1.0), "CFG": lambda: sample(model)}
    for form in ("row-sum", "directional"):
        for estimator in ("reverse", "finite difference", "forward"):
            guided = reg(model, form, estimator)
            ways[f"REG {form}, {estimator}"] = lambda guided=guided: sample(guided)
    interval = ScheduledWeight(Interval(WEIGHT, 0.2, 0.6)).install(reg(model, "row-sum", "reverse"))
    ways["REG row-sum, reverse, interval 0.2 to 0.6"] = lambda: sample(interval)
    for run in ways.values():
        run()
    times = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, run in ways.items():
            times[name].append(seconds(run))
    cfg = times["CFG"]
    print(f"| w = {WEIGHT:g}, {STEPS} Euler steps, batch {BATCH} | ms per image | ratio to CFG |\n| --- | --- | --- |")
    for name, values in times.items():
        ratio = statistics.median(value / plain for value, plain in zip(values, cfg, strict=True))
        print(f"| {name} | {statistics.median(values) / BATCH * 1000:.1f} | {ratio:.2f} |")


def print_factor(model: Model) -> None:
    """The factor R of the row-sum form at each step, read off the predictions that the sampler gets."""
    rows: list[list[float]] = []
    guided = reg(model, "row-sum", "reverse")

    def record(executor: Any, inner: Any, conds: Any, x: Tensor, sigma: Tensor, options: Any) -> Any:
        conditional, rectified = executor(inner, conds, x, sigma, options)
        unconditional = executor.original(inner, conds, x, sigma, options)[1]
        gap, change = conditional - unconditional, conditional - rectified
        visible = gap.abs() > 0.05 * gap.abs().amax()
        factor = (change / gap)[visible]
        quantiles = factor.quantile(torch.tensor([0.05, 0.5, 0.95])).tolist()
        rows.append([float(sigma[0]), float(factor.mean()), float(factor.std()), *quantiles])
        return [conditional, rectified]

    kind = "calc_cond_batch"
    guided.wrappers[kind] = {"record": [record], **guided.wrappers[kind]}
    sample(guided)
    print(
        "\n| step | sigma | mean R | standard deviation | 5 % | median | 95 % |"
        "\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    for step, row in enumerate(rows):
        print(f"| {step} | " + " | ".join(f"{value:.2f}" for value in row) + " |")


def print_saturation(model: Model) -> None:
    ways = {
        "CFG": lambda weight: sample(model, weight),
        "REG row-sum": lambda weight: sample(reg(model, "row-sum", "reverse"), weight),
        "REG directional": lambda weight: sample(reg(model, "directional", "reverse"), weight),
        "SNR schedule, spread 1": lambda weight: sample(ScheduledWeight(SNR(weight)).install(model)),
    }
    weights = (1.0, 2.0, 3.0, 5.0)
    print("\n| pixels more than 0.05 outside [0, 1] | " + " | ".join(f"w = {w:g}" for w in weights) + " |")
    print("| --- |" + " --- |" * len(weights))
    for name, run in ways.items():
        pixels = [(run(weight) + 1) / 2 for weight in weights]
        shares = [float(((p - p.clamp(0, 1)).abs() > 0.05).float().mean()) for p in pixels]
        print(f"| {name} | " + " | ".join(f"{share:.1%}" for share in shares) + " |")


def main() -> None:
    comfy.utils.set_progress_bar_enabled(False)
    with torch.inference_mode():  # as in the host's nodes
        model = comfy.sd.load_diffusion_model(str(REPOSITORY / "playground" / "reg_playground_digits.safetensors"))
        print_cost(model)
        print_factor(model)
        print_saturation(model)


if __name__ == "__main__":
    main()
