"""The compatibility matrix: runs its cells, keeps their verdicts, and writes docs/compatibility.md.

`python run.py compatibility`, or `--only WORD` for the nodes and families whose name has that word in it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from columns import COLUMNS, SAMPLERS
from compatibility import (
    FAILURES,
    INAPPLICABLE,
    PASS,
    REFUSED,
    REPLACED,
    REPRESENTATIVES,
    Column,
    Result,
    Subject,
    check,
)
from conftest import HOST, ROOT

from bootstrap.archive import FLOOR
from bootstrap.host import host_version
from tiny_families import FUSED_FAMILIES, GRADIENT_FAMILIES, RELATED_FAMILIES, UNCOVERED, class_of

VERDICTS = ROOT / "tests" / "fixtures" / "compatibility.json"
PAGE = ROOT / "docs" / "compatibility.md"
FAMILIES = {**GRADIENT_FAMILIES, **FUSED_FAMILIES, **RELATED_FAMILIES}
Cells = dict[str, dict[str, Result]]

INTRODUCTION = """# What REG works with

Which models, and which other nodes beside it, REG has been tried with: by a program, against a computation of our own
that shares no code with the pack. Every cell is one node on one family of models. Written by
`python run.py compatibility`; please do not edit it by hand, except for the last section.

A cell passes where all of this holds:

- strength 0, and a range that no step lies in, give the image of the run without REG, bit for bit;
- the guidance that REG puts in place is the one that the formula gives for the model *as that node has changed it*, for
  each estimator and both forms (compared with central differences in double precision);
- what comes after it, such as RescaleCFG, acts on the rectified guidance as it does on plain guidance;
- REG before the node and after it in the chain give the same; two runs give the same; without REG everything is as
  before;
- what REG says under its node is true.

| verdict | meaning |
| --- | --- |
| pass | all of it holds |
| other estimator | the chosen estimator is not available here; REG says so and uses another, which is right |
| refused | REG does nothing, which is plain CFG, and says why |
| not applicable | the node does nothing with this family, or fails without REG, too, or is tried with other families |
| wrong, crash, silent | a fault of ours. Please do not rely on REG there |

