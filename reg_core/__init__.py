"""Rectified Gradient Guidance (REG, arXiv 2501.18865) for any torch denoiser; no ComfyUI needed.

    D_reg = D_c + (w - 1) R (D_c - D_u),      R = alpha * d(1^T D_c)/dx      (R = 1 is classifier-free guidance)

parameterization  eps, v, x0, flow <-> denoised; the signal scale alpha
jacobian          Jacobian products of a denoiser: reverse, forward, finite difference
rectification     the two forms of the correction, strength, limit: the formula
schedule          guidance weight over the trajectory
autograd          gradients inside inference mode, through foreign weights, with little memory
refresh           when a product is computed, and how it is extrapolated to the steps between
measurement       a schedule of what REG did at each noise level
mixture           Gaussian mixture in closed form, the oracle
number            numbers from outside, checked where they arrive
"""

from .autograd import GradientUnavailable as GradientUnavailable
from .autograd import MemoryBudgetExceeded as MemoryBudgetExceeded
from .autograd import Recomputation as Recomputation
from .jacobian import ESTIMATORS as ESTIMATORS
from .mixture import GaussianMixture as GaussianMixture
from .mixture import optimal_denoised as optimal_denoised
from .parameterization import PREDICTIONS as PREDICTIONS
from .parameterization import STATES as STATES
from .parameterization import denoiser as denoiser
from .rectification import FORMS as FORMS
from .rectification import Rectification as Rectification
from .rectification import RectifiedPair as RectifiedPair
from .rectification import guide as guide
from .refresh import REFRESHES as REFRESHES
from .refresh import Refresh as Refresh
from .schedule import SCHEDULES as SCHEDULES
