"""The translations hold exactly the texts of the nodes, in every language."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reg_pack.nodes import NODES

pytestmark = pytest.mark.host

LOCALES = Path(__file__).parents[1] / "locales"
LANGUAGES = ("en", "zh", "ja", "ko", "fr", "es", "de", "ru")
OF_THE_HOST = ("sampler_name", "scheduler")  # their options are the host's own names
Texts = dict[str, Any]


def schema_texts() -> Texts:
    """What the schemas say in English, as the host asks for it in nodeDefs.json."""
    texts: Texts = {}
    for node in NODES:
        if node.GET_SCHEMA().is_dev_only:
            continue
        info = node.GET_NODE_INFO_V1()
        texts[info["name"]] = {"display_name": info["display_name"], "description": info["description"], "inputs": {}}
        for name, spec in {**info["input"].get("required", {}), **info["input"].get("optional", {})}.items():
            options = {option: option for option in spec[1].get("options", ())} if spec[0] == "COMBO" else {}
            texts[info["name"]]["inputs"][name] = {"name": name, "tooltip": spec[1]["tooltip"]}
            if options and name not in OF_THE_HOST:
                texts[info["name"]]["inputs"][name]["options"] = options
        outputs = enumerate(zip(info["output_name"], info["output_tooltips"], strict=True))
        texts[info["name"]]["outputs"] = {str(i): {"name": name, "tooltip": text} for i, (name, text) in outputs}
    return texts


def written(language: str) -> Texts:
    return json.loads((LOCALES / language / "nodeDefs.json").read_text("utf-8"))


def leaves(texts: Texts, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    for name, value in texts.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, name))
        else:
            yield (*path, name), value


def test_english_is_what_the_nodes_say() -> None:
    expected = schema_texts()
    assert written("en") == expected, "locales/en/nodeDefs.json must be:\n" + json.dumps(expected, indent=2)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_there_and_none_is_left_over(language: str) -> None:
    found, expected = dict(leaves(written(language))), dict(leaves(schema_texts()))
    assert set(found) == set(expected)
    assert [path for path, text in found.items() if not text.strip()] == []


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_every_sentence_is_translated(language: str) -> None:
    found, english = dict(leaves(written(language))), dict(leaves(written("en")))
    assert [path for path, text in found.items() if text == english[path] and text.count(" ") > 4] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_host_reads_it(language: str) -> None:
    """Characters that the page's translation library would take for its own syntax."""
    assert [path for path, text in leaves(written(language)) if set(text) & set("{}|@")] == []
