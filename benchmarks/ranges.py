"""Which settings are useful: digits drawn by the playground model, judged against real ones, as Markdown tables.

python run.py bench ranges (needs scikit-learn, which has the real digits)
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

from harness import REPOSITORY  # first: it imports the host

sys.path.insert(0, str(REPOSITORY / "playground"))

# isort: split
import comfy.sd
import comfy.utils
import torch
import torch.nn.functional as F
from frontier import calibrated
from sklearn.datasets import load_digits
from sklearn.svm import SVC
from torch import Tensor
from train import render

import nodes
from reg_pack.nodes.host.derivative.selection import Method
from reg_pack.nodes.host.sampling import Guidance
from reg_pack.nodes.host.scheduling import ScheduledWeight
from reg_pack.nodes.playground.digits import UNCONDITIONAL, class_conditioning
from reg_pack.reg_core.rectification import FORMS
from reg_pack.reg_core.schedule import SNR, Constant, Cosine, Exponential, Interval, Linear, Schedule

STEPS, CLASSES, SEEDS = 20, 10, 5
PER_CLASS = 10  # images of each digit for each seed
RANGES = ((0.0, 0.3), (0.0, 0.6), (0.2, 0.6), (0.3, 0.8), (0.5, 1.0))
Model = Any


class Judge:
    """Real digits, rendered as the model has seen them, and a classifier of them."""

    def __init__(self) -> None:
        digits = load_digits()
        images = torch.from_numpy(digits.images).float()[:, None] / 16
        torch.manual_seed(0)
        real = torch.cat([render(images) for _ in range(3)])
        labels = torch.from_numpy(digits.target).repeat(3)
        self.classifier = SVC(gamma=0.001).fit(self._small(real) * 16, labels)
        self.mean, self.covariance = self._moments(real)

    @staticmethod
    def _small(pixels: Tensor) -> Tensor:
        return F.avg_pool2d(pixels.clamp(0, 1), 4).flatten(1)

    def _moments(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        small = self._small(pixels).double()
        return small.mean(0), small.T.cov()

    def row(self, pixels: Tensor, labels: Tensor) -> list[str]:
        """Accuracy, Frechet distance of 8 x 8 pixels to real digits, contrast, share of pixels outside [0, 1]."""
        found = torch.from_numpy(self.classifier.predict(self._small(pixels) * 16))
        mean, covariance = self._moments(pixels)
        cross = torch.linalg.eigvals(covariance @ self.covariance).real.clamp(min=0).sqrt().sum()
        distance = (mean - self.mean).square().sum() + covariance.trace() + self.covariance.trace() - 2 * cross
        outside = ((pixels - pixels.clamp(0, 1)).abs() > 0.05).float().mean()
        accuracy = (found == labels).float().mean()
        return [f"{accuracy:.1%}", f"{distance:.3f}", f"{pixels.clamp(0, 1).std():.3f}", f"{outside:.2%}"]


def draw(model: Model, weight: float) -> tuple[Tensor, Tensor]:
    labels = torch.arange(CLASSES).repeat(PER_CLASS)
    positive, negative = class_conditioning(labels.tolist()), class_conditioning([UNCONDITIONAL])
    latent = {"samples": torch.zeros(len(labels), 16, 8, 8)}
    samples = [
        nodes.common_ksampler(model, seed, STEPS, weight, "euler", "simple", positive, negative, latent)[0]["samples"]
        for seed in range(SEEDS)
    ]
    return (F.pixel_shuffle(torch.cat(samples), 4) + 1) / 2, labels.repeat(SEEDS)


def reg(model: Model, strength: float = 1.0, form: str = "row-sum", start: float = 0.0, end: float = 1.0) -> Model:
    return Guidance(Method(strength, form), start, end).install(model)


def scheduled(model: Model, schedule: Schedule) -> Model:
    return ScheduledWeight(schedule).install(model)


def rising(start: float, end: float) -> Exponential:
    return Exponential(start, math.log(end / start))


def print_table(judge: Judge, ways: Mapping[str, tuple[Model, float]]) -> None:
    print("\n| | accuracy | distance to real digits | contrast | outside |\n| --- | --- | --- | --- | --- |")
    for name, (model, weight) in ways.items():
        print(f"| {name} | " + " | ".join(judge.row(*draw(model, weight))) + " |", flush=True)


def main() -> None:
    comfy.utils.set_progress_bar_enabled(False)
    judge = Judge()
    with torch.inference_mode():  # as in the host's nodes
        model = comfy.sd.load_diffusion_model(str(REPOSITORY / "playground" / "reg_playground_digits.safetensors"))
        weights = (1.0, 2.0, 3.0, 5.0, 8.0)
        print_table(
            judge,
            {f"CFG, w = {w:g}": (model, w) for w in weights}
            | {f"REG row-sum, w = {w:g}": (reg(model), w) for w in weights[1:]}
            | {f"REG directional, w = {w:g}": (reg(model, form="directional"), w) for w in weights[1:]},
        )
        w = 5.0
        print_table(
            judge,
            {f"REG, w = {w:g}, strength {s:g}": (reg(model, s), w) for s in (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)}
            | {f"REG from {a:.0%} to {b:.0%}": (reg(model, 1.0, "row-sum", a, b), w) for a, b in RANGES},
        )
        print_table(
            judge,
            {f"constant {w:g}": (scheduled(model, Constant(w)), w)}
            | {f"linear {a:g} to {b:g}": (scheduled(model, Linear(a, b)), w) for a, b in ((w, 1.0), (1.0, w))}
            | {f"cosine, power {p:g}": (scheduled(model, Cosine(w, p)), w) for p in (0.5, 1.0, 2.0, 4.0)}
            | {f"interval {a:.0%} to {b:.0%}": (scheduled(model, Interval(w, a, b)), w) for a, b in RANGES}
            | {f"SNR, spread {s:g}": (scheduled(model, SNR(w, s)), w) for s in (0.25, 0.5, 1.0, 2.0, 4.0)}
            | {f"exponential {a:g} to {w:g}": (scheduled(model, rising(a, w)), w) for a in (4.0, 2.5, 1.5, 1.0)}
            | {f"measured by REG {form}": (scheduled(model, calibrated(model, form, w)), w) for form in FORMS},
        )


if __name__ == "__main__":
    main()
