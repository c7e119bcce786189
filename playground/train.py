"""Train the playground model: a tiny class-conditional digit generator with the Stable Diffusion 3 architecture.

The network is ComfyUI's own SD3 MMDiT class at depth 2 (about 1.1 million parameters), so that ComfyUI's stock
loader takes the result for an SD3 model. It is trained from scratch as a rectified flow on the 8x8 hand-written
digits that ship inside scikit-learn, rendered at 32x32 and packed into 16 channels x 8 x 8 (see MODEL_CARD.md).
The run writes the weights (fp16, moving average) and a sample sheet, and prints an evaluation of plain classifier-free
guidance. It needs ComfyUI's requirements and scikit-learn, but no GPU.

    COMFYUI_PATH=/path/to/ComfyUI python playground/train.py [--steps N] [--output FILE] [--resume FILE]
"""

import argparse
import copy
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from flow import flow_loss, save_weights
from network import SCALE, SHIFT, build_network, sample
from safetensors.torch import load_file
from sheet import save_sheet
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

SEED, NULL, GUIDANCE = 0, 10, (1.0, 2.0, 3.0, 5.0)  # class 10 is the unconditional model, 0..9 are the digits
BATCH, LEARNING_RATE, WARMUP, EMA_DECAY, NULL_SHARE, CHECKPOINT_EVERY = 128, 1e-3, 300, 0.999, 0.15, 1500
CELLS = 8  # of a latent, along one side
METADATA = {
    "modelspec.title": "REG playground digits",
    "modelspec.description": "Digits; latent = pixel_unshuffle(2 * grey - 1, 4), one-hot of 11 as context and pooled.",
    "modelspec.license": "GPL-3.0",
}


def render(images: Tensor) -> Tensor:
    """8x8 digits (n, 1, 8, 8) in [0, 1] -> 32x32: smooth, light random affine, firm strokes, random ink strength."""
    n = len(images)
    angle, size = (torch.rand(n) * 2 - 1) * math.radians(8.0), 1.0 + (torch.rand(n) * 2 - 1) * 0.08
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = angle.cos() / size
    theta[:, 1, 0] = angle.sin() / size
    theta[:, 0, 1] = -theta[:, 1, 0]
    theta[:, :, 2] = (torch.rand(n, 2) * 2 - 1) * (1.5 / 16)  # 1.5 of 32 pixels
    grid = F.affine_grid(theta, [n, 1, 32, 32], align_corners=False)
    smooth = F.grid_sample(images, grid, mode="bicubic", padding_mode="zeros", align_corners=False)
    return ((smooth - 0.5) * 1.5 + 0.5).clamp(0.0, 1.0) * (0.6 + 0.4 * torch.rand(n, 1, 1, 1))


def tokens(labels: Tensor) -> Tensor:
    """The one-hot token [batch, 1, 11] of each class."""
    return F.one_hot(labels, NULL + 1).float()[:, None]


def draw(network: nn.Module, labels: Tensor, w: float, seed: int) -> Tensor:
    """Pixels [batch, 1, 32, 32] of the classes by plain CFG, not clamped."""
    null = tokens(torch.tensor([NULL]))
    return (F.pixel_shuffle(sample(network, tokens(labels), null, CELLS, w, seed) / SCALE + SHIFT, 4) + 1) / 2


def features(pixels: Tensor) -> np.ndarray:
    """32x32 pixels -> the 8x8 values 0..16 that the classifier reads."""
    return (F.avg_pool2d(pixels.clamp(0, 1), 4).flatten(1) * 16).numpy()


