"""Gradients where they are hard to have: in inference mode, through foreign weights, with little memory. Torch only.

recording      autograd works inside inference mode and through weights that were made in it
recomputation  what a gradient pass computes a second time instead of keeping it
activations    the hooks that do so
random_state   the same random numbers in a second computation
"""

from .random_state import RandomState as RandomState
from .recomputation import KEEP_ALL as KEEP_ALL
from .recomputation import Fetch as Fetch
from .recomputation import GradientUnavailable as GradientUnavailable
from .recomputation import MemoryBudgetExceeded as MemoryBudgetExceeded
from .recomputation import Recomputation as Recomputation
from .recording import TangentDropped as TangentDropped
from .recording import leaf as leaf
from .recording import recording as recording
