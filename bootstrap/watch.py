"""What a running prompt does, told to the terminal."""

from collections.abc import Mapping
from typing import Any

from .console import Progress
from .prompts import Prompt


class Watch:
    """Follows the events of a prompt: which of its nodes runs, and at which step."""

    def __init__(self, prompt: Prompt, progress: Progress) -> None:
        self.prompt = prompt
        self.progress = progress

    def on_event(self, kind: str, data: Mapping[str, Any]) -> None:
        """Take in an event of the server."""
        if kind == "executing" and data.get("node"):
            self.progress.update(self._title(data))
        elif kind == "progress":
            self._step(data)
        elif kind == "progress_state":
            for state in (data.get("nodes") or {}).values():
                if state.get("state") == "running":
                    self._step(state)

    def _step(self, state: Mapping[str, Any]) -> None:
        value, limit = int(state.get("value", 0)), int(state.get("max", 0))
        if limit > 1:
            self.progress.update(f"{self._title(state)}: step {value}/{limit}")

    def _title(self, event: Mapping[str, Any]) -> str:
        """The title of a node, or of the node of the prompt that was expanded into it (1.0.0.x of 1)."""
        names = (str(event.get(key)).split(".")[0] for key in ("node", "node_id"))
        content = next((self.prompt[name] for name in names if name in self.prompt), {})
        return content.get("_meta", {}).get("title") or content.get("class_type", "ComfyUI")
