"""Statistics: arrays in, small dataclasses out, seeded; what is resampled is stated. No torch, no records of ours."""

from .estimates import Comparison, Estimate, McNemar, estimate, holm, mcnemar, mean_sd, paired

__all__ = ["Comparison", "Estimate", "McNemar", "estimate", "holm", "mcnemar", "mean_sd", "paired"]
