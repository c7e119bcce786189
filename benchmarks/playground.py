"""What REG costs and does on the playground model, through the host's own KSampler, as Markdown tables.

python run.py bench playground
"""

from __future__ import annotations

from typing import Any, NamedTuple

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
from reg_pack.nodes.playground.prompt import conditioning
from reg_pack.nodes.playground.words import COLOURS, STYLES, SUBJECTS
from reg_pack.reg_core.refresh import AS_CFG
from reg_pack.reg_core.schedule import SNR, Interval

WEIGHT, STEPS, BATCH, ROUNDS = 3.0, 20, 10, 7
SEEDS = range(1, 7)
FORMS = ("row-sum", "directional")
Model = Any


class Playground(NamedTuple):
    """A model that ships with the pack, and what it is asked to draw: ``BATCH`` prompts, and none."""

    file: str
    positive: list[Any]
    negative: list[Any]

    def load(self) -> Model:
        return comfy.sd.load_diffusion_model(str(REPOSITORY / "playground" / self.file))


def emoji_prompts() -> str:
    """Subjects in the order of the vocabulary, each second one with a colour, styles in turn."""
    subjects = SUBJECTS[:: len(SUBJECTS) // BATCH]
    colours = [COLOURS[i // 2 % len(COLOURS)] if i % 2 else "" for i in range(BATCH)]
    return "\n".join(f"{colours[i]} {subjects[i]} {STYLES[i % len(STYLES)]}" for i in range(BATCH))


PLAYGROUNDS = {
    "digits": Playground(
        "reg_playground_digits.safetensors", class_conditioning(list(range(BATCH))), class_conditioning([UNCONDITIONAL])
    ),
    "emoji": Playground("reg_playground_emoji.safetensors", conditioning(emoji_prompts()), conditioning("")),
}
DIGITS = PLAYGROUNDS["digits"]


def reg(model: Model, form: str = "row-sum", estimator: str = "reverse", refresh: str = "every step") -> Model:
    return Guidance(Method(form=form, estimator=estimator, refresh=refresh)).install(model)


def sample(
    model: Model, weight: float = WEIGHT, seed: int = 1, steps: int = STEPS, playground: Playground = DIGITS
) -> Tensor:
    latent = {"samples": torch.zeros(BATCH, 16, 8, 8)}
    settings = (seed, steps, weight, "euler", "simple")
    prompts = playground.positive, playground.negative
    return nodes.common_ksampler(model, *settings, *prompts, latent)[0]["samples"]


def print_cost(model: Model) -> None:
    ways = {
        "CFG": model,
        "REG row-sum, reverse, every step: the paper": reg(model),
        "REG row-sum, reverse, best": reg(model, refresh="best"),
        "REG row-sum, reverse, as CFG (auto)": reg(model, estimator="auto", refresh="auto"),
        "REG row-sum, finite difference, every step": reg(model, estimator="finite difference"),
        "REG row-sum, finite difference, as CFG": reg(model, estimator="finite difference", refresh=AS_CFG),
        "REG row-sum, forward, every step": reg(model, estimator="forward"),
        "REG directional, reverse, every step": reg(model, "directional"),
        "REG directional, reverse, as CFG (auto)": reg(model, "directional", estimator="auto", refresh="auto"),
        "REG directional, finite difference, every step": reg(model, "directional", "finite difference"),
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
        model = DIGITS.load()
        print_cost(model)
        print_saturation(model)


if __name__ == "__main__":
    main()
