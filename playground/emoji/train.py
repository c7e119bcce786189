"""Train the emoji model: pictures by subject, colour and art style, on the Stable Diffusion 3 architecture.

The pictures come from npm packages into a cache folder (see pictures.py and MODEL_CARD.md). A run keeps its state in a
folder: the same command goes on where it stopped. At its end it writes the weights (fp16, moving average) to
playground/, the codec to nodes/playground/, a sample sheet beside this file and the picture of the node's help page;
with --finish it does so from the last checkpoint at once. Needs npm and ComfyUI's requirements; no GPU, one thread.

    export COMFYUI_PATH=/path/to/ComfyUI PYTHONPATH=playground:nodes/playground
    python playground/emoji/train.py --run FOLDER [--steps N] [--pictures FOLDER] [--finish]
"""

from __future__ import annotations

import argparse
import copy
import os
from pathlib import Path

import torch
from autoencoder import Autoencoder
from compression import align, fit, fit_details
from flow import Recipe, save_weights, train, write
from network import SCALE, SHIFT, build_network, preview, sample
from pictures import draw, load
from sheet import save_sheet
from torch import Tensor, nn
from words import COLOURS, ENTRIES, KINDS, STYLES, SUBJECTS, choice, tokens

SEED, CELLS = 0, 8
NULL_SHARE, COLOUR_SHARE = 0.12, 0.4  # draws without any word; draws recoloured by a word
DROPPED = (0.06, 0.12, 0.12)  # of the others: subject, colour, style left out of the words
POOL = 1500  # pictures that the codec is fitted to
GUIDANCE = (1.0, 2.0, 3.0, 5.0, 8.0)
FOLDER, ROOT = Path(__file__).parent, Path(__file__).parents[2]
METADATA = {
    "modelspec.title": "REG playground emoji",
    "modelspec.description": "Emoji; context: one-hot tokens of 52 for subject, colour and style; pooled: their sum.",
    "modelspec.license": "GPL-3.0; pictures: Noto Emoji Apache-2.0, Twemoji CC BY 4.0, Fluent Emoji MIT",
}
AUTOENCODER_METADATA = METADATA | {
    "modelspec.title": "REG playground emoji, autoencoder",
    "modelspec.description": "64 x 64 RGB to latents 16 x 8 x 8 and back; see nodes/playground/autoencoder.py.",
}


def choose(count: int, generator: torch.Generator) -> Tensor:
    """Subject, colour (0: as drawn) and style of random pictures, [count, 3]."""
    subject, colour, style = (
        torch.randint(size, (count,), generator=generator) for size in (len(SUBJECTS), len(COLOURS), len(STYLES))
    )
    recoloured = torch.rand(count, generator=generator) < COLOUR_SHARE
    return torch.stack([subject, torch.where(recoloured, colour + 1, 0), style], 1)


def render(pictures: Tensor, chosen: Tensor, generator: torch.Generator) -> Tensor:
    """RGB [count, 3, 64, 64] of chosen pictures in new variations."""
    return draw(pictures[chosen[:, 0], chosen[:, 2], chosen[:, 1]], generator)


def describe(chosen: Tensor, generator: torch.Generator) -> Tensor:
    """Words [count, 3] for pictures, 0 where one is left out."""
    words = chosen + torch.tensor([1, 0, 1])
    dropped = torch.rand(words.shape, generator=generator) < torch.tensor(DROPPED)
    dropped |= torch.rand(len(words), 1, generator=generator) < NULL_SHARE
    return words.masked_fill(dropped, 0)


def fitted_autoencoder(pictures: Tensor, run: Path) -> Autoencoder:
    """The autoencoder of a run, in the network's scale of latents; fitted at the run's beginning."""
    path, made = run / "autoencoder.pt", Autoencoder()
    if not path.exists():
        generator = torch.Generator().manual_seed(SEED)
        torch.manual_seed(SEED)

        def some(count: int) -> Tensor:
            return render(pictures, choose(count, generator), generator)

        pool = some(POOL)
        fit(made, pool)
        align(made, pool, *preview())
        fit_details(made, some)
        write(path, lambda partial: torch.save(made.state_dict(), partial))
    made.load_state_dict(torch.load(path, weights_only=True))
    return made.requires_grad_(False)


def save_autoencoder(autoencoder: Autoencoder, path: Path) -> None:
    """Save the autoencoder for the host's latents, z = network latent / SCALE + SHIFT."""
    made = copy.deepcopy(autoencoder)
    made.analysis /= SCALE
    made.synthesis *= SCALE
    made.offset.div_(SCALE).add_(SHIFT)
    made.details[0].weight.mul_(SCALE)
    save_weights(made, path, AUTOENCODER_METADATA)


def prompts(count: int) -> list[str]:
    """The sheet's prompts: subjects in the order of the vocabulary, each second one with a colour, styles in turn."""
    step = len(SUBJECTS) // count
    return [
        " ".join([*([COLOURS[i // 2 % 6]] if i % 2 else []), SUBJECTS[i * step], STYLES[i % 3]]) for i in range(count)
    ]


def show(
    network: nn.Module, autoencoder: Autoencoder, count: int, guidance: tuple[float, ...], path: Path, small: bool
) -> None:
    """Save a sample sheet of ``count`` prompts."""
    words = prompts(count)
    context, null = tokens(torch.tensor([choice(line) for line in words])), tokens(torch.zeros(1, len(KINDS)).long())
    rows = [(f"w = {w:g}", autoencoder.decode(sample(network, context, null, CELLS, w, SEED))) for w in guidance]
    save_sheet(rows, [line.replace(" ", "\n") for line in words], path, small)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the emoji model; see the top of this file.")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run's state")
    parser.add_argument("--pictures", type=Path, help="cache folder of the npm packages; by default in the run")
    parser.add_argument("--steps", type=int, default=80000)
    parser.add_argument("--finish", action="store_true", help="write what the last checkpoint holds, without training")
    options = parser.parse_args()
    torch.set_num_threads(1)  # the model is too small to gain much from more
    options.run.mkdir(parents=True, exist_ok=True)
    pictures = load(options.pictures or options.run / "pictures")
    torch.manual_seed(SEED)
    network = build_network(os.environ["COMFYUI_PATH"], ENTRIES, CELLS)
    autoencoder = fitted_autoencoder(pictures, options.run)

    def batch(count: int) -> tuple[Tensor, Tensor]:
        generator = torch.default_generator
        chosen = choose(count, generator)
        return autoencoder.encode(render(pictures, chosen, generator)), tokens(describe(chosen, generator))

    def look(average: nn.Module, step: int) -> None:
        show(average, autoencoder, 20, (1.0, 2.0), options.run / f"samples_{step:06}.png", small=False)

    recipe = Recipe(steps=0 if options.finish else options.steps, batch=64, rate=1.2e-3, cooling=0.35)
    average = train(network, batch, recipe, options.run, look)
    save_weights(average, ROOT / "playground" / "reg_playground_emoji.safetensors", METADATA)
    save_autoencoder(autoencoder, ROOT / "nodes" / "playground" / "emoji.safetensors")
    rounded = average.half().float()  # as in the file
    show(rounded, autoencoder, 10, GUIDANCE, FOLDER / "samples.png", small=False)
    show(rounded, autoencoder, 10, (1.0, 2.0), ROOT / "web" / "docs" / "REG_PlaygroundPrompt.png", small=True)


if __name__ == "__main__":
    main()
