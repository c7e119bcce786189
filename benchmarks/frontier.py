"""What REG keeps of its effect at which price, on the playground models, beside the schedules that cost nothing.

python run.py bench frontier

A table, and reg_frontier.png in the current folder. Nothing here is tuned on the seeds that judge: schedules are
measured on the first seed of ``CALIBRATION``, and the spread of SNR is tuned on all of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import harness  # noqa: F401  # first: it imports the host

# isort: split
import comfy.utils
import torch
from torch import Tensor

from playground import PLAYGROUNDS, SEEDS, STEPS, Model, Playground, distance, sample
from reg_pack.nodes.host.derivative.selection import Method
from reg_pack.nodes.host.runs import RUNS, key_of
from reg_pack.nodes.host.sampling import Guidance
from reg_pack.nodes.host.scheduling import ScheduledWeight
from reg_pack.nodes.inspector.plot import FAINT, GRID, Paper
from reg_pack.reg_core.measurement import measured
from reg_pack.reg_core.rectification import FORMS
from reg_pack.reg_core.refresh import REFRESHES
from reg_pack.reg_core.schedule import SNR, Cosine, Measured, Schedule
from reg_pack.reg_core.trace import Trace

WEIGHTS, CALIBRATION = (3.0, 5.0), range(101, 104)
SPREADS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


def rectified(model: Model, method: Method) -> Model:
    return Guidance(method).install(model)


def ran(model: Model) -> Trace:
    """The last run of this MODEL."""
    return next(iter(RUNS.of(model).values()))


def drawn(model: Model, weight: float, playground: Playground, seeds: Iterable[int] = SEEDS) -> Tensor:
    return torch.cat([sample(model, weight, seed, playground=playground) for seed in seeds])


def calibrated(model: Model, form: str, weight: float, playground: Playground) -> Measured:
    """The schedule that one run of REG measures, on a seed that judges nothing."""
    guided = rectified(model, Method(form=form, estimator="reverse"))
    drawn(guided, weight, playground, CALIBRATION[:1])
    return measured([ran(guided).steps], weight, form)


def tuned(model: Model, form: str, weight: float, playground: Playground) -> float:
    """The spread of SNR that comes nearest to REG, on seeds that judge nothing."""
    exact = drawn(rectified(model, Method(form=form, estimator="reverse")), weight, playground, CALIBRATION)

    def lost(spread: float) -> float:
        way = ScheduledWeight(SNR(weight, spread)).install(model)
        return distance(drawn(way, weight, playground, CALIBRATION), exact)

    return min(SPREADS, key=lost)


def ways(model: Model, form: str, weight: float, playground: Playground) -> Iterator[tuple[str, Model]]:
    """What is compared, by name."""
    curve, spread = calibrated(model, form, weight, playground), tuned(model, form, weight, playground)
    free: dict[str, Schedule] = {
        "measured schedule": curve,
        f"SNR schedule, spread {spread:g} (tuned on this model)": SNR(weight, spread),
        "SNR schedule, spread 1": SNR(weight),
        "cosine schedule": Cosine(1.0, weight),
    }
    for name, schedule in free.items():
        yield name, ScheduledWeight(schedule).install(model)
    for name in REFRESHES:
        yield (
            f"REG, {name}",
            rectified(model, Method(1.0, form, "reverse", name, measured=curve if name == "free" else None)),
        )
    for name in ("as CFG", "every step"):
        yield f"REG by finite difference, {name}", rectified(model, Method(1.0, form, "finite difference", name))


class Point(NamedTuple):
    """One way: its compute as a share of CFG's, and the share of the effect of REG at every step that it keeps."""

    way: str
    cost: float
    kept: float


PICTURE = Path("reg_frontier.png")
WIDTH, HEIGHT, LINE = 1280, 500, 17  # of the picture, of a row of panels, of a name
COSTS = (0.68, 1.5)
KEPT = (0.0, 0.5, 0.75, 0.9, 0.95, 0.98)
"""Lines of the picture. Its height counts in halvings of what is lost, since the last percents are the dear ones."""
MOST, LEAST = 1.3, 0.02
"""What is lost at the foot and at the top; what keeps more is drawn at the top."""
REG_COLOUR, SCHEDULE_COLOUR = "#1f6f8b", "#c2703d"


