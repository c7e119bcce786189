"""What is written into the nodes upstream of links of the running prompt, with what the host says of each input."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from comfy_execution.graph import get_input_info

import nodes  # the host's own module, not the folder of this pack

from .graph import is_link


class Widget(NamedTuple):
    """An input of a node with a written value, and what may be written there."""

    node: str
    names: frozenset[str]
    """What an artist may call the node, in lower case: its number, its title, and the name and class of its kind."""
    name: str
    value: Any
    kind: str
    """The host's name of the type: INT, FLOAT, STRING, BOOLEAN, COMBO."""
    options: tuple[str, ...] | None
    low: float | None
    high: float | None


def widgets(find: Callable[[str], dict[str, Any]], links: Iterable[Any]) -> Iterator[Widget]:
    """What is written into the nodes that feed some links, nearest first; ``find`` gives a node by its id."""
    waiting = deque(dict.fromkeys(link[0] for link in links if is_link(link)))
    seen = set(waiting)
    while waiting:
        name = waiting.popleft()
        node = find(name)
        for key, value in node["inputs"].items():
            if not is_link(value):
                yield from _widget(name, node, key, value)
            elif value[0] not in seen:
                seen.add(value[0])
                waiting.append(value[0])


def _widget(name: str, node: dict[str, Any], key: str, value: Any) -> Iterator[Widget]:
    classes = nodes.NODE_CLASS_MAPPINGS  # pyright: ignore[reportAttributeAccessIssue]
    titles = nodes.NODE_DISPLAY_NAME_MAPPINGS  # pyright: ignore[reportAttributeAccessIssue]
    class_type = node["class_type"]
    kind, _, extra = get_input_info(classes[class_type], key)
    if kind is None or extra is None:
        return
    options = kind if isinstance(kind, (list, tuple)) else extra.get("options")  # older nodes write them as the type
    called = (name, class_type, titles.get(class_type), (node.get("_meta") or {}).get("title"))
    yield Widget(
        name,
        frozenset(str(words).casefold() for words in called if words),
        key,
        value,
        kind if isinstance(kind, str) else "COMBO",
        None if options is None else tuple(map(str, options)),
        extra.get("min"),
        extra.get("max"),
    )
