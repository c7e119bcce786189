"""What the last runs did: the one road from a sampler run to the nodes that show it.

Every REG on a MODEL has a key, a text. Its runs are kept here under that key, by the node that sampled, the last few of
all. The key travels in the MODEL's options and in the LATENT of our own samplers, so that it goes wherever these go:
through the host's cache, subgraphs and expansions, to any number of inspectors.
"""

from __future__ import annotations

import uuid
from typing import Any

from ...reg_core.trace import Trace
from .keys import RUNS_KEY

MOST = 16
"""Runs that are kept, of all REGs: more than a workflow usually samples before its inspectors look."""


OFF = "strength is 0"
"""In the place of a key: what carries it has a REG that does nothing, so there are no runs of it."""


class RunLog:
    """The traces of the last runs, oldest first."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._traces: dict[tuple[str, str | None], Trace] = {}

    def keep(self, key: str, sampler: str | None, trace: Trace) -> None:
        """Put the trace of a sampler's run in place of its former one, and let the oldest of too many go."""
        self._traces.pop((key, sampler), None)
        self._traces[key, sampler] = trace
        while len(self._traces) > self._most:
            del self._traces[next(iter(self._traces))]

    def of(self, *carriers: Any) -> dict[str | None, Trace]:
        """The traces of the REGs whose keys these LATENTs, MODELs and GUIDERs carry, by the node that sampled."""
        keys = {key_of(carrier) for carrier in carriers if carrier is not None} - {None}
        return {sampler: trace for (key, sampler), trace in self._traces.items() if key in keys}


RUNS = RunLog()


def new_key() -> str:
    """A key that no other REG has."""
    return uuid.uuid4().hex


def key_of(carrier: Any) -> str | None:
    """The key that a LATENT, MODEL or GUIDER carries; None without REG."""
    if not isinstance(carrier, dict):
        carrier = getattr(getattr(carrier, "model_patcher", carrier), "model_options", {})
    key = carrier.get(RUNS_KEY)
    return key if isinstance(key, str) else None
