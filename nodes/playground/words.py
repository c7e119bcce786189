"""The words that the emoji model knows, and its conditioning: one token each for subject, colour and art style."""

from __future__ import annotations

import difflib
import re

import torch
from torch import Tensor
from torch.nn.functional import one_hot

SUBJECTS = (
    *("apple", "banana", "strawberry", "cherries", "lemon", "watermelon", "pear", "carrot", "mushroom", "cactus"),
    *("tree", "palm", "sunflower", "tulip", "leaf", "donut", "cupcake", "pizza", "butterfly", "fish"),
    *("whale", "octopus", "penguin", "fox", "panda", "chick", "heart", "star", "moon", "rainbow"),
    *("umbrella", "balloon", "car", "house", "rocket", "sailboat", "gift", "crown", "bell", "pumpkin"),
)
COLOURS = ("red", "yellow", "green", "blue", "purple", "pink")
STYLES = ("noto", "twemoji", "fluent")

KINDS = {"subject": SUBJECTS, "colour": COLOURS, "style": STYLES}
ENTRIES = sum(1 + len(words) for words in KINDS.values())  # each kind has one more: no such word


def tokens(choices: Tensor) -> Tensor:
    """One-hot tokens ``[batch, 3, 52]`` of subject, colour and style ``[batch, 3]``: 0 is no word, n the n-th."""
    first = torch.tensor([1 + len(words) for words in KINDS.values()]).cumsum(0).roll(1)
    first[0] = 0
    return one_hot(choices + first, ENTRIES).float()


def spoken(prompt: str) -> list[str]:
    """The words of a prompt in lower case, without the spaces and commas between them."""
    return [word for word in re.split(r"[\s,;.]+", prompt.casefold()) if word]


def unknown(prompt: str) -> list[str]:
    """The words of a prompt that the model does not know, each with the nearest that it does."""
    known = [word for words in KINDS.values() for word in words]
    return [
        f"{word!r} (nearest: {', '.join(difflib.get_close_matches(word, known, 3, 0.0))})"
        for word in dict.fromkeys(spoken(prompt))
        if word not in known
    ]


def rivals(prompt: str) -> list[tuple[str, list[str]]]:
    """The kinds of which a prompt names more than one word, with these words."""
    named = {kind: [word for word in dict.fromkeys(spoken(prompt)) if word in words] for kind, words in KINDS.items()}
    return [(kind, words) for kind, words in named.items() if len(words) > 1]


def choice(prompt: str) -> list[int]:
    """Subject, colour and style of a prompt of known words, at most one a kind: 0 is no word, n the n-th."""
    words = spoken(prompt)
    return [next((1 + kind.index(word) for word in words if word in kind), 0) for kind in KINDS.values()]
