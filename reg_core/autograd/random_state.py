"""The state of the global random generators, so that a second computation draws the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def _generator(device: torch.device) -> tuple[Callable[[], Tensor], Callable[[Tensor], None]] | None:
    """How the random generator of a device is read and set; None where its kind has none that can be."""
    module: Any = getattr(torch, device.type, None)
    if not hasattr(module, "get_rng_state"):
        return None
    if device.type == "mps":  # there is one, which older versions of torch do not let one name
        return module.get_rng_state, module.set_rng_state
    return (lambda: module.get_rng_state(device)), (lambda state: module.set_rng_state(state, device))


class RandomState:
    """The state of the global random generators of the CPU and of these devices, to draw the same numbers again."""

    def __init__(self, devices: set[torch.device]) -> None:
        self.devices = devices
        self._cpu = torch.get_rng_state()
        found = [_generator(device) for device in devices if device.type != "cpu"]
        self._others = [(write, read()) for read, write in filter(None, found)]

    def set(self) -> None:
        torch.set_rng_state(self._cpu)
        for write, state in self._others:
            write(state)
