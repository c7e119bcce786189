"""The prompt that the host is running, where there is one: which node runs, and what lies upstream of a node.

A prompt may come from anywhere, and the host looks only at those nodes that it runs: what is missing is passed over.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from typing import Any

import nodes  # the host's own module, not the folder of this pack


def _context() -> Any:
    """What the host says of the node that it is executing in this thread; None outside a prompt."""
    execution = sys.modules.get("comfy_execution.utils")
    return None if execution is None else execution.get_executing_context()


def executing_node() -> str | None:
    """Id of the node that the host is executing in this thread; None outside a prompt."""
    context = _context()
    return None if context is None else context.node_id


def executing_prompt() -> str | None:
    """Id of the prompt that the host is executing in this thread; None outside one."""
    context = _context()
    return None if context is None else context.prompt_id


def running_prompt() -> Any:
    """The host's DynamicPrompt, subgraphs and expansions flattened; None where no prompt has run."""
    progress = sys.modules.get("comfy_execution.progress")
    return None if progress is None else progress.get_progress_state().dynprompt


def display_node(node_id: str) -> str:
    """The node of the page that a node belongs to: itself, or the one that it was expanded from."""
    running = running_prompt()
    return node_id if running is None else running.get_display_node_id(node_id)


def written_inputs(node_id: str) -> dict[str, Any]:
    """What the running prompt has written into the inputs of a node, without those that are linked."""
    inputs = _part(node_id, "inputs", dict, {})
    return {name: value for name, value in inputs.items() if not isinstance(value, list)}


def forget_finished(node_id: str) -> None:
    """Take the finished nodes that were expanded beside a node out of the progress of the running prompt.

    With every step the host sends the progress of all nodes, so what is sent grows with the square of their number.
    """
    progress = sys.modules.get("comfy_execution.progress")
    if progress is None:
        return
    states, shown = progress.get_progress_state().nodes, display_node(node_id)
    for name in [name for name, state in states.items() if state["state"] is progress.NodeState.Finished]:
        if name != shown and display_node(name) == shown:
            del states[name]


def upstream(node_id: str, input_id: str | None = None) -> Iterator[str]:
    """The nodes that feed a node of the running prompt, or one of its inputs, nearest first."""
    waiting, seen = deque([node_id]), {node_id}
    while waiting:
        name = waiting.popleft()
        inputs = _part(name, "inputs", dict, {})
        values = [inputs.get(input_id)] if name == node_id and input_id is not None else inputs.values()
        for value in values:
            if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and value[0] not in seen:
                seen.add(value[0])
                waiting.append(value[0])
                yield value[0]


def listeners(sampler: str) -> list[str]:
    """The nodes that are to hear of each step of a sampler: they name the input that it feeds as RUN_INPUT."""
    running = running_prompt()
    names = [] if running is None else sorted(running.all_node_ids())
    inputs = {name: getattr(_node_class(name), "RUN_INPUT", None) for name in names}
    return [
        name
        for name, input_id in inputs.items()
        if isinstance(input_id, str) and sampler in upstream(name, input_id)  # another pack's attribute may be anything
    ]


def shown_schedules(node_id: str) -> list[str]:
    """The nodes that feed the input ``schedule`` of a node and show the steps of a run: they set SHOWS_RUN."""
    return [name for name in upstream(node_id, "schedule") if getattr(_node_class(name), "SHOWS_RUN", False)]


def _node_class(node_id: str) -> type | None:
    """The class of a node of the running prompt, as the host has registered it; None if it is not there."""
    classes = nodes.NODE_CLASS_MAPPINGS  # pyright: ignore[reportAttributeAccessIssue]
    return classes.get(_part(node_id, "class_type", str, ""))


def _part(node_id: str, name: str, kind: type, default: Any) -> Any:
    """An entry of a node of the running prompt, if it is there and of this kind."""
    prompt = running_prompt()
    node = prompt.get_node(node_id) if prompt is not None and prompt.has_node(node_id) else None
    value = node.get(name) if isinstance(node, dict) else None
    return value if isinstance(value, kind) else default