def drawn_frontier(rows: Sequence[Sequence[tuple[str, Sequence[Point]]]]) -> Paper:
    """Kept effect over compute, one panel for each title."""
    paper = Paper(WIDTH, HEIGHT * len(rows))
    for row, panels in enumerate(rows):
        width, top = WIDTH / len(panels), HEIGHT * row
        for index, (title, points) in enumerate(panels):
            _panel(paper, (width * index + 16, top + 16, width * (index + 1) - 16, top + HEIGHT - 16), title, points)
    return paper


def _panel(paper: Paper, box: tuple[float, float, float, float], title: str, points: Sequence[Point]) -> None:
    left, top, right, bottom = box[0] + 52, box[1] + 44, box[2], box[3] - 46

    def place(cost: float, kept: float) -> tuple[float, float]:
        lost = min(max(1 - kept, LEAST), MOST)
        across = (cost - COSTS[0]) / (COSTS[1] - COSTS[0])
        return left + across * (right - left), top + math.log(lost / LEAST) / math.log(MOST / LEAST) * (bottom - top)

    paper.text((box[0], box[1]), f"{title}: effect kept by REG (blue), schedules (brown)", 16)
    for kept in KEPT:
        height = place(COSTS[0], kept)[1]
        paper.line([(left, height), (right, height)], GRID)
        paper.text((left - 8, height), f"{kept:.0%}" + "+" * (kept == KEPT[-1]), 13, FAINT, "rm")
    for cost in (0.8, 1.0, 1.2, 1.4):
        x = place(cost, 0)[0]
        paper.line([(x, top), (x, bottom)], GRID)
        paper.text((x, bottom + 7), f"{cost:g}", 13, FAINT, "ma")
    paper.text(((left + right) / 2, bottom + 28), "compute, of CFG's", 14, FAINT, "ma")
    foot = -math.inf
    for point in sorted(points, key=lambda point: -point.kept):
        colour = REG_COLOUR if point.way.startswith("REG") else SCHEDULE_COLOUR
        x, y = place(point.cost, point.kept)
        foot = max(y, foot + LINE)  # no name covers another
        paper.dot((x, y), 4, colour)
        side = 1 if point.cost < COSTS[1] - 0.2 else -1  # of the dot on which its name has room
        paper.line([(x, y), (x + 12 * side, foot)], colour)
        name = f"{point.way.removeprefix('REG, ')}, {point.kept:.0%}"
        paper.text((x + 15 * side, foot), name, 13, colour, "lm" if side > 0 else "rm")


def points(model: Model, form: str, weight: float, playground: Playground) -> Iterator[Point]:
    """Where each way lies; the seeds are ``SEEDS``."""
    exact = drawn(rectified(model, Method(form=form, estimator="reverse")), weight, playground)
    effect = distance(drawn(model, weight, playground), exact)
    for name, way in ways(model, form, weight, playground):
        kept = 1 - distance(drawn(way, weight, playground), exact) / effect
        yield Point(name, (ran(way).cost or math.nan) if key_of(way) else 1.0, kept)


def main() -> None:
    comfy.utils.set_progress_bar_enabled(False)
    rows: list[list[tuple[str, list[Point]]]] = []
    print("| model | form | w | way | compute, of CFG's | effect kept |\n| --- | --- | --- | --- | --- | --- |")
    with torch.inference_mode():  # as in the host's nodes
        for name, playground in PLAYGROUNDS.items():
            model = playground.load()
            rows.append([])
            for form, weight in ((form, weight) for form in FORMS for weight in WEIGHTS):
                panel: list[Point] = []
                for point in points(model, form, weight, playground):
                    panel.append(point)
                    figures = f"{point.way} | {point.cost:.2f} | {point.kept:.1%}"
                    print(f"| {name} | {form} | {weight:g} | {figures} |", flush=True)
                if weight == WEIGHTS[0]:
                    rows[-1].append((f"{name}, {form}, w = {weight:g}, {STEPS} steps", panel))
    drawn_frontier(rows).image.save(PICTURE)
    print(f"\nPicture: {PICTURE.resolve()}")


if __name__ == "__main__":
    main()
