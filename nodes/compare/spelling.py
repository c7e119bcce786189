"""Which word was meant by one that is not known; web/js/spelling.mjs does the same while it is written."""

from __future__ import annotations

from collections.abc import Iterable


def distance(one: str, other: str) -> int:
    """How many letters to write, leave out, replace or swap with the next one (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        last, before, row = before, row, [i]
        for j, wanted in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]


def meant(word: str, known: Iterable[str]) -> str:
    """The first of the nearest known words, in whatever case; empty if none is within a third of its letters."""
    nearest, least = "", 1.0
    for candidate in known:
        if abs(len(candidate) - len(word)) > len(candidate) / 3:
            continue
        share = distance(word.casefold(), candidate.casefold()) / len(candidate)
        if share <= 1 / 3 and share < least:
            nearest, least = candidate, share
    return nearest
