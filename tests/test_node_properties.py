"""Every input of every node given anything, written or over a link, through the host's own validation and execution.

What is tried follows from the schemas: a new node or input needs no line here, a new type of input one in VALUES.
"""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from executor import Anything, End, execute
from executor import host as host
from hypothesis import given
from hypothesis import strategies as st

from arbitrary import LONGEST_MESSAGE, anything, examples
from reg_pack.nodes import NODES
from reg_pack.nodes.compare.parts import DrawnTile
from reg_pack.nodes.host.stopwatch import Stopwatch
from reg_pack.nodes.playground.pixels import PixelVAE
from reg_pack.reg_core.schedule import Linear, Measured
from reg_pack.reg_core.trace import COMPUTED, Step
from tiny_models import FAMILIES, conditioning, empty_latent

pytestmark = pytest.mark.host

MODEL = FAMILIES["SD3 flow"]()
IMAGE = torch.zeros(1, 32, 32, 3)
STEP = Step(0.5, 1.0, COMPUTED, weight=5.0, mean=0.5, before=1.0, after=0.5, change=0.5, noise=1.0)
LAYOUT = {"columns": ["a"], "rows": [""], "caption": "c", "tiles": [{"label": "a"}]}
VALUES: dict[str, Any] = {
    "MODEL": MODEL,
    "MODEL,GUIDER": MODEL,
    "CONDITIONING": conditioning(1),
    "LATENT": empty_latent(MODEL),
    "VAE": PixelVAE(32),
    "IMAGE": IMAGE,
    "GUIDANCE_SCHEDULE": Linear(3.0, 1.0),
    "measured": Measured(3.0, ((0.5, 0.9), (2.0, 0.3))),
    "REG_STOPWATCH": Stopwatch(0.5, 1, [STEP]),
    "REG_TILES": [DrawnTile(IMAGE, 1, 0.5)],
    "REG_SHEET_LAYOUT": LAYOUT,
    "BOOLEAN": False,
    "STRING": "run",
}
"""A value of each type that nodes take, where the schema names none, or of an input that takes not all of its type."""
QUICK = {"steps": 1, "size": 32, "columns": "none", "rows": "none", "layers": "0", "heat_maps": 1}
TEXTS = {"curve": '{"form": "row-sum", "points": [[0.5, 0.9], [2, 0.3]]}'}
MOST_STEPS = 4

written_curves = st.one_of(
    st.lists(st.lists(st.floats(0, 1) | st.floats(), min_size=1, max_size=3), max_size=5).map(
        lambda points: {"points": points, "interpolation": "linear"}
    ),
    st.lists(st.lists(st.floats(0, 1), min_size=2, max_size=2), min_size=2, max_size=5).map(
        lambda points: {"__type__": "CURVE", "__value__": {"points": points, "interpolation": "monotone_cubic"}}
    ),
)
texts = st.one_of(
    st.text(alphabet="0123456789,;- +.eE\n", max_size=20),
    st.sampled_from(["0-9999", "0-9999999", " " * 30_000, "0 -" * 30_000, "1," * 10**6, "+1, +18446744073709551615"]),
    st.sampled_from(["linear " + "1 " * 10**5, "method", "CFG, REG, SNR 1e400", "seven", "9" * 400, "9" * 5000]),
    st.sampled_from(["{" * 10**5, "[" * 10**5, '{"points": 7}', '{"points": [[1e400, 1]]}', *TEXTS.values()]),
)


def run(node: Any, inputs: dict[str, Any], linked: dict[str, Any]) -> tuple[str, str]:
    """Who refused (the host, or nobody, or the type of the error that was raised) and the message."""
    schema = node.GET_SCHEMA()
    Anything.held, End.taken = linked, []
    prompt: dict[str, Any] = {
        "node": {"class_type": schema.node_id, "inputs": inputs | {name: [f"to {name}", 0] for name in linked}},
        "end": {"class_type": "End", "inputs": {f"output{i}": ["node", i] for i in range(len(schema.outputs))}},
    }
    prompt |= {f"to {name}": {"class_type": "Anything", "inputs": {"name": name}} for name in linked}
    return execute(prompt)


