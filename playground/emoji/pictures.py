"""Emoji pictures of three art styles as training data: fetched with npm, recoloured by word, drawn with variations."""

from __future__ import annotations

import base64
import hashlib
import io
import math
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from words import COLOURS, STYLES, SUBJECTS

CODE_POINTS = {
    "apple": "1f34e", "banana": "1f34c", "strawberry": "1f353", "cherries": "1f352", "lemon": "1f34b",
    "watermelon": "1f349", "pear": "1f350", "carrot": "1f955", "mushroom": "1f344", "cactus": "1f335",
    "tree": "1f333", "palm": "1f334", "sunflower": "1f33b", "tulip": "1f337", "leaf": "1f341",
    "donut": "1f369", "cupcake": "1f9c1", "pizza": "1f355", "butterfly": "1f98b", "fish": "1f420",
    "whale": "1f433", "octopus": "1f419", "penguin": "1f427", "fox": "1f98a", "panda": "1f43c",
    "chick": "1f425", "heart": "2764-fe0f", "star": "2b50", "moon": "1f319", "rainbow": "1f308",
    "umbrella": "2602-fe0f", "balloon": "1f388", "car": "1f697", "house": "1f3e0", "rocket": "1f680",
    "sailboat": "26f5", "gift": "1f381", "crown": "1f451", "bell": "1f514", "pumpkin": "1f383",
}  # fmt: skip
SHADES = {"red": (0.60, 0.21, 27), "yellow": (0.87, 0.17, 95), "green": (0.66, 0.18, 142),
           "blue": (0.58, 0.18, 258), "purple": (0.54, 0.20, 300), "pink": (0.76, 0.15, 355)}  # fmt: skip
"""Lightness, chroma and hue in degrees of OKLCh."""


@dataclass(frozen=True)
class PictureSet:
    """One set of pictures: an npm package, the digest of its archive, and where a code point's picture lies."""

    package: str
    sha512: str
    path: str
    licence: str


SETS = {
    "noto": PictureSet(
        "emoji-datasource-google@16.0.0",
        "ZRexfzs7MVoLnmzZmNsO4TKhnAJp5D++Vm6PpUpH/jEQQlemp3l88CjZ+DoZ2faM9R4QxZkOPJCoT8DlPhfQ3A==",
        "package/img/google/64/{}.png",
        "Noto Emoji, Google, Apache-2.0",
    ),
    "twemoji": PictureSet(
        "emoji-datasource-twitter@16.0.0",
        "7F+uCuHH+7Qnrc15P5tnbvKkg9E6tlzi4MnT2uW1RlN4pLYTza6cP/dstIfSDMtpjFLWuZewWg8jBbuL2eyELQ==",
        "package/img/twitter/64/{}.png",
        "Twemoji, Twitter and contributors, CC BY 4.0",
    ),
    "fluent": PictureSet(
        "@lobehub/fluent-emoji-3d@1.1.0",
        "Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1DLRF0me7ogeRQjKoehDHXuVJ2Qaecgl5wRBv60lUAG3h7g==",
        "package/assets/{}.webp",
        "Fluent Emoji, Microsoft and LobeHub, MIT",
    ),
}
SIZE, FILLED = 64, 54  # of a stored picture: its side, and the longer side of what it shows
VARIANTS = 1 + len(COLOURS)  # as drawn by the artist, then one for each colour word


def fetch(chosen: PictureSet, cache: Path) -> Path:
    """The package's archive in ``cache``, downloaded once by npm and held to its digest."""
    cache.mkdir(parents=True, exist_ok=True)
    archive = cache / (chosen.package.removeprefix("@").replace("/", "-").replace("@", "-") + ".tgz")
    if not archive.exists():
        subprocess.run(["npm", "pack", "--silent", chosen.package], cwd=cache, check=True, stdout=subprocess.DEVNULL)
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if digest != chosen.sha512:
        raise ValueError(f"{archive} has another content than {chosen.package} had. Remove it and try again.")
    return archive


