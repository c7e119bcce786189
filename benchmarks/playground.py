"""What REG costs and does on the playground model, through the host's own KSampler, as Markdown tables.

python run.py bench playground
"""

from __future__ import annotations

from typing import Any

from harness import REPOSITORY, side_by_side  # first: it imports the host

# isort: split
import comfy.sd
import comfy.utils
import torch
from torch import Tensor

import nodes
from reg_pack.nodes.host.derivative.selection import Method
from reg_pack.nodes.host.sampling import Guidance
from reg_pack.nodes.host.scheduling import ScheduledWeight
from reg_pack.nodes.playground.digits import UNCONDITIONAL, class_conditioning
from reg_pack.reg_core.schedule import SNR, Interval

WEIGHT, STEPS, BATCH, ROUNDS = 3.0, 20, 10, 7
SEEDS = range(1, 7)
FORMS = ("row-sum", "directional")
Model = Any


def reg(model: Model, form: str = "row-sum", estimator: str = "reverse", refresh: str = "every step") -> Model:
    return Guidance(Method(form=form, estimator=estimator, refresh=refresh)).install(model)


def sample(model: Model, weight: float = WEIGHT, seed: int = 1) -> Tensor:
    positive, negative = class_conditioning(list(range(BATCH))), class_conditioning([UNCONDITIONAL])
    latent = {"samples": torch.zeros(BATCH, 16, 8, 8)}
    settings = (seed, STEPS, weight, "euler", "simple")
    return nodes.common_ksampler(model, *settings, positive, negative, latent)[0]["samples"]


def print_cost(model: Model) -> None:
    ways = {
        "CFG": model,
        "REG row-sum, reverse: the paper": reg(model),
        "REG row-sum, reverse, every 2 steps": reg(model, refresh="every 2 steps"),
        "REG row-sum, reverse, every 3 steps": reg(model, refresh="every 3 steps"),
        "REG row-sum, reverse, every 4 steps": reg(model, refresh="every 4 steps"),
        "REG row-sum, reverse, by noise (auto)": reg(model, estimator="auto", refresh="auto"),
        "REG row-sum, finite difference": reg(model, estimator="finite difference"),
        "REG row-sum, finite difference, by noise": reg(model, estimator="finite difference", refresh="by noise"),
        "REG row-sum, forward": reg(model, estimator="forward"),
        "REG directional, reverse": reg(model, "directional"),
        "REG directional, reverse, by noise": reg(model, "directional", refresh="by noise"),
        "REG directional, finite difference": reg(model, "directional", "finite difference"),
    }
    runs = {name: (lambda way=way: sample(way)) for name, way in ways.items()}
    interval = ScheduledWeight(Interval(WEIGHT, 0.2, 0.6)).install(reg(model, estimator="auto", refresh="auto"))
    runs["REG auto, guidance between 20 and 60 %"] = lambda: sample(interval)
    runs["no guidance (w = 1)"] = lambda: sample(model, 1.0)
    for run in runs.values():
        run()
    times = side_by_side(runs, ROUNDS)
    cfg = torch.cat([sample(model, seed=seed) for seed in SEEDS])
    exact = {form: torch.cat([sample(reg(model, form), seed=seed) for seed in SEEDS]) for form in FORMS}
    print(
        f"| w = {WEIGHT:g}, {STEPS} Euler steps, batch {BATCH} | ms per image | time, ratio to CFG "
        "| effect kept, of the same form by reverse |\n| --- | --- | --- | --- |"
    )
    for name, (median, ratio) in times.items():
        kept = "-"
        if name in ways and name != "CFG":
            form = next(form for form in FORMS if form in name)
            samples = torch.cat([sample(ways[name], seed=seed) for seed in SEEDS])
            kept = f"{1 - distance(samples, exact[form]) / distance(cfg, exact[form]):.0%}"
        print(f"| {name} | {median / BATCH * 1000:.1f} | {ratio:.2f} | {kept} |")


def distance(a: Tensor, b: Tensor) -> float:
    """Mean over the samples of their Euclidean distance."""
    return float((a - b).flatten(1).norm(dim=1).mean())


def print_factor(model: Model) -> None:
    """The factor R of the row-sum form at each step, read off the predictions that the sampler gets."""
    rows: list[list[float]] = []
    guided = reg(model)

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
        "REG row-sum": lambda weight: sample(reg(model), weight),
        "REG directional": lambda weight: sample(reg(model, "directional"), weight),
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
