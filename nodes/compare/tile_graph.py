"""The nodes that draw the tiles: expanded into the running prompt, and each tile as a prompt of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from ..host.graph import is_link
from .tile import Link, Run, Tile

Node = dict[str, Any]
Prompt = dict[str, Node]


class Numbers:
    """Whole numbers as ids of the nodes in the prompts of all tiles, the same for one node in each.

    Ids that are whole numbers are kept, and those of ``taken``, the running prompt, are not given to others.
    """

    def __init__(self, taken: Iterable[str]) -> None:
        self._fresh = count(max((int(name) for name in taken if name.isdecimal()), default=0) + 1)
        self._given: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        if name.isdecimal():
            return name
        if name not in self._given:
            self._given[name] = str(next(self._fresh))
        return self._given[name]


@dataclass
class TileGraph:
    """Nodes in API format. ``links`` leads to what is connected to the sheet, ``find`` gives a node of the prompt.

    The id of a node depends on what it does alone. The host counts the id of some nodes as part of what they do, so a
    tile keeps its place in the cache, when columns and rows are added, only if its nodes keep their ids. Tiles that
    come out the same share their nodes.
    """

    prefix: str
    links: dict[str, Link]
    numbers: Numbers
    find: Callable[[str], Node]
    nodes: Prompt = field(default_factory=dict)

    def add(self, class_type: str, title: str, inputs: dict[str, Any]) -> Link:
        """Add a node, unless it is there, and return the link to its first output."""
        name = self.prefix + self._digest([class_type, inputs])
        self.nodes[name] = {"class_type": class_type, "inputs": inputs, "_meta": {"title": title}}
        return [name, 0]

    def run(self, tile: Tile, label: str) -> Run:
        """Add the nodes that sample a tile and measure it."""
        sampler = self._sampler(tile)
        stopwatch = self.add(
            "REG_CompareStopwatch",
            f"Time of {label}",
            {
                "model": sampler["model"],
                "run": self._digest(sampler),  # one for each run, also where several tiles have the same model
                "rectified": tile.guided,
                "scheduled": tile.followed is not None,
            },
        )
        samples = self.add("KSampler", f"KSampler {label}", {**sampler, "model": stopwatch})
        return Run(samples, [stopwatch[0], 1])

    def run_name(self, tile: Tile) -> str:
        """What its stopwatch calls the run of a tile."""
        return self._digest(self._sampler(tile))

    def timed(self, tile: Tile, label: str, previous: Link | None) -> Link:
        """Add the nodes that draw a tile, measure it and put it behind the ``previous`` ones."""
        run = self.run(tile, label)
        drawn: dict[str, Any] = {
            "image": self._decoded(tile, run.samples),
            "stopwatch": run.stopwatch,
            "run": self.run_name(tile),
        }
        if tile.matched is not None:
            drawn["cfg"] = self._matched_cfg(tile.matched)
        if tile.source is not None:
            drawn |= {"source": self.run(tile.source, "REG").samples, "source_run": self.run_name(tile.source)}
        return self.add("REG_CompareTile", label, drawn if previous is None else {**drawn, "previous": previous})

    def prompt(self, tile: Tile, label: str) -> Prompt:
        """The prompt that draws and saves a tile alone."""
        alone = TileGraph(self.prefix, self.links, self.numbers, self.find)
        image = alone._decoded(tile, alone.add("KSampler", f"KSampler {label}", alone._sampler(tile)))
        save = alone.add("SaveImage", f"Save {label}", {"images": image, "filename_prefix": "REG"})
        return standalone(lambda name: alone.nodes.get(name) or self.find(name), save[0], self.numbers)

    def _decoded(self, tile: Tile, samples: Link) -> Link:
        return self.add("VAEDecode", "VAE Decode", {"samples": samples, "vae": self._edited(tile, self.links["vae"])})

    def _sampler(self, tile: Tile) -> dict[str, Any]:
        conditioning = {name: self._edited(tile, self.links[name]) for name in ("positive", "negative", "latent_image")}
        matched = {} if tile.matched is None else {"cfg": self._matched_cfg(tile.matched)}
        return {"model": self._model(tile), **conditioning, **tile.sampling, **matched}

    def _matched_cfg(self, tile: Tile) -> Link:
        return self.add("REG_CompareMatched", "Matched cfg", self.run(tile, "REG")._asdict())

    def _model(self, tile: Tile) -> Link:
        schedule, inputs = tile.followed, {"model": self._edited(tile, self.links["model"])}
        if schedule is not None:
            inputs["schedule"] = self._edited(tile, schedule.link(self, tile.settings["cfg"]))
        if tile.guided:
            return self.add("REG_Guidance", "REG", {**inputs, **tile.rectification})
        if schedule is not None:
            return self.add("REG_ApplySchedule", "Apply Guidance Schedule", inputs)
        return inputs["model"]

    def _edited(self, tile: Tile, link: Link) -> Link:
        """The link to what the prompt gives there under the edits of the tile: to a copy, where they reach it."""
        copies: dict[str, str] = {}

        def copy(name: str) -> str:
            if name in self.nodes:
                return name
            if name not in copies:
                node = self.find(name)
                values = {
                    key: [copy(value[0]), value[1]] if is_link(value) else value
                    for key, value in node["inputs"].items()
                }
                inputs = {**values, **tile.edits.get(name, {})}
                title = (node.get("_meta") or {}).get("title", node["class_type"])
                copies[name] = name if inputs == node["inputs"] else self.add(node["class_type"], title, inputs)[0]
            return copies[name]

        return [copy(link[0]), link[1]] if tile.edits else link

    @staticmethod
    def _digest(content: Any) -> str:
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8")).hexdigest()[:12]


def standalone(find: Callable[[str], Node], last: str, numbers: Numbers) -> Prompt:
    """The prompt of node ``last`` and all that it needs, upstream first, with whole numbers as ids.

    A page would look for the subgraph or the expansion that other ids name.
    """
    order: list[str] = []

    def visit(name: str) -> None:
        for value in find(name)["inputs"].values():
            if is_link(value) and value[0] not in order:
                visit(value[0])
        order.append(name)

    visit(last)

    def value_of(value: Any) -> Any:
        if is_link(value):
            return [numbers(value[0]), value[1]]
        return {"__value__": value} if isinstance(value, list) else value  # a bare list would be read as a link

    prompt: Prompt = {}
    for name in order:
        node = find(name)
        prompt[numbers(name)] = {
            "class_type": node["class_type"],
            "inputs": {key: value_of(value) for key, value in node["inputs"].items()},
            "_meta": {"title": (node.get("_meta") or {}).get("title", node["class_type"])},
        }
    return prompt


def difference(first: Prompt, prompt: Prompt) -> dict[str, Node | None]:
    """What makes ``prompt`` of the first one: the nodes that are other or new, and None for those that it lacks.

    ``{**first, **difference}`` without the None entries is the prompt again.
    """
    gone = {name: None for name in first if name not in prompt}
    return {**gone, **{name: node for name, node in prompt.items() if first.get(name) != node}}
