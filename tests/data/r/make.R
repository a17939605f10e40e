# What R says of the data in a file of this folder, as JSON:
#
#   Rscript tests/data/r/make.R groups
#
# python tests/r_reference.py holds that against the file, or writes it. Debian: apt-get install r-base-core r-cran-car
# r-cran-rstatix r-cran-lme4 r-cran-ordinal r-cran-psych r-cran-effectsize r-cran-jsonlite

suppressWarnings(suppressMessages({
  library(jsonlite)
  library(effectsize) # its functions call each other by name
}))
options(warn = -1)
name <- commandArgs(TRUE)[1]
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE)))
file <- fromJSON(file.path(here, paste0(name, ".json")), simplifyVector = FALSE)
numbers <- function(x) sapply(x, function(v) if (is.null(v)) NA_real_ else as.numeric(v))
texts <- function(x) sapply(x, function(v) if (is.null(v)) NA_character_ else as.character(v))
attempt <- function(e) tryCatch(e, error = function(e) list(error = conditionMessage(e)))
ordered_factor <- function(x) factor(x, levels = unique(x))

groups <- function(data) {
  g <- lapply(data, numbers)
  d <- data.frame(y = unlist(g), g = factor(rep(names(g), lengths(g)), levels = names(g)))
  d <- d[!is.na(d$y), ]
  l <- car::leveneTest(y ~ g, d, center = median)
  k <- kruskal.test(y ~ g, d)
  dunn <- function(how) {
    if (length(unique(d$y)) < 2) return(list())
    r <- rstatix::dunn_test(d, y ~ g, p.adjust.method = how)
    lapply(seq_len(nrow(r)), function(i) as.list(r[i, c("group1", "group2", "n1", "n2", "statistic", "p", "p.adj")]))
  }
  t <- TukeyHSD(aov(y ~ g, d))$g
  a <- g[[1]][!is.na(g[[1]])]
  b <- g[[2]][!is.na(g[[2]])]
  list(
    levene = list(F = l[1, 2], df1 = l[1, 1], df2 = l[2, 1], p = l[1, 3]),
    kruskal = list(H = unname(k$statistic), df = unname(k$parameter), p = k$p.value,
                   eta2 = rstatix::kruskal_effsize(d, y ~ g)$effsize[[1]]),
    dunn_b = dunn("bonferroni"), dunn_h = dunn("holm"),
    tukey = lapply(seq_len(nrow(t)), function(i) {
      list(pair = rownames(t)[i], diff = t[i, 1], lwr = t[i, 2], upr = t[i, 3], p = t[i, 4])
    }),
    shapiro = lapply(g, function(v) attempt({
      s <- shapiro.test(v)
      list(W = unname(s$statistic), p = s$p.value)
    })),
    quartiles = lapply(g, function(v) unname(quantile(v, c(.25, .5, .75), na.rm = TRUE))),
    outliers = lapply(g, function(v) which(rstatix::is_outlier(v)) - 1),
    A = unname(wilcox.test(a, b, exact = FALSE)$statistic) / (length(a) * length(b)),
    delta = effectsize::cliffs_delta(a, b)[[1]]
  )
}

anova_of <- function(data) {
  d <- data.frame(y = numbers(data$y), lapply(data$f, function(x) factor(texts(x))))
  attempt({
    m <- lm(as.formula(paste("y ~", paste(names(data$f), collapse = "*"))), d)
    rss <- sum(resid(m)^2)
    a <- car::Anova(m, type = 2)
    terms <- rownames(a)[rownames(a) != "Residuals"]
    list(terms = lapply(terms, function(t) {
      ss <- a[t, "Sum Sq"]
      list(term = t, SS = ss, df = a[t, "Df"], F = a[t, "F value"], p = a[t, "Pr(>F)"], eta = ss / (ss + rss))
    }), rss = rss, df = m$df.residual)
  })
}

ols_of <- function(data) {
  column <- function(x) if (is.character(unlist(x))) ordered_factor(texts(x)) else numbers(x)
  d <- data.frame(y = numbers(data$y), lapply(data$c, column))
  attempt({
    m <- lm(as.formula(paste("y ~", paste(names(data$c), collapse = " + "))), d)
    s <- summary(m)
    ci <- confint(m)
    k <- coef(s)
    F <- s$fstatistic
    list(coef = lapply(rownames(k), function(t) {
      list(term = t, est = k[t, 1], se = k[t, 2], t = k[t, 3], p = k[t, 4], low = ci[t, 1], high = ci[t, 2])
    }), r2 = s$r.squared, ar2 = s$adj.r.squared, F = F[[1]], df1 = F[[2]], df2 = F[[3]],
    p = pf(F[[1]], F[[2]], F[[3]], lower.tail = FALSE), n = length(resid(m)), aliased = names(which(is.na(coef(m)))))
  })
}

