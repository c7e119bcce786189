"""Following a prompt over ComfyUI's websocket, and the words for one that is refused or fails."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from .errors import BootstrapError

Prompt = Mapping[str, Any]
Event = Callable[[str, Mapping[str, Any]], None]


async def follow(url: str, client: str, submit: Callable[[], str], prompt: Prompt, on_event: Event | None) -> str:
    """Submit a prompt, hand its events on until it has ended and return its id; raises BootstrapError if it fails."""
    import aiohttp

    connect: dict[str, Any] = {"params": {"clientId": client}, "max_msg_size": 0}
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/ws", **connect) as socket:
        # The client is new and submits just this prompt, so every event sent to it is about this prompt.
        prompt_id = await asyncio.to_thread(submit)
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            event = json.loads(message.data)
            kind, data = event["type"], event.get("data") or {}
            if on_event is not None:
                on_event(kind, data)
            if kind in ("execution_error", "execution_interrupted"):
                raise BootstrapError(failure(kind, data, prompt))
            if kind == "executing" and data.get("node") is None:
                return prompt_id
    raise ConnectionError("the server closed the connection before the prompt had ended")


def node_name(node: str, prompt: Prompt) -> str:
    """Name a node of a prompt by its number, its class and its title."""
    content = prompt.get(node, {})
    title = content.get("_meta", {}).get("title")
    kind = content.get("class_type", "node")
    return f"node {node} ({kind})" if title in (None, kind) else f"node {node} ({kind} '{title}')"


def failure(kind: str, data: Mapping[str, Any], prompt: Prompt) -> str:
    """Put the event of a prompt that failed or was interrupted into words."""
    where = node_name(str(data.get("node_id")), prompt)
    if kind == "execution_interrupted":
        return f"Expected the prompt to run to its end, but it was interrupted at {where}."
    message = str(data.get("exception_message", "")).strip()
    return f"Expected {where} to run, but it raised {data.get('exception_type', 'an error')}: {message}"


def refusal(body: str, prompt: Prompt) -> str:
    """Put the answer to a prompt that was not accepted into words."""
    try:
        answer = json.loads(body)
        reasons = [describe(answer["error"])]
        for node, content in (answer.get("node_errors") or {}).items():
            reasons += [f"{node_name(node, prompt)}: {describe(error)}" for error in content["errors"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        reasons = [body[:500]]
    return "Expected ComfyUI to accept the prompt, but it refused it:\n" + "\n".join(f"  {line}" for line in reasons)


def describe(error: Mapping[str, Any]) -> str:
    """Join the message and the details of one error of an answer."""
    return ": ".join(part for part in (error.get("message"), error.get("details")) if part)
