"""The axes of a comparison: text such as "CFG, REG" or "3, 6, 9", checked, and what each value makes of a tile."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from comfy_api.latest import io

from ...reg_core.number import number, whole_number
from ...reg_core.table import shown
from .. import schedules
from ..inputs import denoise_input, rectification_inputs, sampler_inputs
from ..messages import message
from ..schedules import ScheduleNode, Written
from .axis import NONE, Axis, Value, illegal, parsed
from .spelling import meant
from .tile import MATCHED, MEASURED, MeasuredSchedule, Tile, WrittenSchedule
from .upstream_axes import LoraAxis, ModelAxis, PromptAxis, WidgetAxis


class NoAxis(Axis):
    """One value without a header, whatever is written."""

    repeatable = True

    def examples(self) -> str:
        return ""

    def read(self, text: str, base: Tile) -> Value:
        return Value("", lambda tile: tile)

    def values(self, text: str, base: Tile) -> list[Value]:
        return [self.read(text, base)]


@dataclass(frozen=True)
class SettingAxis(Axis):
    """An axis over a setting of the tile: the input of its name, or ``input_id``; ``like`` are examples."""

    like: str = ""
    input_id: str = ""

    @property
    def setting(self) -> str:
        return self.input_id or self.name

    @property
    def sets(self) -> tuple[str, ...]:
        return (self.setting,)

    @property
    def spec(self) -> Any:
        """The input, with its limits or options."""
        inputs = (*sampler_inputs(), denoise_input(), *rectification_inputs())
        return next(spec for spec in inputs if spec.id == self.setting)

    def examples(self) -> str:
        return self.like

    def value(self, header: str, setting: Any) -> Value:
        return Value(header, lambda tile: tile.set(self.setting, setting))


class NumberAxis(SettingAxis):
    """Numbers within the limits of the input."""

    def parts(self, text: str) -> list[str]:
        return self.spread(super().parts(text), isinstance(self.spec, io.Int.Input))

    def offset(self, text: str, base: Tile) -> int:
        """What is added to the number that is written."""
        return 0

    def read(self, text: str, base: Tile) -> Value:
        spec = self.spec
        whole = isinstance(spec, io.Int.Input)
        setting = parsed(text, self.name, self.like, int if whole else float) + self.offset(text, base)
        setting = (whole_number if whole else number)(setting, self.name, spec.min, spec.max)
        return self.value(f"{self.name} = {setting if whole else f'{setting:g}'}", setting)


class SeedAxis(NumberAxis):
    """Seeds, or with a plus what is added to that of the node."""

    remark = "+1 is the seed plus one"

    def offset(self, text: str, base: Tile) -> int:
        return base.settings[self.name] if text.startswith("+") else 0


class ChoiceAxis(SettingAxis):
    """Names that the input offers, in whatever case; its examples are all of them, unless others are given."""

    def names(self) -> list[str]:
        return list(self.spec.options)

    def examples(self) -> str:
        return self.like or ", ".join(self.names())

    def offers(self) -> list[str]:
        return self.names()

    def read(self, text: str, base: Tile) -> Value:
        for name in self.spec.options:
            if text.casefold() == name.casefold():
                return self.value(name, name)
        if self.like and not meant(text, self.names()):
            raise ValueError(message("axis-choice-unknown", axis=self.name, options=self.like, value=shown(text)))
        raise illegal(self, text)


def check_count(axis: Axis, name: str, count: int, least: int, most: int, text: str) -> None:
    """Raises ValueError for more or fewer numbers after the name of a schedule than it takes."""
    if not least <= count <= most:
        takes = f"{least} to {most}" if least < most else f"{most or 'no'}"
        numbers = f"{takes} number{'s' if takes != '1' else ''}"
        wrong = message(
            "axis-count-wrong",
            axis=axis.name,
            name=name,
            numbers=numbers,
            examples=axis.examples(),
            value=shown(text),
        )
        raise ValueError(wrong)


class SchedulesAxis(Axis):
    """An axis that takes schedules as their nodes say that they are written."""

    @abstractmethod
    def takes(self, written: Written) -> bool:
        """Whether this schedule is a value of the axis."""

    def kinds(self) -> list[tuple[Written, type[ScheduleNode]]]:
        """How these schedules are written, and their nodes."""
        nodes = (node for node in schedules.NODES if issubclass(node, ScheduleNode))
        return [(node.written, node) for node in nodes if node.written and self.takes(node.written)]

    def heads(self) -> list[str]:
        return [written.name for written, _ in self.kinds()]

    def schedule_examples(self) -> list[str]:
        return [written.example for written, _ in self.kinds()]

    def schedule(self, text: str) -> WrittenSchedule:
        """A name and its numbers; raises ValueError for others, and for numbers that the node would refuse."""
        first, *rest = text.split()
        for written, node in self.kinds():
            if written.name.casefold() == first.casefold():
                check_count(self, written.name, len(rest), written.least, len(written.numbers), text)
                numbers = tuple(parsed(number, f"{self.name} {written.name}", "0.5") for number in rest)
                schedule = WrittenSchedule(node, written, numbers)
                schedule.inputs(1.0)  # raises as its node would
                return schedule
        raise illegal(self, text)


METHODS: dict[str, Callable[[Tile], Tile]] = {
    "CFG": lambda tile: replace(tile, rectified=False),
    "REG": lambda tile: replace(tile, rectified=True),
    MATCHED: lambda tile: replace(tile, rectified=True).plain(),
    MEASURED: lambda tile: replace(tile, rectified=False, schedule=MeasuredSchedule()),
}


class MethodAxis(SchedulesAxis):
    """CFG, REG, plain CFG by the measure of REG, or plain CFG under a schedule that is a method of its own."""

    remark = (
        f"{MATCHED} is plain CFG about as strong as the REG beside it, {MEASURED} is plain CFG under the schedule that "
        "the first REG tile measures"
    )

    def names(self) -> list[str]:
        return list(METHODS)

    def examples(self) -> str:
        return ", ".join([*METHODS, *self.schedule_examples()])

    def values(self, text: str, base: Tile) -> list[Value]:
        values = super().values(text, base)
        names = [value.header for value in values]
        needing = next((name for name in (MATCHED, MEASURED) if name in names), None)
        if needing is not None and "REG" not in names:
            raise ValueError(message("method-needs-reg", axis=self.name, name=needing))
        return values

    def takes(self, written: Written) -> bool:
        return written.method

    def read(self, text: str, base: Tile) -> Value:
        words = " ".join(text.casefold().split())
        for name, apply in METHODS.items():
            if words == name.casefold():
                return Value(name, apply)
        schedule = self.schedule(text)
        return Value(str(schedule), lambda tile: replace(tile, rectified=False, schedule=schedule))


class ScheduleAxis(SchedulesAxis):
    """A schedule with its numbers, or the connected one."""

    connected: ClassVar[str] = "connected"

    def names(self) -> list[str]:
        return [self.connected]

    def examples(self) -> str:
        return ", ".join([*self.schedule_examples(), self.connected])

    def takes(self, written: Written) -> bool:
        return True

    def read(self, text: str, base: Tile) -> Value:
        first, *rest = text.split()
        if first.casefold() != self.connected:
            schedule = self.schedule(text)
            return Value(str(schedule), lambda tile: replace(tile, schedule=schedule))
        check_count(self, self.connected, len(rest), 0, 0, text)
        if base.connected is None:
            raise ValueError(message("schedule-not-connected", axis=self.name, name=self.connected))
        return Value(self.connected, lambda tile: replace(tile, schedule=tile.connected))


AXES: dict[str, Axis] = {
    axis.name: axis
    for axis in (
        NoAxis(NONE),
        MethodAxis("method"),
        NumberAxis("cfg", "3, 6, 9"),
        NumberAxis("strength", "0, 0.5, 1"),
        ChoiceAxis("form"),
        ChoiceAxis("estimator"),
        ScheduleAxis("schedule"),
        SeedAxis("seed", "1, 2, +1"),
        ChoiceAxis("sampler", "euler, heun, dpmpp_2m", "sampler_name"),
        ChoiceAxis("scheduler", "simple, karras, normal"),
        NumberAxis("steps", "10, 20, 30"),
        NumberAxis("denoise", "50%, 75%, 100%"),
        NumberAxis("start", "0%, 20%, 40%", "start_percent"),
        NumberAxis("end", "60%, 80%, 100%", "end_percent"),
        ChoiceAxis("budget", "every step, best, as CFG", "refresh"),
        PromptAxis("prompt"),
        LoraAxis("LoRA strength"),
        ModelAxis("model"),
        WidgetAxis("widget"),
    )
}
"""In the order in which the node offers them; where two set the same, the first of them has it."""


def axes_words() -> dict[str, dict[str, list[str]]]:
    """For the page, by axis: the names that its values may be, or begin with, and the values that it offers."""
    return {
        axis.name: {"names": axis.names(), "heads": axis.heads(), "offers": axis.offers()} for axis in AXES.values()
    }


def axes_help() -> str:
    """Examples of the values of each axis, in one line."""
    helps = ((axis.name, axis.examples(), axis.remark) for axis in AXES.values())
    return " ".join(
        f"{name}: {examples}{f' ({remark})' if remark else ''}." for name, examples, remark in helps if examples
    )
