# The published ratings by lme4 and lmerTest, with levels of people, of people in a condition and of questions:
#
#   Rscript tests/data/r/human.R ../shared/data/human-study/ratings.csv
suppressMessages(library(lmerTest))
f <- read.csv(commandArgs(TRUE)[1])
f$CASE <- factor(f$CASE)
f$rationale_id <- factor(f$rationale_id)
f$model <- relevel(factor(f$model), "CF:PosRationales")
constructs <- c("Plausibility", "Understandability", "Completeness", "Satisfaction", "Contrastiveness")
f$Quality <- rowMeans(f[, constructs])
control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-11))
for (measure in c(constructs, "Quality")) {
  full <- lmer(as.formula(paste(measure, "~ model + (1|CASE) + (1|CASE:model) + (1|rationale_id)")), f, control = control)
  simpler <- lmer(as.formula(paste(measure, "~ model + (1|CASE) + (1|rationale_id)")), f, control = control)
  cat("\n", measure, "\n")
  print(as.data.frame(VarCorr(full))[, c("grp", "sdcor")])
  print(coef(summary(full)))
  print(anova(full))
  print(anova(full, simpler, refit = FALSE)[2, c("Chisq", "Pr(>Chisq)")])
}