ordinal_of <- function(data) {
  d <- data.frame(y = numbers(data$y))
  for (x in names(data$x)) {
    d[[x]] <- if (is.character(unlist(data$x[[x]]))) ordered_factor(texts(data$x[[x]])) else numbers(data$x[[x]])
  }
  for (g in names(data$g)) d[[g]] <- factor(texts(data$g[[g]]))
  text <- paste("y ~", paste(c(names(data$x), sprintf("(1 | %s)", names(data$g))), collapse = " + "))
  formula <- as.formula(text)
  rows <- function(k) lapply(rownames(k), function(t) list(term = t, est = k[t, 1], se = k[t, 2]))
  attempt(if (length(unique(d$y)) > 2) {
    d$y <- factor(d$y)
    points <- if (length(data$g) == 1) 15 else 1
    m <- ordinal::clmm(formula, d, nAGQ = points, control = ordinal::clmm.control(gradTol = 1e-6))
    list(coef = rows(coef(summary(m))[names(m$beta), , drop = FALSE]), thr = unname(m$alpha),
         sds = lapply(ordinal::VarCorr(m), function(v) attr(v, "stddev")[[1]]), loglik = as.numeric(logLik(m)))
  } else {
    d$y <- as.integer(d$y == max(d$y))
    m <- lme4::glmer(formula, d, family = binomial, nAGQ = if (length(data$g) == 1) 15 else 1)
    k <- coef(summary(m))
    list(coef = rows(k[-1, , drop = FALSE]), thr = -k[1, 1],
         sds = lapply(lme4::VarCorr(m), function(v) attr(v, "stddev")[[1]]), loglik = as.numeric(logLik(m)))
  })
}

wide_of <- function(data) {
  d <- data.frame(y = factor(numbers(data$y)), m = factor(numbers(data$m)), p = factor(numbers(data$p)))
  m <- ordinal::clmm(y ~ m + (1 | p), data = d, nAGQ = 15)
  c(as.numeric(logLik(m)), attr(ordinal::VarCorr(m)$p, "stddev")[[1]])
}

multivariate_of <- function(data) {
  x <- as.data.frame(do.call(rbind, lapply(data$x, numbers)))
  g <- factor(texts(data$g))
  rk <- as.matrix(sapply(x, rank))
  man <- attempt({
    w <- summary(manova(rk ~ g), test = "Wilks")$stats
    n <- nrow(rk)
    k <- nlevels(g)
    means <- apply(rk, 2, function(col) ave(col, g))
    ats <- (sum(sweep(means, 2, colMeans(rk))^2) / (k - 1)) / (sum((rk - means)^2) / (n - k))
    list(wilks = w[1, "Wilks"], ats = ats, pF = w[1, "Pr(>F)"],
         eff = lapply(split(seq_len(n), g), function(i) unname((colMeans(rk[i, , drop = FALSE]) - .5) / n)))
  })
  b <- rstatix::box_m(x, g)
  icc <- function(lmer) psych::ICC(x, lmer = lmer)$results$ICC[1:3]
  list(alpha = suppressMessages(psych::alpha(x, warnings = FALSE))$total$raw_alpha,
       boxm = list(chi = b$statistic[[1]], df = b$parameter[[1]], p = b$p.value[[1]]), man = man,
       icc = icc(FALSE))
}

misc <- function() {
  one <- function(data) {
    a <- numbers(data$a)
    b <- numbers(data$b)
    margin <- numbers(data$margin)
    n <- min(length(a), length(b))
    test <- function(a, b, paired) attempt({
      t <- function(...) t.test(a, b, paired = paired, ...)
      middle <- t(conf.level = .9)
      list(p_lower = t(mu = margin[1], alternative = "greater")$p.value,
           p_upper = t(mu = margin[2], alternative = "less")$p.value, df = unname(middle$parameter),
           se = middle$stderr, low = middle$conf.int[1], high = middle$conf.int[2])
    })
    a0 <- a[seq_len(n)]
    b0 <- b[seq_len(n)]
    list(welch = test(a, b, FALSE), paired = test(a0, b0, TRUE), pearson = cor(a0, b0),
         spearman = cor(a0, b0, method = "spearman"), mean = mean(a), sd = sd(a))
  }
  list(tost = lapply(file$data, one), holm = lapply(file$holm, function(p) p.adjust(numbers(p), "holm")),
       mcnemar = sapply(file$mcnemar, function(m) {
         n <- sum(numbers(m))
         if (n) binom.test(m[[1]], n)$p.value else 1
       }))
}

each <- list(groups = groups, anova = anova_of, ols = ols_of, ordinal = ordinal_of, ordinal_wide_people = wide_of,
             multivariate = multivariate_of)
found <- if (name == "misc") misc() else lapply(file$data, function(data) attempt(each[[name]](data)))
cat(toJSON(found, auto_unbox = TRUE, digits = NA, na = "string", null = "null"), "\n")
