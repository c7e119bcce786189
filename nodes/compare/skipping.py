"""Which samplings of a sheet the artist has skipped, so that the run goes on without them."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ...reg_core.table import shown
from ..host.prompt import executing_prompt
from ..messages import message
from .axis import MOST_TILES


class Skips:
    """Samplings by their names: what is to be skipped in the prompt that runs, and how often each has been.

    How often is part of what the host keeps a latent by, so that one that was skipped is never taken for a whole one.
    """

    def __init__(self) -> None:
        self._asked: set[tuple[Any, str]] = set()
        self._skipped: set[tuple[Any, str]] = set()
        self._times: Counter[str] = Counter()

    def obey(self, command: Any) -> None:
        """Skip what the page names; raises ValueError for what is no command."""
        wanted = command if isinstance(command, dict) else {}
        prompt_id, runs = wanted.get("prompt_id"), wanted.get("runs")
        if not (isinstance(prompt_id, str) and isinstance(runs, list) and len(runs) <= MOST_TILES):
            raise ValueError(message("skip-wrong", value=shown(command)))
        earlier = {entry for entry in self._asked if entry[0] == prompt_id}
        self._asked = earlier | {(prompt_id, str(run)) for run in runs}

    def asked(self, run: str) -> bool:
        """Whether a sampling is to be skipped in the prompt that runs."""
        return (executing_prompt(), run) in self._asked

    def skip(self, run: str) -> None:
        """A sampling has been skipped in the prompt that runs."""
        entry = (executing_prompt(), run)
        if entry not in self._skipped:
            self._skipped = {other for other in self._skipped if other[0] == entry[0]} | {entry}
            self._times[run] += 1

    def skipped(self, run: str) -> bool:
        """Whether a sampling is to be skipped or has been, in the prompt that runs."""
        return self.asked(run) or (executing_prompt(), run) in self._skipped

    def times(self, run: str) -> int:
        """How often a sampling has been skipped since the host started."""
        return self._times[run]


SKIPS = Skips()
