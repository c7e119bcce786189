"""The help pages: one for every node, each with its picture, its inputs, and nothing that the pack no longer has."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from reg_pack.nodes import NODES
from reg_pack.nodes.compare.axes import AXES, Axis
from reg_pack.nodes.inputs import denoise_input, measured_input, rectification_inputs, sampler_inputs

pytestmark = pytest.mark.host

DOCS = Path(__file__).parents[1] / "web" / "docs"
SCHEMAS = {schema.node_id: schema for schema in (node.define_schema() for node in NODES) if not schema.is_dev_only}
LARGEST = 150_000  # bytes of a picture


def shown(inputs: Iterable[Any]) -> set[str]:
    """The names of inputs as the page has them."""
    return {spec.display_name or spec.id for spec in inputs}


# A page that says this sentence leaves these inputs to the page or node that it names.
SENTENCES = {
    "see the help of Rectified Gradient Guidance": shown([*rectification_inputs(), measured_input()]),
    "as in the KSampler": {"model", "positive", "negative", "latent_image"}
    | shown([*sampler_inputs(), denoise_input()]),
}


def page(node_id: str) -> str:
    """The page in one line for each paragraph, so that a sentence may run over the end of a line."""
    return re.sub(r"(?<=[^\n|])\n(?=[^\n|])", " ", (DOCS / f"{node_id}.md").read_text("utf-8"))


def table(node_id: str, heading: str) -> list[list[str]]:
    """The rows of the tables whose first column has this heading, as cells."""
    rows, inside = [], False
    for line in page(node_id).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        inside = line.startswith("|") and (inside or cells[0] == heading)
        if inside and cells[0] not in (heading, "---"):
            rows.append(cells)
    return rows


def inputs_on(node_id: str) -> set[str]:
    """The names in the first column of the table of inputs."""
    return {name.strip() for row in table(node_id, "input") for name in row[0].split(",")}


def pictures(node_id: str) -> list[str]:
    return re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page(node_id))


def test_every_node_has_a_page_and_every_page_a_node() -> None:
    assert {path.stem for path in DOCS.glob("*.md")} == set(SCHEMAS)


@pytest.mark.parametrize("node_id", SCHEMAS)
def test_page_is_named_like_its_node(node_id: str) -> None:
    assert page(node_id).splitlines()[0] == f"# {SCHEMAS[node_id].display_name}"


@pytest.mark.parametrize("node_id", SCHEMAS)
def test_page_has_a_picture_when_to_use_it_and_its_cost(node_id: str) -> None:
    assert pictures(node_id)
    assert "**Use it**" in page(node_id) and "**Cost**" in page(node_id)


@pytest.mark.parametrize("node_id", SCHEMAS)
def test_every_input_is_named(node_id: str) -> None:
    covered = {name for sentence, names in SENTENCES.items() if sentence in page(node_id) for name in names}
    named, existing = inputs_on(node_id), shown(SCHEMAS[node_id].inputs)
    assert named <= existing, "the page names inputs that the node does not have"
    assert existing <= named | covered, "the page does not name all inputs"


@pytest.mark.parametrize("node_id", SCHEMAS)
def test_no_input_is_named_that_is_gone(node_id: str) -> None:
    """Every word with an underscore is the name of an input, or of the playground's file."""
    inputs = {spec.id for schema in SCHEMAS.values() for spec in schema.inputs}
    files = {path.stem for path in (DOCS.parents[1] / "playground").glob("*.safetensors")}
    assert set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", page(node_id))) <= inputs | files


@pytest.mark.parametrize("node_id", SCHEMAS)
def test_what_stands_in_backticks_can_be_chosen(node_id: str) -> None:
    """Options of inputs, and the axes of REG Compare with their values, are all that the pages write in backticks."""
    options = {str(option) for schema in SCHEMAS.values() for spec in schema.inputs for option in _options(spec)}
    axes = {cell for row in table(node_id, "axis") for name in row[:2] for cell in re.findall("`([^`]+)`", name)}
    for words in set(re.findall("`([^`]+)`", page(node_id))) - axes - {"connected"}:
        assert words in options, f"no input can be set to {words!r}"


def test_table_of_axes_is_theirs() -> None:
    right = [[f"`{axis.name}`", examples_of(axis)] for axis in AXES.values() if axis.examples()]
    lines = "\n".join(f"| {name} | {values} |" for name, values in right)
    assert table("REG_Compare", "axis") == right, f"write these lines into the table of the page:\n{lines}"


def examples_of(axis: Axis) -> str:
    return f"`{axis.examples()}`" + (f" ({axis.remark})" if axis.remark else "")


@pytest.mark.parametrize("name", sorted(path.name for path in DOCS.iterdir() if path.suffix != ".md"))
def test_picture_is_used_and_small(name: str) -> None:
    assert any(name in pictures(node_id) for node_id in SCHEMAS)
    assert (DOCS / name).stat().st_size < LARGEST
    with Image.open(DOCS / name) as picture:
        assert 500 <= picture.width <= 1200
        picture.load()


@pytest.mark.parametrize("node_id", SCHEMAS)
def test_pictures_of_a_page_exist(node_id: str) -> None:
    """They are beside the page: the user interface serves nothing else of the repository."""
    for name in pictures(node_id):
        assert "/" not in name and (DOCS / name).is_file()


def _options(spec: object) -> list[object]:
    options = getattr(spec, "options", None)
    return list(options) if isinstance(options, (list, tuple)) else []
