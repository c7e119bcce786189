"""What the benchmarks share: the host with the pack in this process, time and memory of ways that take turns."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from itertools import accumulate
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

import torch  # noqa: E402

from bootstrap.pack import import_pack  # noqa: E402

CUDA = torch.cuda.is_available()
# PyTorch's attention for every way: the host's own choice on a CPU is slower, which would flatter REG.
import_pack(Path(os.environ["COMFYUI_PATH"]), ("--use-pytorch-cross-attention", *([] if CUDA else ["--cpu"])))

Run = Callable[[], object]


def seconds(run: Run) -> float:
    began = time.perf_counter()
    run()
    if CUDA:
        torch.cuda.synchronize()
    return time.perf_counter() - began


def side_by_side(ways: Mapping[str, Run], rounds: int) -> dict[str, tuple[float, float]]:
    """Median seconds of each way, and the median of its ratio to the first way, which runs before and after it."""
    (first, plain), *others = ways.items()
    plain_times, times, ratios = [seconds(plain)], defaultdict(list), defaultdict(list)
    for _ in range(rounds):
        for name, run in others:
            times[name].append(seconds(run))
            plain_times.append(seconds(plain))
            around = (plain_times[-2] + plain_times[-1]) / 2  # so that the ratio holds when the machine's speed drifts
            ratios[name].append(times[name][-1] / around)
    measured = {name: (statistics.median(times[name]), statistics.median(ratios[name])) for name, _ in others}
    return {first: (statistics.median(plain_times), 1.0), **measured}


def peak_bytes(run: Run) -> int:
    """The most memory that tensors take during a run, beyond what they took before."""
    if CUDA:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        run()
    assert profile.profiler is not None and profile.profiler.kineto_results is not None
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return max(accumulate(event.nbytes() for event in events), default=0)
