"""Axes over what is written into the nodes before the sheet: prompt, LoRA, model, and any widget by its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Any, ClassVar

from ...reg_core.number import HIGHEST, number, whole_number
from ...reg_core.table import MOST_SHOWN, shown
from ..host.widgets import Widget
from ..messages import message
from .axis import Axis, Value, parsed
from .tile import Tile

MODEL_FILES = ("ckpt_name", "unet_name")
"""Inputs of the host's loaders, and of other packs' in their manner, that name the file of a model."""
LORA_STRENGTHS = ("strength_model", "strength_clip")
SWITCH = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}
LARGEST_WHOLE = 2**64 - 1


class UpstreamAxis(Axis):
    """An axis that writes into nodes upstream of the sheet, each tile into copies of its own.

    The nodes are known when the sheet runs and not before; until then only the text is checked.
    """

    links: ClassVar[tuple[str, ...]] = ()
    """The inputs of the sheet upstream of which it looks; all where there are none."""
    like: ClassVar[str]

    def examples(self) -> str:
        return self.like

    def widgets(self, base: Tile) -> list[Widget] | None:
        """What is written upstream, nearest first; None where that is not known yet."""
        return None if base.upstream is None else list(base.upstream(self.links))


def writing(header: str, places: Sequence[tuple[Widget, Any]]) -> Value:
    """The value of an axis that writes into these places."""

    def apply(tile: Tile) -> Tile:
        for widget, value in places:
            tile = tile.write(widget.node, widget.name, value)
        return tile

    return Value(header, apply)


def chosen(axis: str, widget: Widget, text: str, accepts: Callable[[str, str], bool] | None = None) -> str:
    """The one option of a widget that a text names, in whatever case; raises ValueError for none and for several."""
    if widget.options is None:
        return text
    words = text.casefold()
    found = [option for option in widget.options if option.casefold() == words]
    if accepts is not None and not found:
        found = [option for option in widget.options if accepts(option.casefold(), words)]
    if len(found) == 1:
        return found[0]
    options = ", ".join(found or widget.options)
    options = options if len(options) <= MOST_SHOWN else f"{options[: MOST_SHOWN - 3]}..."
    raise ValueError(message("axis-choice-unknown", axis=axis, options=options, value=shown(text)))


def written(axis: str, widget: Widget, text: str) -> Any:
    """The value that a text gives to a widget; raises ValueError for what it does not take."""
    if widget.kind in ("INT", "FLOAT"):
        whole = widget.kind == "INT"
        most = LARGEST_WHOLE if whole else HIGHEST
        low, high = -most if widget.low is None else widget.low, most if widget.high is None else widget.high
        value = parsed(text, axis, "1, 2, 3" if whole else "0.5, 1, 2", int if whole else float)
        return whole_number(value, axis, int(low), int(high)) if whole else number(value, axis, low, high)
    if widget.kind == "BOOLEAN":
        if text.casefold() not in SWITCH:
            raise ValueError(message("axis-choice-unknown", axis=axis, options="true, false", value=shown(text)))
        return SWITCH[text.casefold()]
    return chosen(axis, widget, text)


class PromptAxis(UpstreamAxis):
    """Texts that replace the first of them wherever it stands in the texts before positive and negative."""

    links = ("positive", "negative")
    like = "cat, dog, bird"
    remark = "replaces the first of them in the prompts; a text with commas stands in double quotes"

    def read(self, text: str, base: Tile) -> Value:
        return self.replacing(text, text, self.widgets(base))

    def values(self, text: str, base: Tile) -> list[Value]:
        parts, found = self.parts(text), self.widgets(base)
        return [self.replacing(parts[0], part, found) for part in parts]

    def replacing(self, sought: str, text: str, found: list[Widget] | None) -> Value:
        """The value that replaces one text by another; raises ValueError where the first is in no prompt."""
        texts = [widget for widget in found or () if widget.kind == "STRING" and sought in str(widget.value)]
        if found is not None and not texts:
            raise ValueError(message("prompt-without", axis=self.name, value=shown(sought)))
        return writing(text, [(widget, str(widget.value).replace(sought, text)) for widget in texts])


class LoraAxis(UpstreamAxis):
    """Strengths of the one LoRA between the loader and the sheet."""

    links = ("model",)
    like = "0, 0.5, 1"

    def parts(self, text: str) -> list[str]:
        return self.spread(super().parts(text), whole=False)

    def read(self, text: str, base: Tile) -> Value:
        strength = number(parsed(text, self.name, self.like), self.name, -100.0, 100.0)
        found = self.widgets(base)
        loaders = list(dict.fromkeys(widget.node for widget in found or () if widget.name == "lora_name"))
        if found is not None and len(loaders) != 1:
            raise ValueError(message("lora-not-one", axis=self.name, count=len(loaders)))
        strengths = [w for w in found or () if w.node in loaders and w.name in LORA_STRENGTHS]
        return writing(f"LoRA = {strength:g}", [(widget, strength) for widget in strengths])


class ModelAxis(UpstreamAxis):
    """Files of the loader whose model the sheet gets; a checkpoint brings its own text encoder and VAE."""

    links = ("model",)
    like = "first.safetensors, second.safetensors"
    remark = "the names of checkpoints or diffusion models, with or without folder and ending"

    def read(self, text: str, base: Tile) -> Value:
        found = self.widgets(base)
        header = PurePosixPath(text.replace("\\", "/")).stem if text.endswith((".safetensors", ".gguf")) else text
        if found is None:
            return writing(header, [])
        loader = next((widget for widget in found if widget.name in MODEL_FILES), None)
        if loader is None:
            raise ValueError(message("model-not-loaded", axis=self.name))
        return writing(header, [(loader, chosen(self.name, loader, text, names_file))])


def names_file(option: str, words: str) -> bool:
    """Whether a text is the name of a file without its folder or its ending."""
    path = PurePosixPath(option.replace("\\", "/"))
    return words in (path.name, path.stem, str(path.with_suffix("")))


class WidgetAxis(UpstreamAxis):
    """Values of any one widget of a node before the sheet."""

    like = "shift = 1, 3, 6"
    remark = "any widget of a node before the sheet by its name; where several have it, name.widget or number.widget"

    def parts(self, text: str) -> list[str]:
        return super().parts(self.named(text)[1])

    def named(self, text: str) -> tuple[str, str]:
        """What stands before and after the sign =; raises ValueError where there is none."""
        name, sign, values = text.partition("=")
        if not sign or not name.strip():
            raise ValueError(message("widget-not-named", axis=self.name, examples=self.like, value=shown(text)))
        return name.strip(), values

    def read(self, text: str, base: Tile) -> Value:
        return self.values(text, base)[0]

    def values(self, text: str, base: Tile) -> list[Value]:
        name, _ = self.named(text)
        parts, found = self.parts(text), self.widgets(base)
        if found is None:
            return [writing(f"{name} = {part}", []) for part in parts]
        widget = self.find(name, found)
        if widget.kind in ("INT", "FLOAT"):
            parts = self.spread(parts, widget.kind == "INT")
        return [writing(f"{name} = {part}", [(widget, written(name, widget, part))]) for part in parts]

    def find(self, name: str, found: list[Widget]) -> Widget:
        """The widget of a name; raises ValueError where there is none, or where several nodes have it."""
        words = name.casefold()
        called = [widget for widget in found if widget.name.casefold() == words]
        called = called or [
            widget for widget in found if any(words == f"{node}.{widget.name.casefold()}" for node in widget.names)
        ]
        if len(called) == 1:
            return called[0]
        if called:
            several = ", ".join(f"{widget.node}.{widget.name}" for widget in called)
            raise ValueError(message("widget-not-one", axis=self.name, value=shown(name), names=several[:MOST_SHOWN]))
        names = ", ".join(dict.fromkeys(widget.name for widget in found))
        names = names if len(names) <= MOST_SHOWN else f"{names[: MOST_SHOWN - 3]}..."
        raise ValueError(message("widget-unknown", axis=self.name, value=shown(name), names=names))
