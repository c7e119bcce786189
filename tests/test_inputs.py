"""What comes into a node over a link is held to the same limits as what is written into it."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import torch

from reg_pack.nodes import NODES
from reg_pack.nodes.guidance import RectifiedGuidance
from reg_pack.nodes.guiders import RectifiedAutoGuider, RectifiedGuider
from reg_pack.nodes.kinds import KINDS, CheckedNode, received
from reg_pack.nodes.playground.digits import MOST_CLASSES, PlaygroundConditioning
from reg_pack.nodes.playground.pixels import PlaygroundDecode, PlaygroundVAE
from reg_pack.nodes.samplers import RectifiedKSampler
from reg_pack.nodes.schedules import ApplySchedule, ScheduleCombine, ScheduleConstant
from reg_pack.reg_core.schedule import Constant
from tiny_models import FAMILIES, conditioning, empty_latent

pytestmark = pytest.mark.host

FLOW = FAMILIES["SD3 flow"]()
REG = {"strength": 1.0, "form": "row-sum", "estimator": "reverse", "start_percent": 0.0, "end_percent": 1.0}
CONDS = {"positive": conditioning(1), "negative": conditioning(2)}
SAMPLED = {
    **{"model": FLOW, **CONDS, **REG, "latent_image": empty_latent(FLOW)},
    **{"seed": 1, "steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0},
}


@pytest.mark.parametrize("name", ["cfg", "strength", "denoise", "start_percent", "seed", "steps"])
@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30, -1e308, "3", None, [3.0], 1j])
def test_a_number_that_is_none_is_refused_and_named(name: str, value: Any) -> None:
    with torch.inference_mode(), pytest.raises(ValueError, match=f"REG: {name} must be") as error:
        RectifiedKSampler.execute(**{**SAMPLED, name: value})
    assert "linked" in str(error.value) and len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("node", "inputs", "name"),
    [
        (RectifiedGuidance, {"model": FLOW, **REG}, "strength"),
        (RectifiedGuider, {"model": FLOW, **CONDS, **REG, "cfg": 3.0}, "cfg"),
        (RectifiedAutoGuider, {"model": FLOW, "positive": conditioning(1), **REG, "weaken": "skip layers"}, "cfg"),
        (ScheduleConstant, {}, "cfg"),
        (ScheduleCombine, {"first": Constant(1), "second": Constant(2), "combine": "join"}, "switch_percent"),
        (PlaygroundVAE, {}, "size"),
        (PlaygroundDecode, {"samples": empty_latent(FLOW)}, "size"),
    ],
)
@pytest.mark.parametrize("value", [math.nan, 1e30])
def test_every_kind_of_node_refuses_it(node: Any, inputs: dict[str, Any], name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"REG: {name} must be"):
        node.execute(**{**inputs, name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("cfg", 3), ("cfg", np.float32(3)), ("cfg", torch.tensor(3.0)), ("steps", 2.0), ("steps", np.int64(2))],
)
def test_numbers_of_other_packs_are_the_same_numbers(name: str, value: Any) -> None:
    node = RectifiedKSampler.PREPARE_CLASS_CLONE(None)  # as the host has it while it runs
    with torch.inference_mode():
        (given,) = node.execute(**{**SAMPLED, name: value}).result
        (plain,) = node.execute(**SAMPLED).result
    assert torch.equal(given["samples"], plain["samples"])


def test_a_truth_value_of_a_link_counts_as_the_host_counts_it() -> None:
    assert ScheduleConstant.execute(cfg=True).result == (Constant(1.0),)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("sampler_name", "eulr", "one of 'euler'"),
        ("form", "sum", "one of 'row-sum', 'directional'"),
        ("model", None, "a MODEL"),
        ("positive", [1.0], "CONDITIONING"),
        ("latent_image", {}, "a LATENT"),
    ],
)
def test_what_is_not_of_its_kind_is_refused(name: str, value: Any, said: str) -> None:
    with pytest.raises(ValueError, match=f"REG: {name} must be {said}") as error:
        RectifiedKSampler.execute(**{**SAMPLED, name: value})
    assert len(str(error.value)) < 600


def test_what_is_no_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="schedule must be a guidance schedule; got 3.0"):
        ApplySchedule.execute(model=FLOW, schedule=3.0)


def test_every_input_has_a_check_and_every_node_uses_it() -> None:
    for node in NODES:
        assert issubclass(node, CheckedNode)
        for spec in node.define_schema().inputs:
            assert spec.rawLink or spec.get_io_type() in KINDS, (node, spec.id)


def test_a_value_that_was_refused_by_the_host_alone_is_refused_here() -> None:
    for node in NODES:
        for spec in node.define_schema().inputs:
            if spec.get_io_type() in ("FLOAT", "INT"):
                for inside in (spec.min, spec.max):
                    assert received(spec, inside) == inside
                for outside in (
                    spec.min - 1,
                    spec.max + 1,
                    math.nan,
                    10**400,
                    Decimal(1),
                    False if spec.min > 0 else "0",
                ):
                    with pytest.raises(ValueError, match=spec.id):
                        received(spec, outside)


@pytest.mark.parametrize(
    ("classes", "said"), [("".join(map(chr, range(0x4E00, 0x9E00))), "unknown class"), ("0" * 10**6, "at most 4096")]
)
def test_classes_are_refused_in_few_words(classes: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        PlaygroundConditioning.execute(classes=classes)
    assert len(str(error.value)) < 300
    (positive, _) = PlaygroundConditioning.execute(classes="7" * MOST_CLASSES).result
    assert len(positive[0][0]) == MOST_CLASSES


@pytest.mark.parametrize("shape", [(0, 16, 8, 8), (1, 16, 0, 8), (1, 16, 8), (1, 4, 8, 8)])
def test_latents_without_a_picture_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected latents"):
        PlaygroundDecode.execute(samples={"samples": torch.zeros(shape)}, size=32)
