"""The translations: every text of every node in every language, and the English ones as the nodes have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reg_pack.nodes import NODES

pytestmark = pytest.mark.host

LOCALES = Path(__file__).parents[1] / "locales"
TRANSLATIONS = ["zh", "ja", "ko", "fr", "es", "de", "ru"]
SHOWN = [node for node in NODES if not node.GET_SCHEMA().is_dev_only]
HOSTS_OWN_OPTIONS = {"sampler_name", "scheduler"}
Texts = dict[tuple[str, ...], str]


def read(language: str, name: str) -> dict[str, Any]:
    return json.loads((LOCALES / language / name).read_text(encoding="utf-8"))


def texts(tree: dict[str, Any], path: tuple[str, ...] = ()) -> Texts:
    """Every text by its path, as ("REG_Guidance", "inputs", "model", "name")."""
    found: Texts = {}
    for key, value in tree.items():
        found |= texts(value, (*path, key)) if isinstance(value, dict) else {(*path, key): value}
    return found


def input_texts(name: str, kind: Any, settings: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "tooltip": settings["tooltip"]}
    if kind == "COMBO" and name not in HOSTS_OWN_OPTIONS:
        entry["options"] = {option: option for option in settings["options"]}
    return entry


def english() -> dict[str, Any]:
    """locales/en/nodeDefs.json as it follows from the schemas."""
    nodes: dict[str, Any] = {}
    for node in SHOWN:
        info = node.GET_NODE_INFO_V1()
        inputs = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
        outputs = zip(info["output_name"], info["output_tooltips"], strict=True)
        nodes[info["name"]] = {
            "display_name": info["display_name"],
            "description": info["description"],
            "inputs": {name: input_texts(name, *spec) for name, spec in inputs.items()},
            "outputs": {str(index): {"name": name, "tooltip": tip} for index, (name, tip) in enumerate(outputs)},
        }
    return nodes


def test_english_is_what_the_nodes_say(tmp_path: Path) -> None:
    right = tmp_path / "nodeDefs.json"
    right.write_text(json.dumps(english(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    kept, now = texts(read("en", "nodeDefs.json")), texts(english())
    changed = sorted(path for path in kept.keys() | now.keys() if kept.get(path) != now.get(path))
    assert not changed, (
        f"the nodes say something else than locales/en/nodeDefs.json. Replace it with {right}, which this test wrote, "
        f"then translate these texts in {', '.join(TRANSLATIONS)}: {changed}"
    )


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_every_text_is_translated(language: str) -> None:
    source, translated = texts(english()), texts(read(language, "nodeDefs.json"))
    missing, surplus = sorted(source.keys() - translated.keys()), sorted(translated.keys() - source.keys())
    assert not missing, "these are missing"
    assert not surplus, "no node has these any more"
    assert not [path for path, text in translated.items() if not text.strip()], "these are empty"
    # Single words may be the same in two languages; sentences and ids such as start_percent are not.
    same = [path for path, text in translated.items() if text == source[path] and ("_" in text or text.endswith("."))]
    assert not same, "these are still English"


@pytest.mark.parametrize("language", ["en", *TRANSLATIONS])
def test_no_text_has_the_signs_of_the_message_format(language: str) -> None:
    # The user interface reads {name}, @:key and a | b as placeholders, links and plurals.
    assert not [path for path, text in texts(read(language, "nodeDefs.json")).items() if set(text) & set("{}@|")]


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_the_own_categories_are_translated(language: str) -> None:
    # The user interface brings the other words of the categories: advanced, guidance, model, sampling, guiders.
    names = read(language, "main.json")["nodeCategories"]
    words = {word for node in SHOWN for word in node.GET_SCHEMA().category.split("/")}
    assert names.keys() == words - {"advanced", "guidance", "model", "sampling", "guiders"}
    assert all(text.strip() and text != word for word, text in names.items())
