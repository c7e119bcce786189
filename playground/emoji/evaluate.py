"""Figures for the emoji model's card: CFG, REG and a free schedule, judged by a classifier, as a Markdown table.

export COMFYUI_PATH=/path/to/ComfyUI PYTHONPATH=playground:nodes/playground:benchmarks
python playground/emoji/evaluate.py --run FOLDER [--pictures FOLDER] [--images N]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from harness import REPOSITORY  # first: it imports the host

# isort: split
import comfy.sd
import comfy.utils
import torch
from flow import write
from judge import Judge, trained_judge
from pictures import load
from torch import Tensor
from train import choose, render
from words import SUBJECTS, tokens

import nodes
from reg_pack.nodes.host.derivative.selection import Method
from reg_pack.nodes.host.sampling import Guidance
from reg_pack.nodes.host.scheduling import ScheduledWeight
from reg_pack.nodes.playground.pixels import MODELS
from reg_pack.reg_core.schedule import SNR

BATCH, STEPS, SEED = 40, 20, 700
CLIPPED = 0.02  # a value further outside [0, 1] counts as clipped
VARIETY = 10  # pictures of each prompt of one word
CFG, STRONG, SPREAD = (1.0, 1.5, 2.0, 3.0, 5.0, 8.0), (2.0, 3.0, 5.0, 8.0), 0.5


def conditioning(words: Tensor) -> list[Any]:
    context = tokens(words)
    return [[context, {"pooled_output": context.sum(1)}]]


def sample(model: Any, words: Tensor, w: float) -> Tensor:
    """RGB [n, 3, 64, 64], not clamped, through the host's KSampler; the same noise for every model and w."""
    null, made = conditioning(torch.zeros(1, 3).long()), []
    for index, part in enumerate(words.split(BATCH)):
        latent = {"samples": torch.zeros(len(part), 16, 8, 8)}
        settings = (SEED + index, STEPS, w, "euler", "simple")
        prompts = conditioning(part), null
        (result,) = nodes.common_ksampler(model, *settings, *prompts, latent)  # pyright: ignore[reportAttributeAccessIssue]
        made.append(MODELS["emoji"].decode(result["samples"]))
    return torch.cat(made)


def frechet(a: Tensor, b: Tensor) -> float:
    """|mean a - mean b|^2 + tr(A + B - 2 (A B)^1/2) of features [n, 128], scaled by 100."""
    a, b = a.double(), b.double()
    first, second = torch.cov(a.T), torch.cov(b.T)
    cross = torch.linalg.eigvals(first @ second).real.clamp(min=0).sqrt().sum()
    return 100 * float((a.mean(0) - b.mean(0)).square().sum() + first.trace() + second.trace() - 2 * cross)


def colourfulness(pixels: Tensor) -> float:
    """Hasler and Suesstrunk's measure on values 0 to 255, mean over the pictures."""
    red, green, blue = (255 * pixels.clamp(0, 1)).unbind(1)
    pairs = (red - green).flatten(1), ((red + green) / 2 - blue).flatten(1)
    spread = sum(pair.var(1) for pair in pairs)
    middle = sum(pair.mean(1).square() for pair in pairs)
    return float((torch.as_tensor(spread).sqrt() + 0.3 * torch.as_tensor(middle).sqrt()).mean())


def row(name: str, judge: Judge, pixels: Tensor, words: Tensor, real: Tensor, spread: float) -> str:
    right = torch.stack([scores.argmax(1) for scores in judge(pixels)], 1) == words - torch.tensor([1, 0, 1])
    outside = (pixels < -CLIPPED) | (pixels > 1 + CLIPPED)
    shares = [*right.float().mean(0).tolist(), float(right.all(1).float().mean()), float(outside.float().mean())]
    figures = [*(f"{share:.1%}" for share in shares), f"{frechet(judge.features(pixels), real):.1f}"]
    return "| " + " | ".join([name, *figures, f"{colourfulness(pixels):.0f}", f"{spread:.2f}"]) + " |"


def variety(judge: Judge, pixels: Tensor) -> float:
    """The trace of the covariance of the judge's features among the pictures of one prompt, mean over the prompts."""
    features = judge.features(pixels).view(-1, VARIETY, 128)
    return float(features.var(1).sum(-1).mean())


def reg(model: Any) -> Any:
    return Guidance(Method(form="row-sum", estimator="reverse", refresh="every step")).install(model)


@torch.inference_mode()
def compare(model: Any, judge: Judge, pictures: Tensor, count: int) -> None:
    generator = torch.Generator().manual_seed(SEED)
    chosen = choose(count, generator)
    words = chosen + torch.tensor([1, 0, 1])
    real, other = (render(pictures, chosen, generator) for _ in range(2))
    alone = torch.zeros(len(SUBJECTS), 3).long()
    alone[:, 0] = torch.arange(len(SUBJECTS)) + 1
    alone = alone.repeat_interleave(VARIETY, 0)
    free = choose(len(alone), generator)
    free[:, 0] = alone[:, 0] - 1
    natural = variety(judge, render(pictures, free, generator))
    features = judge.features(real)
    print("| | subject | colour | style | all three | clipped | Frechet | colourfulness | variety |")
    print("| --- " * 9 + "|")
    print(row("data", judge, other, words, features, 1.0), flush=True)
    ways = [(f"CFG {w:g}", model, w) for w in CFG] + [(f"REG {w:g}", reg(model), w) for w in STRONG]
    ways += [(f"SNR {SPREAD:g}, {w:g}", ScheduledWeight(SNR(w, SPREAD)).install(model), w) for w in STRONG[1:]]
    for name, way, w in ways:
        spread = variety(judge, sample(way, alone, w)) / natural
        print(row(name, judge, sample(way, words, w), words, features, spread), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Evaluate the emoji model; see the top of this file.")
    parser.add_argument("--run", type=Path, required=True, help="folder of the training run, where the judge is kept")
    parser.add_argument("--pictures", type=Path, help="cache folder of the npm packages; by default in the run")
    parser.add_argument("--images", type=int, default=480)
    options = parser.parse_args()
    torch.set_num_threads(1)
    comfy.utils.set_progress_bar_enabled(False)
    pictures, path = load(options.pictures or options.run / "pictures"), options.run / "judge.pt"
    if not path.exists():
        write(path, lambda partial: torch.save(trained_judge(pictures).state_dict(), partial))
    judge = Judge()
    judge.load_state_dict(torch.load(path, weights_only=True))
    file = REPOSITORY / "playground" / "reg_playground_emoji.safetensors"
    compare(comfy.sd.load_diffusion_model(str(file)), judge.eval().requires_grad_(False), pictures, options.images)


if __name__ == "__main__":
    main()
