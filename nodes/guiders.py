"""REG as a GUIDER for SamplerCustomAdvanced."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from .host.autoguidance.guider import AutoGuider
from .host.autoguidance.second_model import SecondModel
from .host.autoguidance.weakening import WEAKENINGS, weakened
from .host.sampling import Model, guider
from .inputs import RectifiedNode, cfg_input, knows_its_id, measured_input, rectification_inputs


class RectifiedGuider(RectifiedNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="REG_Guider",
            display_name="REG Guider",
            category="REG/sampling",
            description="CFG guider with Rectified Gradient Guidance and an optional guidance schedule built in.",
            search_aliases=["REG", "rectified gradient guidance", "guider"],
            inputs=[
                io.Model.Input("model", tooltip="The model to guide."),
                io.Conditioning.Input("positive", tooltip="What the image should show."),
                io.Conditioning.Input("negative", tooltip="What to steer away from; an empty prompt is usual."),
                cfg_input(),
                *rectification_inputs(),
                measured_input(),
            ],
            outputs=[io.Guider.Output(tooltip="For SamplerCustomAdvanced.")],
            **knows_its_id(),
        )

    @classmethod
    def execute(cls, model: Model, positive: Any, negative: Any, cfg: float, **rectification: Any) -> io.NodeOutput:
        return io.NodeOutput(guider(cls.guided(model, **rectification), positive, negative, cfg))


class RectifiedAutoGuider(RectifiedNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="REG_AutoGuider",
            display_name="REG AutoGuider",
            category="REG/sampling",
            description="Guides away from a weaker version of the model instead of a negative prompt (autoguidance), "
            "with Rectified Gradient Guidance built in.",
            search_aliases=["REG", "autoguidance", "skip layer guidance", "perturbed attention", "guider"],
            inputs=[
                io.Model.Input("model", tooltip="The model to guide."),
                io.Conditioning.Input("positive", tooltip="What the image should show; the weak version gets it, too."),
                cfg_input(
                    default=2.0,
                    step=0.05,
                    tooltip="How strongly to guide away from the weak version; 1 is off. 1.5 to 3 is usual, 1.1 to 1.5 "
                    "if the weak version is very weak.",
                ),
                io.Combo.Input(
                    "weaken",
                    options=list(WEAKENINGS),
                    tooltip="How to weaken the model. skip layers: for transformers such as SD3, Flux and Wan. "
                    "perturbed attention: for UNets such as SD1.5 and SDXL. Not used when weak_model is connected.",
                ),
                io.String.Input(
                    "layers",
                    default="7, 8, 9",
                    tooltip="Layers to skip, counted from 0, such as 7, 8, 9 or 7-9. One to three from the middle of "
                    "the model are useful. Flux has two kinds of layers; these are skipped in both. Only for skip "
                    "layers.",
                ),
                *rectification_inputs(),
                io.Model.Input(
                    "weak_model",
                    optional=True,
                    tooltip="A smaller or less trained model of the same kind as the weak version. "
                    "When connected, weaken and layers are not used.",
                ),
                measured_input(),
            ],
            outputs=[io.Guider.Output(tooltip="For SamplerCustomAdvanced.")],
            **knows_its_id(),
        )

    @classmethod
    def execute(
        cls,
        model: Model,
        positive: Any,
        cfg: float,
        weaken: str,
        layers: str,
        weak_model: Model | None = None,
        **rectification: Any,
    ) -> io.NodeOutput:
        weak = weakened(weaken, layers) if weak_model is None else SecondModel(weak_model, positive)
        guided = cls.guided(model, **rectification)
        return io.NodeOutput(AutoGuider(guided, positive, cfg, weak, cls.hidden.unique_id))


NODES: list[type[io.ComfyNode]] = [RectifiedGuider, RectifiedAutoGuider]