def linked_value(spec: Any) -> Any:
    return VALUES[spec.id if spec.id in VALUES else spec.get_io_type()]


def plain_value(spec: Any) -> Any:
    if spec.id in QUICK:
        return QUICK[spec.id]
    if spec.get_io_type() == "STRING" and spec.id in TEXTS:
        return TEXTS[spec.id]
    default = getattr(spec, "default", None)
    if default is None:
        return spec.options[0] if spec.get_io_type() == "COMBO" else linked_value(spec)
    return spec.as_dict()["default"]


def edges(spec: Any) -> st.SearchStrategy[Any]:
    """What is tried at an input: what it takes, what lies beside it, and anything else."""
    kind = spec.get_io_type()
    if kind in ("FLOAT", "INT"):
        inside = [spec.min, min(spec.max, spec.min + 1)] + ([] if "step" in spec.id else [spec.max])
        beside = [spec.min - 1, spec.max + 1, spec.max * 1.001, math.nan, math.inf, -math.inf, 1e30, 1e308, "1", True]
        return st.sampled_from([*inside, *beside]) | anything
    if kind == "COMBO":
        return st.sampled_from(spec.options[:4]) | anything
    if kind == "STRING":
        return texts | anything
    if kind == "CURVE":
        return written_curves | anything
    return st.just(linked_value(spec)) | anything


def is_slow(spec: Any, value: Any) -> bool:
    """Valid, and more steps than there is time for."""
    return "step" in spec.id and isinstance(value, (int, float)) and MOST_STEPS < value <= spec.max


def as_written(value: Any) -> Any:
    """The value as a prompt carries it, a list as the page wraps it; raises TypeError if it cannot be written."""
    value = json.loads(json.dumps(value))
    return {"__value__": value} if isinstance(value, list) else value


def finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    return not isinstance(value, torch.Tensor) or bool(value.isfinite().all())


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.GET_SCHEMA().node_id)
def test_every_input_takes_what_it_says_and_refuses_the_rest(node: Any) -> None:
    specs = {spec.id: spec for spec in node.define_schema().inputs}
    objects = {
        name: spec for name, spec in specs.items() if spec.get_io_type() in VALUES and not hasattr(spec, "default")
    }
    refusals: set[str] = set()

    @examples(40 if node.GET_SCHEMA().enable_expand else 5 * len(specs))
    @given(st.data())
    def check(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(list(specs)), label="input")
        value = data.draw(edges(specs[name]), label="value")
        over_link = data.draw(st.booleans(), label="linked")
        if is_slow(specs[name], value):
            return
        if specs[name].rawLink and over_link:  # what is linked goes to the nodes of the host that the sheet adds
            value = plain_value(specs[name])
        linked = {other: plain_value(spec) for other, spec in objects.items()}
        written = {other: as_written(plain_value(spec)) for other, spec in specs.items() if other not in objects}
        linked.pop(name, None)
        written.pop(name, None)
        try:
            (linked if over_link else written)[name] = value if over_link else as_written(value)
        except (TypeError, ValueError):  # nothing that can be written
            return
        with torch.inference_mode():
            who, message = run(node, written, linked)
        assert len(message) < LONGEST_MESSAGE, message[:2000]
        if who == "":
            assert all(map(finite, End.taken))
        elif who != "host":
            assert who == "ValueError", f"{who}: {message}"
            assert name in message, message
            refusals.add(name)

    check()
    with torch.inference_mode():
        plain = {other: as_written(plain_value(spec)) for other, spec in specs.items() if other not in objects}
        assert run(node, plain, {other: plain_value(spec) for other, spec in objects.items()}) == ("", "")
    assert refusals
