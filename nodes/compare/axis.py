"""What an axis of a comparison is, and how its text becomes single values."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from ...reg_core.table import shown
from ..messages import message
from .spelling import meant
from .tile import Tile

NONE = "none"
MOST_TILES = 64

QUOTED = re.compile(r'"[^"]*"')
PART = re.compile(r'(?:"[^"]*"|[^,;\n])+')  # commas inside quotes belong to a value
NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)"
SPAN = re.compile(rf"({NUMBER})(%?)\s*-\s*({NUMBER})(%?)\s*[x×]\s*(\d+)", re.IGNORECASE)
LONGEST_SPAN = 60  # a longer text is none, and would be searched for long


class Value(NamedTuple):
    """One value of an axis: its header, and the tile that it makes of another."""

    header: str
    apply: Callable[[Tile], Tile]


@dataclass(frozen=True)
class Axis(ABC):
    """Something in which the tiles differ. Its help is its name with examples of its values, and a ``remark``."""

    name: str
    remark: ClassVar[str] = ""
    repeatable: ClassVar[bool] = False
    """Whether columns and rows may both be it."""

    @property
    def sets(self) -> tuple[str, ...]:
        """The settings that it gives to every tile, so that those of the sheet are not used."""
        return ()

    def names(self) -> list[str]:
        """Values that are a name and nothing else."""
        return []

    def heads(self) -> list[str]:
        """Names after which numbers may follow."""
        return []

    @abstractmethod
    def examples(self) -> str:
        """Values as they may be written, with commas between."""

    def offers(self) -> list[str]:
        """Values that the page offers; others may be written."""
        return written_parts(self.examples())

    @abstractmethod
    def read(self, text: str, base: Tile) -> Value:
        """One value, for tiles that are like ``base`` but for the axes; ValueError that names the legal ones."""

    def parts(self, text: str) -> list[str]:
        """The values in a text as they are written; raises ValueError for none, and for more than 64."""
        return self.counted(written_parts(text))

    def counted(self, parts: list[str]) -> list[str]:
        """The same values; raises ValueError for none, and for more than 64."""
        if not parts:
            raise ValueError(message("axis-empty", axis=self.name, none=NONE))
        self.check_count(len(parts))
        return parts

    def check_count(self, count: int) -> None:
        """Raises ValueError for more than 64 values."""
        if count > MOST_TILES:
            raise ValueError(message("axis-too-long", most=MOST_TILES, axis=self.name, count=count))

    def spread(self, parts: list[str], whole: bool) -> list[str]:
        """The values with each range such as ``2-8 x4`` written out."""
        return self.counted([number for part in parts for number in self._spread(part, whole)])

    def _spread(self, part: str, whole: bool) -> list[str]:
        span = SPAN.fullmatch(part) if len(part) <= LONGEST_SPAN else None
        if span is None:
            return [part]
        low, low_percent, high, high_percent, count = span.groups()
        self.check_count(int(count))
        steps, percent = max(1, int(count) - 1), "" if whole else high_percent or low_percent
        numbers = [float(low) + (float(high) - float(low)) * index / steps for index in range(int(count))]
        # A range gives what somebody would write, so that its tiles are those of the same values written out.
        return list(dict.fromkeys(str(round(value)) if whole else f"{value:.6g}{percent}" for value in numbers))

    def values(self, text: str, base: Tile) -> list[Value]:
        """All values in a text; raises ValueError for one that is not legal, for none, and for more than 64."""
        return [self.read(part, base) for part in self.parts(text)]


def written_parts(text: str) -> list[str]:
    """What stands between commas, semicolons and ends of lines; in double quotes these belong to a value."""
    parts = (part.strip() for part in PART.findall(text))
    return [part[1:-1] if QUOTED.fullmatch(part) else part for part in parts if part]


def parsed(text: str, name: str, like: str, convert: Callable[[str], Any] = float) -> Any:
    """The number that is written, ``20%`` for 0.2; raises ValueError if it is none."""
    try:
        if convert is float and text.endswith("%"):
            return float(text[:-1]) / 100
        return convert(text)
    except ValueError:
        kind = "whole numbers" if convert is int else "numbers"
        wrong = message("axis-number-wrong", axis=name, kind=kind, examples=like, value=shown(text))
        raise ValueError(wrong) from None


def illegal(axis: Axis, text: str) -> ValueError:
    """What to raise for a name that the axis does not know."""
    guess = meant(text, axis.names()) or meant(text.split()[0], axis.heads())
    if guess:
        return ValueError(message("axis-value-misspelt", axis=axis.name, value=text, guess=guess))
    return ValueError(message("axis-value-unknown", axis=axis.name, examples=axis.examples(), value=shown(text)))
