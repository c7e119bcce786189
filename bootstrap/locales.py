"""The texts of the nodes in every language: `python run.py locales` writes the English ones and checks the others.

A language is a folder of `locales/`. The nodes themselves say the English, in the schemas that the host gets.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .children import hand_over
from .commands import own_environment, prepare
from .errors import BootstrapError
from .host import REPOSITORY
from .messages import PAGE, write_page
from .pack import ALIAS, import_pack

LOCALES = REPOSITORY / "locales"
ENGLISH = "en"
NODES, WORDS = "nodeDefs.json", "main.json"
HOSTS_OWN_OPTIONS = {"sampler_name", "scheduler"}
SAME_CATEGORIES = {"REG", "sampling"}  # a name, and a word that the user interface knows
MESSAGE_FORMAT = set("{}@|")  # the page reads {name}, @:key and a | b as placeholders, links and plurals

Place = tuple[str, ...]
Texts = dict[Place, str]


def languages(folder: Path = LOCALES) -> list[str]:
    """Name the languages that the nodes are translated into."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name != ENGLISH)


def texts(tree: dict[str, Any], path: Place = ()) -> Texts:
    """Every text by its path, as ("REG_Guidance", "inputs", "model", "name")."""
    found: Texts = {}
    for key, value in tree.items():
        found |= texts(value, (*path, key)) if isinstance(value, dict) else {(*path, key): value}
    return found


def read(file: Path) -> Texts:
    """Return the texts of a file, none if it is not there; raises BootstrapError for one that cannot be read."""
    if not file.exists():
        return {}
    try:
        return texts(json.loads(file.read_text("utf-8")))
    except ValueError as error:
        raise BootstrapError(f"Expected JSON in {file}, but: {error}.\nFix it, then run this again.") from error


def english(nodes: Iterable[Any]) -> dict[str, Any]:
    """Return nodeDefs.json in English as it follows from the schemas of the nodes."""
    tree: dict[str, Any] = {}
    for info in (node.GET_NODE_INFO_V1() for node in _shown(nodes)):
        inputs = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
        outputs = zip(info["output_name"], info["output_tooltips"], strict=True)
        tree[info["name"]] = {
            "display_name": info["display_name"],
            "description": info["description"],
            "inputs": {name: _input_texts(name, *spec) for name, spec in inputs.items()},
            "outputs": {str(index): {"name": name, "tooltip": tip} for index, (name, tip) in enumerate(outputs)},
        }
    return tree


def categories(nodes: Iterable[Any]) -> Texts:
    """Return the words of the nodes' categories for which the user interface brings no translation."""
    words = {word for node in _shown(nodes) for word in node.GET_SCHEMA().category.split("/")}
    return {("nodeCategories", word): word for word in words - SAME_CATEGORIES}


def _shown(nodes: Iterable[Any]) -> list[Any]:
    return [node for node in nodes if not node.GET_SCHEMA().is_dev_only]


def _input_texts(name: str, kind: Any, settings: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": settings.get("display_name", name), "tooltip": settings["tooltip"]}
    if kind == "COMBO" and name not in HOSTS_OWN_OPTIONS:
        said = sys.modules[f"{ALIAS}.nodes.inputs"].OPTION_WORDS
        entry["options"] = {option: said.get(option, option) for option in settings["options"]}
    return entry


def changed(nodes: Iterable[Any], folder: Path = LOCALES) -> list[Place]:
    """Name the English texts that the nodes have and the file has not, or the other way round."""
    kept, now = read(folder / ENGLISH / NODES), texts(english(nodes))
    return sorted(path for path in kept.keys() | now.keys() if kept.get(path) != now.get(path))


def write_english(nodes: Iterable[Any], folder: Path = LOCALES) -> None:
    """Write what the nodes say."""
    file = folder / ENGLISH / NODES
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(english(nodes), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def faults(nodes: Iterable[Any], language: str, folder: Path = LOCALES) -> dict[str, list[Place]]:
    """Name what is wrong with a translation: for each fault that it has, the paths of the texts."""
    nodes = list(nodes)
    source = texts(english(nodes)) | categories(nodes)
    found = read(folder / language / NODES) | read(folder / language / WORDS)
    # Single words may be the same in two languages; sentences and ids such as start_percent are not.
    same = [path for path, text in found.items() if text == source.get(path) and ("_" in text or text.endswith("."))]
    every = {
        "missing": source.keys() - found.keys(),
        "not of any node": found.keys() - source.keys(),
        "empty": [path for path, text in found.items() if not text.strip()],
        "still English": [*same, *(path for path in categories(nodes) if found.get(path) == source[path])],
        f"with one of the signs {' '.join(sorted(MESSAGE_FORMAT))}": [
            path for path, text in found.items() if set(text) & MESSAGE_FORMAT
        ],
    }
    return {fault: sorted(paths) for fault, paths in every.items() if paths}


def show(title: str, paths: Iterable[Place]) -> None:
    """Print texts by their places in the file."""
    print("\n".join([title, *(f"  {' > '.join(path)}" for path in paths)]))


def update(nodes: Iterable[Any], folder: Path = LOCALES) -> int:
    """Write the English texts, say what changed and what each language lacks; return 1 if one lacks something."""
    nodes = list(nodes)
    new, others = changed(nodes, folder), languages(folder)
    write_english(nodes, folder)
    print(f"{folder / ENGLISH / NODES}: {'written' if new else 'up to date'}")
    if new:
        show(f"These texts have changed. Check that {', '.join(others)} say the same:", new)
    wrong = {language: faults(nodes, language, folder) for language in others}
    for language, its in wrong.items():
        print(f"{language}: {'faults' if its else 'complete'}")
        for fault, paths in its.items():
            show(f" {fault}:", paths)
    return int(any(wrong.values()))


def run_locales() -> int:
    """Run the command and return its exit code; raises BootstrapError if it cannot be prepared."""
    place = prepare(testing=False)
    return hand_over(place.program("bootstrap.locales", ["--host", str(place.host)]), REPOSITORY, own_environment())


def main() -> int:
    """Update the texts and the page of messages, in the private environment and with a ComfyUI."""
    parser = argparse.ArgumentParser(prog="bootstrap.locales")
    parser.add_argument("--host", type=Path, required=True)
    parser.add_argument("--folder", type=Path, default=LOCALES)
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    import_pack(options.host)
    write_page(sys.modules[f"{ALIAS}.nodes.messages"], options.page)
    return update(sys.modules[f"{ALIAS}.nodes"].NODES, options.folder)


if __name__ == "__main__":
    sys.exit(main())