def picture(data: bytes) -> np.ndarray:
    """RGBA [SIZE, SIZE, 4] in [0, 1], not premultiplied, its content centred and FILLED pixels long."""
    image = Image.open(io.BytesIO(data)).convert("RGBA")
    image = image.crop(image.getchannel("A").point([255 * (alpha > 16) for alpha in range(256)]).getbbox())
    longer = max(image.size)
    width, height = (max(1, round(FILLED * side / longer)) for side in image.size)
    image = image.convert("RGBa").resize((width, height), Image.Resampling.LANCZOS)
    canvas = Image.new("RGBa", (SIZE, SIZE))
    canvas.paste(image, ((SIZE - width) // 2, (SIZE - height) // 2))
    return np.asarray(canvas.convert("RGBA"), np.float64) / 255


LMS = np.array(
    [[0.4122214708, 0.5363325363, 0.0514459929],
     [0.2119034982, 0.6806995451, 0.1073969566],
     [0.0883024619, 0.2817188376, 0.6299787005]]
)  # fmt: skip
LAB = np.array(
    [[0.2104542553, 0.7936177850, -0.0040720468],
     [1.9779984951, -2.4285922050, 0.4505937099],
     [0.0259040371, 0.7827717662, -0.8086757660]]
)  # fmt: skip


def oklab(rgb: np.ndarray) -> np.ndarray:
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    return np.cbrt(linear @ LMS.T) @ LAB.T


def srgb(lab: np.ndarray) -> np.ndarray:
    linear = np.clip((lab @ np.linalg.inv(LAB).T) ** 3 @ np.linalg.inv(LMS).T, 0, 1)
    return np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)


def recolour(rgba: np.ndarray, colour: tuple[float, float, float]) -> np.ndarray:
    """The picture with its dominant hue (or, of a grey one, its greys and whites) moved to the colour.

    Other hues, such as an apple's leaf, and dark lines stay; lightness keeps its relief around the new mean.
    """
    lightness, chroma, hue = colour[0], colour[1], math.radians(colour[2])
    lab, alpha = oklab(rgba[..., :3]), rgba[..., 3]
    own = np.hypot(lab[..., 1], lab[..., 2])
    angle = np.arctan2(lab[..., 2], lab[..., 1])
    weight = alpha * np.clip((own - 0.04) / 0.06, 0, 1)
    if (weight.sum() / alpha.sum()) > 0.3:
        bins = np.radians(np.arange(0, 360, 5))
        spread = np.exp(6 * (np.cos(angle[..., None] - bins) - 1))
        dominant = bins[(spread * (weight * own)[..., None]).sum((0, 1)).argmax()]
        away = np.abs((angle - dominant + np.pi) % (2 * np.pi) - np.pi)
        mask = np.clip((own - 0.03) / 0.05, 0, 1) * np.clip((math.radians(70) - away) / math.radians(20), 0, 1)
        turn = (angle - dominant + np.pi) % (2 * np.pi) - np.pi
    else:
        mask, turn = np.clip((lab[..., 0] - 0.45) / 0.25, 0, 1), 0.0
    total = (alpha * mask).sum() + 1e-9
    mean = (alpha * mask * lab[..., 0]).sum() / total
    typical = max((alpha * mask * own).sum() / total, 0.08)
    new_chroma = chroma * np.clip(0.45 + 0.55 * own / typical, 0, 1.25)
    new_hue = hue + 0.25 * np.clip(turn, -1, 1)
    new = np.stack(
        [
            np.clip(lab[..., 0] + 0.75 * (lightness - mean), 0, 1),
            new_chroma * np.cos(new_hue),
            new_chroma * np.sin(new_hue),
        ],
        -1,
    )
    mixed = lab + mask[..., None] * (new - lab)
    return np.concatenate([srgb(mixed), rgba[..., 3:]], -1)


def load(cache: Path) -> Tensor:
    """All pictures, premultiplied uint8 [subject, style, variant, 4, SIZE, SIZE]."""
    result = np.empty((len(SUBJECTS), len(STYLES), VARIANTS, SIZE, SIZE, 4))
    for column, chosen in enumerate(SETS[style] for style in STYLES):
        with tarfile.open(fetch(chosen, cache)) as archive:
            for row, subject in enumerate(SUBJECTS):
                member = archive.extractfile(chosen.path.format(CODE_POINTS[subject]))
                assert member is not None
                drawn = picture(member.read())
                result[row, column, 0] = drawn
                for variant, colour in enumerate(COLOURS, 1):
                    result[row, column, variant] = recolour(drawn, SHADES[colour])
    result[..., :3] *= result[..., 3:]
    return torch.from_numpy((result * 255).round().astype(np.uint8)).movedim(-1, -3).contiguous()


def draw(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """RGB [n, 3, SIZE, SIZE] in [0, 1] of premultiplied ones: turned, mirrored, moved, scaled, muted, on a pastel."""

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(n, *shape, generator=generator)

    n = len(pictures)
    angle, size = uniform(-10, 10) * (math.pi / 180), uniform(0.84, 1.06)
    mirror = torch.where(uniform(0, 1) < 0.5, 1.0, -1.0)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = mirror * angle.cos() / size, angle.cos() / size
    theta[:, 1, 0], theta[:, 0, 1] = mirror * angle.sin() / size, -angle.sin() / size
    theta[:, :, 2] = uniform(-1, 1, 2) * (3 / 32)  # 3 of 64 pixels
    grid = F.affine_grid(theta, [n, 4, SIZE, SIZE], align_corners=False)
    moved = F.grid_sample(pictures.float() / 255, grid, align_corners=False)
    hue = 2 * math.pi * uniform(0, 1, 1) + torch.tensor([0.0, 2.0, 4.0]) * (math.pi / 3)
    pastel = 1 - uniform(0.03, 0.32, 1) * (0.5 + 0.5 * hue.cos())
    rgb = moved[:, :3] + (1 - moved[:, 3:]) * pastel[..., None, None]
    grey = rgb.mean(1, keepdim=True)
    return (grey + uniform(0.55, 1, 1, 1, 1) * (rgb - grey)) * uniform(0.82, 1, 1, 1, 1)
