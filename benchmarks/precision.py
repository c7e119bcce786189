"""How far each estimator is from the exact product when the whole network computes in fp32, fp16 or bf16.

    python run.py bench precision

The playground model at three noise levels, against double precision: ``reverse`` is J^T v, the others are J v.
"""

from __future__ import annotations

from typing import Any

from harness import REPOSITORY  # first: it imports the host

# isort: split
import comfy.model_management
import comfy.samplers
import comfy.sd
import torch
from comfy.patcher_extension import WrapperExecutor
from torch import Tensor

from reg_pack.nodes.host.derivative.estimation import Estimation
from reg_pack.nodes.host.derivative.selection import Method
from reg_pack.nodes.host.evaluation import Evaluation
from reg_pack.nodes.playground.digits import UNCONDITIONAL, class_conditioning

MODEL = REPOSITORY / "playground" / "reg_playground_digits.safetensors"
PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
SIGMAS, BATCH = (0.9, 0.6, 0.3), 10


def evaluations(dtype: torch.dtype) -> dict[float, Evaluation]:
    """One request of the host for the predictions at each noise level, the same in every precision."""
    patcher = comfy.sd.load_diffusion_model(str(MODEL), model_options={"dtype": dtype})
    patcher.model.manual_cast_dtype = dtype  # on a CPU the host would compute in float32 whatever the weights are
    guider = comfy.samplers.CFGGuider(patcher)
    guider.set_conds(class_conditioning(list(range(BATCH))), class_conditioning([UNCONDITIONAL]))
    comfy.model_management.load_models_gpu([patcher])
    patcher.pre_run()
    device = patcher.load_device
    noise = torch.randn(BATCH, 16, 8, 8, generator=torch.Generator().manual_seed(0)).to(device)
    conds = {side: [dict(cond) for cond in entries] for side, entries in guider.original_conds.items()}
    conds = comfy.samplers.process_conds(patcher.model, noise, conds, device)
    sides: list[Any] = [conds["positive"], conds["negative"]]
    executor = WrapperExecutor.new_executor(comfy.samplers._calc_cond_batch, [])
    result = {}
    for sigma in SIGMAS:
        levels = torch.full((BATCH,), sigma, device=device)
        pure = Evaluation(executor, patcher.model, sides, noise, levels, patcher.model_options)
        # A plausible noisy sample: what the model itself makes of noise, noised again.
        sample = (1 - sigma) * pure.both(noise)[0] + sigma * noise
        result[sigma] = Evaluation(executor, patcher.model, sides, sample, levels, patcher.model_options)
    return result


def product(evaluation: Evaluation, x: Tensor, form: str, estimator: str) -> Tensor:
    method = Method(form=form, estimator=estimator, refresh="every step", checkpointing="off")
    same = Evaluation(
        evaluation.executor, evaluation.model, evaluation.conds, x, evaluation.sigma, evaluation.model_options
    )
    outcome = Estimation(method, print).outcome(same)
    assert outcome.product is not None
    return outcome.product


def main() -> None:
    with torch.inference_mode():
        exact = evaluations(torch.float64)
        networks = {name: evaluations(dtype) for name, dtype in PRECISIONS.items()}
        print("| relative error of the product, sigma 0.9 / 0.6 / 0.3 | " + " | ".join(PRECISIONS) + " |")
        print("| --- |" + " --- |" * len(PRECISIONS))
        for form in ("row-sum", "directional"):
            for estimator in ("reverse", "forward", "finite difference"):
                cells = []
                for name in PRECISIONS:
                    errors = []
                    for sigma in SIGMAS:
                        x = exact[sigma].x
                        right = product(exact[sigma], x, form, "reverse" if estimator == "reverse" else "forward")
                        found = product(networks[name][sigma], x, form, estimator)
                        errors.append(float((found - right).norm() / right.norm()))
                    cells.append(" / ".join(f"{error:.1e}" if error < 1e-3 else f"{error:.1%}" for error in errors))
                print(f"| {form}, {estimator} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
