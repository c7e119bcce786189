"""Arbitrary values for property-based tests, and what a refusal has to look like.

The examples are the same in every run. REG_EXAMPLES=5000 draws as many, and new ones each time.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from torch import Tensor

MORE = int(os.environ.get("REG_EXAMPLES", "0"))
LONGEST_MESSAGE = 600


def examples(count: int) -> settings:
    return settings(
        max_examples=MORE or count,
        derandomize=not MORE,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def refused(call: Callable[[], Any], *documented: type[Exception]) -> Any:
    """What ``call`` returns; None if it refused with ValueError, TypeError or a documented error, in few words."""
    try:
        return call()
    except (ValueError, TypeError, *documented) as error:
        assert 0 < len(str(error)) < LONGEST_MESSAGE, f"{len(str(error))} characters: {str(error)[:1000]}"
        return None


FIXED: list[Any] = [
    *(math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324, -0.0, 10**400, -(10**4000), 2**64, True, False),
    *(None, 1j, "", "1", "nan", " " * 30_000, "9" * 400, ",\n" * 100_000, "\0\ud800", b"1", [], {}, (), [[]], set()),
    *([0] * 10_000, [[0.0, 1.0]] * 3, {"kind": "constant"}, {"points": None}, object(), print, int),
    *(np.float32(2), np.int64(3), np.nan, np.zeros(3), np.array(0.5), np.datetime64("2020"), range(10**9)),
    *(torch.tensor(0.5), torch.tensor(math.nan), torch.zeros(0), torch.zeros(3, 3), torch.tensor(True)),
]
"""Values that have broken something once, or would."""

numbers = st.one_of(
    st.floats(),
    st.floats(-10, 10),
    st.floats(0, 1),
    st.integers(),
    st.sampled_from([0.0, 0.5, 1, 1.0, 3.0, 1e6, np.float32(0.25), torch.tensor(0.75, dtype=torch.float64)]),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=20), st.complex_numbers())
nested = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.text(max_size=5), st.integers()), inner, max_size=4),
        st.tuples(inner, inner),
    ),
    max_leaves=5,
)
anything = st.one_of(st.sampled_from(FIXED), st.sampled_from(FIXED), scalars, nested)

REAL = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
DTYPES = [*REAL, torch.int64, torch.uint8, torch.bool, torch.complex64]
SHAPES: list[tuple[int, ...]] = [
    *((2, 4), (1, 3), (3,), (2, 3, 4, 4), (1, 2, 3, 2, 2), (2, 1, 1, 2, 1, 2, 2)),
    *((), (0,), (0, 4), (2, 0), (2, 4, 0, 3)),
]


@st.composite
def tensors(
    draw: st.DrawFn, dtypes: Sequence[torch.dtype] = DTYPES, shapes: Sequence[tuple[int, ...]] = SHAPES
) -> Tensor:
    """Tensors of all kinds and layouts; half of them have only finite values of usual size."""
    dtype, shape = draw(st.sampled_from(dtypes)), draw(st.sampled_from(shapes))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 100)))
    value = torch.randn(shape, generator=generator, dtype=torch.float64) * draw(st.sampled_from([1.0, 1.0, 0.0, 30.0]))
    if draw(st.booleans()) and value.numel():
        value.view(-1)[0] = draw(st.sampled_from([math.nan, math.inf, -math.inf, 1e300, 0.0]))
    value = value.to(dtype)
    layout = draw(st.sampled_from(["dense", "transposed", "expanded", "flipped", "strided", "channels last", "sparse"]))
    if layout == "transposed" and value.ndim > 1:
        value = value.transpose(0, -1).contiguous().transpose(0, -1)
    elif layout == "expanded" and value.ndim and len(value):
        value = value[:1].expand(shape)
    elif layout == "flipped" and value.ndim:
        value = value.flip(0)
    elif layout == "strided" and value.ndim:
        value = value.repeat_interleave(2, -1)[..., ::2]
    elif layout == "channels last" and value.ndim == 4:
        value = value.to(memory_format=torch.channels_last)
    elif layout == "sparse" and value.ndim and dtype == torch.float32:
        value = value.to_sparse()
    return value


def is_finite(*values: Any) -> bool:
    """Whether every tensor and number among these is finite and of a usual size."""
    return all(
        bool((value.to_dense().abs().double() < 1e3).all()) if isinstance(value, Tensor) else abs(value) < 1e3
        for value in values
    )
