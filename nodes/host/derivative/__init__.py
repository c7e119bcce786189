"""The Jacobian product of one evaluation of the host's models.

estimation    the outcome of an evaluation: computed, extrapolated, or plain CFG with the reason
products      one product computed, by whichever estimator can serve here
selection     which estimator and how much recomputation, and what took it there
composition   the two predictions, each alone or both in one batch
plausibility  products that cannot be right
kernels, attention, memory   what a derivative needs of the host's models
"""
