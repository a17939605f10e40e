"""Statistics: arrays in, small dataclasses out, seeded; what is resampled is stated. No torch, no records of ours."""

from .agreement import Agreement, gwet, icc, krippendorff
from .clusters import ClusterBootstrap, cluster_bootstrap
from .correlation import concordance, partial, pearson, spearman
from .estimates import Comparison, Estimate, McNemar, estimate, estimates, holm, mcnemar, mean_sd, paired
from .groups import (
    Dunn,
    Kruskal,
    Levene,
    Outliers,
    Shapiro,
    Tukey,
    cliff_delta,
    dunn,
    kruskal,
    levene,
    outliers,
    quartiles,
    shapiro,
    tukey,
    vargha_delaney,
)
from .intervals import mean_interval, wilson
from .las import Group, Las, las
from .linear import Coefficient, Regression, cronbach_alpha, ols
from .mixed import Effect, Mixed, mixed
from .multivariate import BoxM, NpManova, box_m, npmanova
from .ordinal import Ordinal, ordinal
from .planning import Design, Power, Tost, power, tost, tost_of
from .variance import Anova, Term, anova

__all__ = [
    "Agreement",
    "Anova",
    "BoxM",
    "ClusterBootstrap",
    "Coefficient",
    "Comparison",
    "Design",
    "Dunn",
    "Effect",
    "Estimate",
    "Group",
    "Kruskal",
    "Las",
    "Levene",
    "McNemar",
    "Mixed",
    "NpManova",
    "Ordinal",
    "Outliers",
    "Power",
    "Regression",
    "Shapiro",
    "Term",
    "Tost",
    "Tukey",
    "anova",
    "box_m",
    "cliff_delta",
    "cluster_bootstrap",
    "concordance",
    "cronbach_alpha",
    "dunn",
    "estimate",
    "estimates",
    "gwet",
    "holm",
    "icc",
    "krippendorff",
    "kruskal",
    "las",
    "levene",
    "mcnemar",
    "mean_interval",
    "mean_sd",
    "mixed",
    "npmanova",
    "ols",
    "ordinal",
    "outliers",
    "paired",
    "partial",
    "pearson",
    "power",
    "quartiles",
    "shapiro",
    "spearman",
    "tost",
    "tost_of",
    "tukey",
    "vargha_delaney",
    "wilson",
]
