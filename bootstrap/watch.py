"""What a running prompt does, told to the terminal and timed per node."""

import time
from collections.abc import Mapping
from typing import Any

from .console import Progress
from .prompts import Prompt


class Watch:
    """Follows the events of a prompt: which node runs, at which step, and how long each one took."""

    def __init__(self, prompt: Prompt, progress: Progress) -> None:
        self.prompt = prompt
        self.progress = progress
        self.seconds: dict[str, float] = {}
        self._node: str | None = None
        self._since = 0.0
        self._steps = 0

    def on_event(self, kind: str, data: Mapping[str, Any]) -> None:
        """Take in an event of the server."""
        if kind == "executing":
            self._turn_to(data.get("node"))
        elif kind == "progress":
            self._step(str(data.get("node")), int(data.get("value", 0)), int(data.get("max", 0)))
        elif kind == "progress_state":
            for node, state in (data.get("nodes") or {}).items():
                if state.get("state") == "running":
                    self._step(node, int(state.get("value", 0)), int(state.get("max", 0)))

    def _turn_to(self, node: str | None) -> None:
        now = time.perf_counter()
        if self._node is not None:
            self.seconds[self._node] = now - self._since
            if self._steps > 1:
                self.progress.note(f"{self._title(self._node)}: {self._steps} steps in {now - self._since:.1f} s")
        self._node, self._since, self._steps = node, now, 0
        if node is not None:
            self.progress.update(self._title(node))

    def _step(self, node: str, value: int, limit: int) -> None:
        if limit <= 1:
            return
        if node == self._node:
            self._steps = limit
        self.progress.update(f"{self._title(node)}: step {value}/{limit}")

    def _title(self, node: str) -> str:
        content = self.prompt.get(node, {})
        return content.get("_meta", {}).get("title") or content.get("class_type", node)