The models are tiny, with random weights, and have ComfyUI's own classes: they show that the mathematics is right, not
what an image looks like. The nodes that only act on the finished predictions are compared bit for bit with REG alone.
"""

ONLY_READ = "## Only read, not run"


def applies(column: Column, family: str) -> bool:
    return column.families is None or family in column.families


# What the tests run: every node beside a flow and a video model, what reaches into a UNet beside SD1.5, a few beside a
# v-prediction, and REG alone with the families that the tests of the gradient do not have.
WHOLE, FLOOR_WHOLE = ("SD3", "Wan 2.1"), ("SD3",)
PARTS = {
    "SD1.5": (
        *("Self-Attention Guidance", "Perturbed-Attention Guidance", "NAG", "FreeU V2", "Token merging", "HyperTile"),
        *("ControlNet", "T2I adapter", "GLIGEN", "Hypernetwork", "EasyCache", "ModelSamplingDiscrete v, zsnr"),
    ),
    "Hunyuan3D 2.1": ("REG", "Two prompts combined"),
    "SD2 v": ("REG", "RescaleCFG", "CFG-Zero*", "Two prompts with different LoRAs", "ModelSamplingDiscrete eps"),
}
FEW_SAMPLERS = ("sampler euler_ancestral_cfg_pp", "sampler dpmpp_2m_sde", "sampler uni_pc", "scheduler beta")
SLOW = ("torch.compile (eager backend)",)


def in_ci(version: str) -> Iterator[tuple[str, str]]:
    """Families and columns that `python run.py test` runs with a host."""
    floor = version == FLOOR.version
    for family, (name, column) in itertools.product(FAMILIES, COLUMNS.items()):
        whole = family in (FLOOR_WHOLE if floor else WHOLE) and (column.group != SAMPLERS or name in FEW_SAMPLERS)
        part = () if floor else PARTS.get(family, ("REG",) if family in RELATED_FAMILIES else ())
        if applies(column, family) and name not in SLOW and (whole or name in part):
            yield family, name


def checked(family: str, columns: Iterable[str], cells: Cells, host: str) -> None:
    """Runs these cells of a family; they are kept as soon as they are done."""
    names = [name for name in columns if applies(COLUMNS[name], family)]
    if not names:
        return
    began, subject, found = time.process_time(), Subject(family, FAMILIES[family]), Counter[str]()
    for name in names:
        result = cells.setdefault(family, {})[name] = check(subject, COLUMNS[name])
        found[result.verdict] += 1
        if result.verdict in FAILURES:
            print(f"  {family}, {name}: {result.verdict}: {result.reason}", flush=True)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in found.most_common())
    print(f"{family}: {counts} ({time.process_time() - began:.0f} s)", flush=True)
    keep(host, cells)


def kept() -> dict[str, Cells]:
    """The verdicts by version of the host."""
    if not VERDICTS.exists():
        return {}
    hosts = json.loads(VERDICTS.read_text("utf-8"))
    return {
        host: {family: {name: Result(*parts) for name, parts in row.items()} for family, row in cells.items()}
        for host, cells in hosts.items()
    }


def keep(host: str, cells: Cells) -> None:
    """Only cells of the tables, in their order; without numbers that another machine rounds otherwise."""
    hosts = kept()
    hosts[host] = {
        family: {name: cells[family][name] for name in COLUMNS if name in cells[family]}
        for family in FAMILIES
        if family in cells
    }
    rows = []
    for version, families in sorted(hosts.items(), reverse=True):
        lines = [f"  {json.dumps(family)}: {json.dumps(row)}" for family, row in families.items()]
        rows.append(f"{json.dumps(version)}: {{\n" + ",\n".join(lines) + "\n}")
    VERDICTS.write_text("{\n" + ",\n".join(rows) + "\n}\n", "utf-8")


def _several(names: list[str], of: int) -> str:
    return ", ".join(names) if len(names) <= 6 else "all others" if len(names) == of else f"{len(names)} families"


def _exceptions(found: dict[str, Result], verdicts: Iterable[str]) -> str:
    """By reason, the families that have it."""
    reasons: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, result in found.items():
        if result.verdict in verdicts:
            reason = re.sub(r"\s+", " ", result.reason).replace("|", "/").strip(" .")
            reason = re.sub(r"'\w+' object has no attribute '(\w+)'", r"the network has no \1", reason)
            reasons[result.verdict, reason].append(name)
    return "; ".join(
        f"{verdict}: {reason} ({_several(names, len(found))})" for (verdict, reason), names in reasons.items()
    )


def rendered(hosts: dict[str, Cells], rest: str) -> str:
    """The page; ``rest`` is the part that is written by hand."""
    host = max(hosts, key=lambda version: tuple(map(int, version.split("."))))
    cells = hosts[host]
    shown = (PASS, REPLACED, REFUSED, INAPPLICABLE, "faults")
    lines = [INTRODUCTION, f"## ComfyUI {host}", ""]
    totals = Counter(result.verdict for row in cells.values() for result in row.values())
    lines += [
        f"{len(cells)} families, {len(COLUMNS)} nodes and uses, {sum(totals.values())} cells: {_counted(totals)}."
    ]
    for group in dict.fromkeys(column.group for column in COLUMNS.values()):
        lines += ["", f"### {group}", "", f"| node or use | {' | '.join(shown)} | exceptions |"]
        lines += ["| --- |" + " ---: |" * len(shown) + " --- |"]
        for name in (name for name, column in COLUMNS.items() if column.group == group):
            found = {family: row[name] for family, row in cells.items() if name in row}
            where = f" (with {', '.join(COLUMNS[name].families or ())})" if COLUMNS[name].families else ""
            counts = _row(Counter(result.verdict for result in found.values()))
            others = _exceptions(found, (REPLACED, REFUSED, INAPPLICABLE, *FAILURES))
            lines.append(f"| {name}{where} | {counts} | {others} |")
    lines += ["", "### Families", "", f"| family | class in ComfyUI | {' | '.join(shown)} |"]
    lines += ["| --- | --- |" + " ---: |" * len(shown)]
    for family, row in cells.items():
        counts = _row(Counter(result.verdict for result in row.values()))
        lines.append(f"| {family} | {class_of(family)} | {counts} |")
    lines += ["", "### Classes of ComfyUI that are not tried", "", "| class | why |", "| --- | --- |"]
    lines += [f"| {name} | {why} |" for name, why in UNCOVERED.items()]
    for version, others in hosts.items():
        if version != host:
            totals = Counter(result.verdict for row in others.values() for result in row.values())
            lines += ["", f"## ComfyUI {version}", "", f"{_counted(totals)}, with {len(others)} families."]
            lines += [
                f"- {family}, {name}: {result.verdict}: {result.reason}"
                for family, row in others.items()
                for name, result in row.items()
                if result.verdict in FAILURES
            ]
    lines += [
        "",
        "## Run it again",
        "",
        "`python run.py compatibility` runs everything and writes this page; `python run.py compatibility --only NAG`",
        "runs the nodes and families whose name has NAG in it. `python run.py test` runs a part of it and holds this",
        "page to it.",
        "",
        rest,
    ]
    return "\n".join(lines).rstrip() + "\n"


def _row(found: Counter[str]) -> str:
    numbers = [found[PASS], found[REPLACED], found[REFUSED], found[INAPPLICABLE], sum(found[f] for f in FAILURES)]
    return " | ".join(str(number or "") for number in numbers)


def _counted(found: Counter[str]) -> str:
    return ", ".join(f"{found[verdict]} {verdict}" for verdict in (PASS, REPLACED, REFUSED, INAPPLICABLE, *FAILURES))


def write(page: Path = PAGE) -> None:
    before = page.read_text("utf-8") if page.exists() else ""
    start = before.find(ONLY_READ)
    page.write_text(rendered(kept(), before[start:] if start >= 0 else f"{ONLY_READ}\n"), "utf-8")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="run.py compatibility")
    parser.add_argument("--only", default="", metavar="WORD", help="nodes and families whose name has this in it")
    parser.add_argument("--missing", action="store_true", help="only cells that have no verdict yet")
    parser.add_argument("--page", action="store_true", help="only write the page again")
    options = parser.parse_args(arguments)
    host = host_version(Path(str(HOST)))
    word = options.only.lower()
    if not options.page:
        cells = kept().get(host, {})
        part = set(in_ci(host))
        first = sorted(FAMILIES, key=lambda family: family not in REPRESENTATIVES)
        with torch.inference_mode():
            for whole_runs, family in itertools.product((False, True), first):
                named = word in family.lower()
                chosen = [name for name, column in COLUMNS.items() if (column.group == SAMPLERS) == whole_runs]
                if host == FLOOR.version:
                    chosen = [name for name in chosen if (family, name) in part]
                if options.missing:
                    chosen = [name for name in chosen if name not in cells.get(family, {})]
                checked(family, [name for name in chosen if named or word in name.lower()], cells, host)
    if host != FLOOR.version:  # whose nodes are fewer
        write()
        print(f"{PAGE.relative_to(ROOT)} is written")
    failed = [result for row in kept()[host].values() for result in row.values() if result.verdict in FAILURES]
    print(f"ComfyUI {host}: {len(failed)} faults")
    return 1 if failed else 0
