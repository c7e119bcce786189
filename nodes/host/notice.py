"""What the artist is told: a text in the log, its line on the node, live numbers, a note in the file that is saved."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from comfy.model_management import InterruptProcessingException

from ..messages import PARTS, message
from .contract import STATUS_EVENT
from .prompt import display_node, executing_prompt, running_prompt, written_inputs

logger = logging.getLogger("REG")
log_warning = partial(logger.warning, "REG: %s")


@contextmanager
def harmless(part: str, warn: Callable[[str], None]) -> Iterator[None]:
    """Diagnostics never cost an image: what fails inside becomes one line for ``warn``, and an interrupt passes.

    ``part`` is a name in ``PARTS``.
    """
    try:
        yield
    except InterruptProcessingException:
        raise
    except Exception as error:
        logger.debug("REG: %s", PARTS[part], exc_info=True)
        reason = str(error).strip().splitlines() or [""]
        warn(message("diagnostics-failed", what=PARTS[part], error=f"{type(error).__name__}: {reason[0]}"))


def jsonable(value: Any) -> Any:
    """The same JSON value with None for NaN and infinity, which JSON does not have and a browser refuses to read."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: jsonable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(entry) for entry in value]
    return value


def note(node: dict[str, Any], key: str, value: Any) -> None:
    """Put a JSON value beside a node of the prompt that the host saves with images."""
    meta = node.get("_meta")
    if not isinstance(meta, dict):  # a prompt may come without, or with null
        meta = node["_meta"] = {}
    meta[key] = jsonable(value)


def write_down(choice: dict[str, str], node_id: str | None) -> None:
    """Note what REG chose beside node ``node_id`` of the running prompt, where there is one."""
    with harmless("note", log_warning):
        running = running_prompt()
        if running is not None and node_id is not None and running.has_node(node_id):
            note(running.get_node(node_id), "rectified guidance", choice)


def tell(
    text: str,
    node_id: str | None,
    level: int = logging.INFO,
    line: str = "",
    urgent: bool | None = None,
    holds: bool = False,
) -> None:
    """Log ``text`` and show its line on node ``node_id``, or on the node of the page that it was expanded from.

    The node shows ``line``, by default that of the text, and has the text as its tooltip. ``urgent`` asks for something
    to be done, as a warning does by default; what ``holds`` is true of the inputs of the node, and not of one run.
    Without a page that waits for the running prompt only the log is written.
    """
    logger.log(level, "REG: %s", text)
    if node_id is None:
        return
    with harmless("text", log_warning):
        shown_on = display_node(node_id)
        status = {
            "node": shown_on,
            "prompt": executing_prompt(),
            "inputs": written_inputs(shown_on),
            "line": line or getattr(text, "line", text),
            "details": text,
            "urgent": level >= logging.WARNING if urgent is None else urgent,
            "holds": holds,
        }
        send(STATUS_EVENT, status)


def send(event: str, data: dict[str, Any]) -> bool:
    """Send an event of JSON values to the page whose prompt is running, if there is one; False where that failed."""
    sent = False
    with harmless("event", log_warning):
        server = _server_with_page()
        if server is not None:
            server.send_sync(event, jsonable(data), server.client_id)
        sent = True
    return sent


def _server_with_page() -> Any:
    """The server, where it knows to which page the running prompt belongs."""
    server = getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
    return None if getattr(server, "client_id", None) is None else server
