"""The translations: every text of every node in every language, and the English ones as the nodes have them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bootstrap.errors import BootstrapError
from bootstrap.locales import ENGLISH, LOCALES, MESSAGE_FORMAT, NODES, WORDS, changed, english, faults, languages, texts
from bootstrap.messages import PAGE
from reg_pack import nodes

pytestmark = pytest.mark.host


def test_english_is_what_the_nodes_say() -> None:
    assert not changed(nodes.NODES), "run `python run.py locales`, then translate these texts"


@pytest.mark.parametrize("language", languages())
def test_language_has_every_text(language: str) -> None:
    assert faults(nodes.NODES, language) == {}


def test_english_has_no_sign_of_the_message_format() -> None:
    assert not [path for path, text in texts(english(nodes.NODES)).items() if set(text) & MESSAGE_FORMAT]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return shutil.copytree(LOCALES, tmp_path / "locales")


def change(file: Path, place: tuple[str, ...], text: str | None) -> None:
    """Put another text, or none, in a place of a file."""
    tree = json.loads(file.read_text("utf-8"))
    *parents, name = place
    entry = tree
    for key in parents:
        entry = entry[key]
    entry.pop(name, None)
    if text is not None:
        entry[name] = text
    file.write_text(json.dumps(tree), "utf-8")


CFG = ("REG_ScheduleConstant", "inputs", "cfg", "tooltip")
CATEGORY = ("nodeCategories", "playground")


@pytest.mark.parametrize(
    ("file", "place", "text", "fault"),
    [
        (NODES, CFG, None, "missing"),
        (NODES, ("REG_ScheduleConstant", "inputs", "weight"), "Gewicht", "not of any node"),
        (NODES, CFG, " ", "empty"),
        (NODES, CFG, texts(english(nodes.NODES))[CFG], "still English"),
        (NODES, CFG, "Gewicht {cfg}", "with one of the signs @ { | }"),
        (WORDS, CATEGORY, None, "missing"),
        (WORDS, CATEGORY, "playground", "still English"),
        (WORDS, ("nodeCategories", "model"), "Modell", "not of any node"),
    ],
)
def test_fault_is_named(copy: Path, file: str, place: tuple[str, ...], text: str | None, fault: str) -> None:
    change(copy / "de" / file, place, text)
    assert faults(nodes.NODES, "de", copy) == {fault: [place]}
    assert faults(nodes.NODES, "fr", copy) == {}


def test_new_language_is_a_folder(copy: Path) -> None:
    (copy / "it").mkdir()
    assert "it" in languages(copy)
    (places,) = faults(nodes.NODES, "it", copy).values()
    assert set(texts(english(nodes.NODES))) < set(places)


def test_file_that_is_no_json_is_named(copy: Path) -> None:
    (copy / "de" / NODES).write_text("{", "utf-8")
    with pytest.raises(BootstrapError, match="Expected JSON in .*nodeDefs.json"):
        faults(nodes.NODES, "de", copy)


def test_command_writes_the_english_and_lists_what_others_lack(copy: Path) -> None:
    change(copy / ENGLISH / NODES, CFG, "Weight.")
    change(copy / "de" / NODES, CFG, None)
    command = [sys.executable, "-m", "bootstrap", "bootstrap.locales", "--host", os.environ["COMFYUI_PATH"]]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [*command, "--folder", str(copy), "--page", str(copy / "messages.md")],
        cwd=LOCALES.parent,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert (copy / ENGLISH / NODES).read_bytes() == (LOCALES / ENGLISH / NODES).read_bytes()
    assert (copy / "messages.md").read_bytes() == PAGE.read_bytes()
    place = " > ".join(CFG)
    said = done.stdout[done.stdout.index(str(copy)) :]
    assert f"{ENGLISH}/{NODES}: written\n" in said.replace(os.sep, "/")
    assert f"say the same:\n  {place}\nde: faults\n missing:\n  {place}\nes: complete\n" in said
