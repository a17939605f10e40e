"""Statistics: arrays in, small dataclasses out, seeded; the unit of resampling is stated.

No torch, and nothing of the rest of the package. What scipy has right is called from scipy, inside the functions;
docs/concepts.md, "By hand, and why", says what is ours and why.
"""

from .agreement import Agreement, gwet, icc, krippendorff
from .bootstrap import Comparison, Estimate, McNemar, estimate, estimates, estimates_of, holm, mcnemar, mean_sd, paired
from .calibration import (
    CalibrationError,
    CalibrationGain,
    ReliabilityBin,
    Temperature,
    calibration_error,
    calibration_gain,
    reliability,
    temperature,
)
from .clusters import ClusterBootstrap, cluster_bootstrap
from .correlation import concordance, partial, pearson, spearman
from .crossed import SeedSpread, seed_spread
from .discrimination import Discrimination, discriminate, judged, log_odds, pair_components
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
from .intervals import mean_interval, tango, wilson
from .linear import Coefficient, Regression, cronbach_alpha, ols
from .linear_mixed import Effect, Mixed, mixed
from .multivariate import BoxM, NpManova, box_m, npmanova
from .ordinal_mixed import Ordinal, ordinal
from .planning import Design, Power, Tost, power, tost, tost_of
from .ranking import average_precision
from .simulatability import Group, Las, las
from .thresholds import Curve, Threshold, selective, threshold_for_accuracy, threshold_for_budget
from .variance import Anova, Term, anova

__all__ = [
    "Agreement",
    "Anova",
    "BoxM",
    "CalibrationError",
    "CalibrationGain",
    "ClusterBootstrap",
    "Coefficient",
    "Comparison",
    "Curve",
    "Design",
    "Discrimination",
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
    "ReliabilityBin",
    "SeedSpread",
    "Shapiro",
    "Temperature",
    "Term",
    "Threshold",
    "Tost",
    "Tukey",
    "anova",
    "average_precision",
    "box_m",
    "calibration_error",
    "calibration_gain",
    "cliff_delta",
    "cluster_bootstrap",
    "concordance",
    "cronbach_alpha",
    "discriminate",
    "dunn",
    "estimate",
    "estimates",
    "estimates_of",
    "gwet",
    "holm",
    "icc",
    "judged",
    "krippendorff",
    "kruskal",
    "las",
    "levene",
    "log_odds",
    "mcnemar",
    "mean_interval",
    "mean_sd",
    "mixed",
    "npmanova",
    "ols",
    "ordinal",
    "outliers",
    "pair_components",
    "paired",
    "partial",
    "pearson",
    "power",
    "quartiles",
    "reliability",
    "seed_spread",
    "selective",
    "shapiro",
    "spearman",
    "tango",
    "temperature",
    "threshold_for_accuracy",
    "threshold_for_budget",
    "tost",
    "tost_of",
    "tukey",
    "vargha_delaney",
    "wilson",
]
