"""A saved workflow (UI format) turned into the prompt (API format) that the server runs."""

from collections.abc import Iterator, Mapping
from typing import Any

from .errors import BootstrapError

ALWAYS = 0  # the mode of a node that is neither muted nor bypassed
NOTES = {"Note", "MarkdownNote"}
VIEWS = {"IMAGECOMPARE"}  # widgets that only show something, of which no value is saved


def to_prompt(workflow: Mapping[str, Any], nodes: Mapping[str, Any]) -> dict[str, Any]:
    """Make the prompt of a flat workflow; `nodes` is the server's object_info.

    Raises BootstrapError for a node that the server does not have, and for a muted or bypassed node.
    """
    sources = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    prompt = {}
    for node in workflow["nodes"]:
        kind = node["type"]
        if kind in NOTES:
            continue
        if kind not in nodes:
            raise BootstrapError(f"Expected ComfyUI to have the node {kind} of the workflow, but it does not.")
        if node.get("mode", ALWAYS) != ALWAYS:
            raise BootstrapError(f"Expected every node of the workflow to be on, but {kind} is muted or bypassed.")
        inputs = dict(widget_values(node, nodes[kind]))
        for entry in node["inputs"]:
            if entry.get("link") is not None:
                inputs[entry["name"]] = sources[entry["link"]]
        title = node.get("title") or nodes[kind]["display_name"]
        prompt[str(node["id"])] = {"class_type": kind, "inputs": inputs, "_meta": {"title": title}}
    return prompt


def widget_values(node: Mapping[str, Any], definition: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Name the values that a node saved by position: one for each widget, and one more after a seed."""
    values = iter(node.get("widgets_values") or [])
    specs = {**definition["input"].get("required", {}), **definition["input"].get("optional", {})}
    for entry in node["inputs"]:
        if "widget" not in entry:
            continue
        name = entry["name"]
        yield name, "" if entry["type"] in VIEWS else next(values)
        if len(specs[name]) > 1 and specs[name][1].get("control_after_generate"):
            next(values)