def make_judge(images: Tensor, labels: Tensor) -> SVC:
    """An SVM fitted to 80 % of the real digits, raw and rendered; prints its held-out accuracy."""
    fit, held = train_test_split(np.arange(len(images)), test_size=0.2, random_state=SEED, stratify=labels)
    raw = (images * 16).flatten(1).numpy()
    rendered = [features(render(images[fit])) for _ in range(4)]
    svm = SVC(gamma=0.001).fit(  # pyright: ignore[reportArgumentType]
        np.concatenate([raw[fit], *rendered]), np.tile(labels[fit].numpy(), 5)
    )
    real = render(images[held])
    looks = f"contrast {real.std():.3f}, white {(real > 0.95).float().mean():.1%}"
    scores = svm.score(raw[held], labels[held]), svm.score(features(real), labels[held])
    print(f"held-out real digits: accuracy raw {scores[0]:.4f}, rendered {scores[1]:.4f}, {looks}")
    return svm


def train(model: nn.Module, images: Tensor, labels: Tensor, steps: int, output: Path) -> nn.Module:
    """Rectified flow, v = noise - x0; returns (and saves now and then) the moving average of the weights."""
    average = copy.deepcopy(model).eval()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01, fused=True)
    pace = LambdaLR(optimizer, lambda i: min(1, (i + 1) / WARMUP) * (0.505 + 0.495 * math.cos(math.pi * i / steps)))
    start, losses = time.monotonic(), []
    for step in range(1, steps + 1):
        index = torch.randint(len(images), (BATCH,))
        label = labels[index].masked_fill(torch.rand(BATCH) < NULL_SHARE, NULL)
        x0 = (F.pixel_unshuffle(2 * render(images[index]) - 1, 4) - SHIFT) * SCALE  # what the host feeds the network
        loss = flow_loss(model, x0, tokens(label))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        pace.step()
        for kept, new in zip(average.parameters(), model.parameters(), strict=True):
            kept.data.lerp_(new.data, 1 - min(EMA_DECAY, (1 + step) / (10 + step)))
        losses.append(loss.item())
        if step % 100 == 0:
            print(f"step {step}  loss {np.mean(losses[-100:]):.4f}  {time.monotonic() - start:.0f} s", flush=True)
        if step % CHECKPOINT_EVERY == 0 or step == steps:
            save_weights(average, output, METADATA)
    print(f"mean loss of the last {len(losses[-500:])} steps: {np.mean(losses[-500:]):.4f}")
    return average


def evaluate(model: nn.Module, judge: SVC) -> None:
    label = torch.arange(10).repeat(50)
    for w in GUIDANCE:
        made = draw(model, label, w, SEED)
        excess = (made - made.clamp(0, 1)).abs()
        outside = ", ".join(f"{float((excess > m).float().mean()):.1%} by > {m:g}" for m in (0, 0.05, 0.2))
        looks = f"contrast {made.std():.3f}, white {(made > 0.95).float().mean():.1%}, outside [0, 1]: {outside}"
        print(f"w = {w:g}: accuracy {judge.score(features(made), label):.3f}, {looks}")


def show(model: nn.Module, output: Path) -> None:
    """Save a sheet: one row per guidance scale, one column per digit, the same noise in every row."""
    rows = [(f"w = {w:g}", draw(model, torch.arange(10), w, seed=7)) for w in GUIDANCE]
    save_sheet(rows, [str(digit) for digit in range(10)], output)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the playground model; see the top of this file.")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("reg_playground_digits.safetensors"))
    parser.add_argument("--resume", type=Path, help="go on from these weights, with a fresh learning rate schedule")
    options = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # the model is too small to gain much from more
    pixels, labels = (torch.from_numpy(array).long() for array in load_digits(return_X_y=True))
    images = (pixels / 16).view(-1, 1, 8, 8)
    judge = make_judge(images, labels)
    model = build_network(os.environ["COMFYUI_PATH"], NULL + 1, CELLS)
    if options.resume:
        torch.manual_seed(SEED + 1)
        model.load_state_dict(load_file(options.resume))
    average = train(model, images, labels, options.steps, options.output)
    evaluate(average.half().float(), judge)  # rounded as in the file
    show(average, options.output.with_name("samples.png"))


if __name__ == "__main__":
    main()
