# Linear mixed models by R: simulated ratings, and what lme4, lmerTest and pbkrtest say of them.
#
#   Rscript tests/data/r/mixed.R > tests/data/r/mixed.json
#
# Debian: apt-get install r-base-core r-cran-lme4 r-cran-lmertest r-cran-pbkrtest r-cran-jsonlite

suppressMessages({
  library(lme4)
  library(lmerTest)
  library(pbkrtest)
  library(jsonlite)
})
options(warn = -1)
RNGversion("3.6.0")

# Everybody rates `each` questions drawn at random, the conditions in turn; `sd` are standard deviations of people,
# of people in a condition, of questions, of explanations and of single ratings.
simulate <- function(seed, people, each, questions, conditions, sd, rounded = FALSE, effect = .3) {
  set.seed(seed)
  person <- rep(seq_len(people), each = each)
  question <- as.vector(replicate(people, sample(questions, each)))
  condition <- rep(rep_len(seq_len(conditions), each), people)
  taste <- (person - 1) * conditions + condition
  explanation <- (question - 1) * conditions + condition
  y <- 3 + effect * (condition - 1) / (conditions - 1) + sd[1] * rnorm(people)[person] +
    sd[2] * rnorm(people * conditions)[taste] + sd[3] * rnorm(questions)[question] +
    sd[4] * rnorm(questions * conditions)[explanation] + sd[5] * rnorm(length(person))
  if (rounded) y <- pmin(pmax(round(y), 1), 5)
  list(y = round(y, 6), condition = condition, person = person, taste = taste, question = question,
       explanation = explanation)
}

fitted <- function(data, groups) {
  f <- as.data.frame(data)
  f$condition <- factor(f$condition)
  formula <- as.formula(paste("y ~ condition +", paste0("(1|", groups, ")", collapse = " + ")))
  control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-11), check.conv.singular = "ignore")
  m <- lmerTest::lmer(formula, f, REML = TRUE, control = control)
  k <- length(fixef(m))
  rows <- diag(k)[-1, , drop = FALSE]
  # lmerTest's F over all conditions, and its t of the last condition minus the second where there are three.
  satterthwaite <- contestMD(m, rows)
  last <- if (k > 2) contest1D(m, replace(numeric(k), c(2, k), c(-1, 1))) else NULL
  raised <- vcovAdj(m)
  kr <- KRmodcomp(m, rows)$test["Ftest", ]
  v <- as.data.frame(VarCorr(m))
  s <- coef(summary(m))
  list(
    groups = groups, estimate = unname(fixef(m)), se = unname(s[, "Std. Error"]), df = unname(s[, "df"]),
    p = unname(s[, "Pr(>|t|)"]), variances = setNames(as.list(v$vcov), v$grp), loglik = as.numeric(logLik(m)),
    F = satterthwaite[["F value"]], df2 = satterthwaite[["DenDF"]], p_joint = satterthwaite[["Pr(>F)"]],
    last = if (is.null(last)) NULL else list(estimate = last$Estimate, se = last[["Std. Error"]], df = last$df),
    kenward_roger = list(
      se = unname(sqrt(diag(as.matrix(raised)))),
      df = sapply(seq_len(k), function(i) KRmodcomp(m, diag(k)[i, , drop = FALSE])$test["Ftest", "ddf"]),
      F = kr$stat, df2 = kr$ddf, factor = kr$F.scaling, p = kr$p.value
    )
  )
}

sets <- list(
  "all levels" = list(simulate(1, 24, 8, 24, 4, c(.5, .3, .3, .25, .7)), c("person", "taste", "question", "explanation")),
  "rounded" = list(simulate(2, 20, 8, 24, 2, c(.5, .3, .3, .25, .7), TRUE), c("person", "taste", "question", "explanation")),
  "few people" = list(simulate(3, 6, 12, 24, 3, c(.5, .3, .3, 0, .7)), c("person", "taste", "question")),
  "one rating an explanation" = list(simulate(4, 12, 12, 200, 4, c(.5, .3, .2, 0, .6)), c("person", "taste", "question")),
  "people and questions" = list(simulate(5, 30, 6, 18, 3, c(.4, 0, .4, 0, .6)), c("person", "question")),
  "people alone" = list(simulate(6, 16, 6, 96, 2, c(.5, 0, 0, 0, .7)), "person"),
  "nothing but chance" = list(simulate(7, 10, 8, 20, 2, c(0, 0, 0, 0, .7)), c("person", "taste", "question")),
  "people wide apart" = list(simulate(8, 12, 8, 16, 2, c(4, .3, .3, 0, .5)), c("person", "taste", "question")),
  "questions wide apart" = list(simulate(9, 15, 8, 16, 4, c(.5, .2, 5, 0, .5)), c("person", "taste", "question"))
)
out <- list(
  made_by = paste0("R ", getRversion(), "; lme4 ", packageVersion("lme4"), ", lmerTest ", packageVersion("lmerTest"),
                   ", pbkrtest ", packageVersion("pbkrtest")),
  command = "Rscript tests/data/r/mixed.R > tests/data/r/mixed.json",
  sets = lapply(sets, function(s) list(data = s[[1]], R = fitted(s[[1]], s[[2]])))
)
cat(toJSON(out, auto_unbox = TRUE, digits = NA, null = "null"), "\n")
