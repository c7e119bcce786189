"""Noise levels read off the host's own model_sampling classes, against the states of the core."""

from __future__ import annotations

from typing import Any

import comfy.model_sampling as host
import pytest
import torch

from reg_pack.nodes.host.noise_level import noise_to_signal, sampling_percent, signal_scale
from reg_pack.reg_core.parameterization import STATES

pytestmark = pytest.mark.host


def model_sampling(schedule: type, kind: type) -> Any:
    return type("ModelSampling", (schedule, kind), {})()


VE = [
    (host.ModelSamplingDiscrete, host.EPS),
    (host.ModelSamplingDiscrete, host.V_PREDICTION),
    (host.ModelSamplingContinuousEDM, host.EDM),
    (host.ModelSamplingDiscrete, host.X0),
    (host.ModelSamplingCosmosRFlow, host.COSMOS_RFLOW),
]
FLOW = [(host.ModelSamplingDiscreteFlow, host.CONST), (host.ModelSamplingFlux, host.CONST)]
KINDS = [(*pair, "ve") for pair in VE] + [(*pair, "flow") for pair in FLOW]
each_kind = pytest.mark.parametrize(
    ("schedule", "kind", "state"), KINDS, ids=[f"{schedule.__name__} {kind.__name__}" for schedule, kind, _ in KINDS]
)


@each_kind
@pytest.mark.parametrize("rank", [2, 3, 4, 5])
def test_signal_scale_is_the_states_alpha(schedule: type, kind: type, state: str, rank: int) -> None:
    sigma = torch.tensor([0.2, 0.9], dtype=torch.float64)
    x = torch.zeros(2, *range(3, rank + 2), dtype=torch.float64)
    alpha = signal_scale(model_sampling(schedule, kind), sigma, x)
    assert alpha.shape == (2,) + (1,) * (rank - 1)
    torch.testing.assert_close(alpha.flatten(), STATES[state].alpha(sigma), rtol=0, atol=1e-15)


@each_kind
def test_noise_to_signal_is_in_one_unit(schedule: type, kind: type, state: str) -> None:
    expected = float(STATES[state].noise_to_signal(torch.tensor(0.75, dtype=torch.float64)))
    assert noise_to_signal(model_sampling(schedule, kind), 0.75) == pytest.approx(expected, rel=1e-12)


def test_pure_noise_of_a_flow_has_no_signal() -> None:
    assert noise_to_signal(model_sampling(host.ModelSamplingDiscreteFlow, host.CONST), 1.0) == float("inf")


@each_kind
@pytest.mark.parametrize("percent", [0.1, 0.35, 0.5, 0.8, 0.99])
def test_sampling_percent_inverts_the_hosts_own(schedule: type, kind: type, state: str, percent: float) -> None:
    sampling = model_sampling(schedule, kind)
    # the host computes its levels in float32
    assert sampling_percent(sampling, float(sampling.percent_to_sigma(percent))) == pytest.approx(percent, abs=1e-5)


@each_kind
def test_sampling_percent_at_the_ends(schedule: type, kind: type, state: str) -> None:
    sampling = model_sampling(schedule, kind)
    assert sampling_percent(sampling, 0.0) == 1.0
    assert sampling_percent(sampling, float(sampling.sigma_max) * 1.01) == 0.0
