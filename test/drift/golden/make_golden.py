"""Golden values for test/drift and test/metrics, from SciPy, scikit-learn and statsmodels.

    python3 -m venv /tmp/sci && /tmp/sci/bin/pip install scipy scikit-learn statsmodels mpmath
    /tmp/sci/bin/python test/drift/golden/make_golden.py

Far tails come from mpmath with 60 digits, so that the reference is not itself the weaker side.
"""

import json
import math
import pathlib
import warnings

import mpmath
import numpy as np
import scipy
import sklearn
import statsmodels
from scipy import special, stats
from scipy.spatial.distance import jensenshannon
from sklearn import metrics
from sklearn.calibration import calibration_curve
from statsmodels.stats.multitest import multipletests

warnings.simplefilter("ignore")
mpmath.mp.dps = 60
HERE = pathlib.Path(__file__).parent


def num(x):
    return float(x)


def chi2_sf(x, k):
    return num(mpmath.gammainc(mpmath.mpf(k) / 2, mpmath.mpf(x) / 2, mpmath.inf, regularized=True))


def chi2_cdf(x, k):
    return num(mpmath.gammainc(mpmath.mpf(k) / 2, 0, mpmath.mpf(x) / 2, regularized=True))


def normal_sf(z):
    return num(mpmath.erfc(mpmath.mpf(z) / mpmath.sqrt(2)) / 2)


def student_sf(t, v):
    t, v = mpmath.mpf(t), mpmath.mpf(v)
    half = mpmath.betainc(v / 2, mpmath.mpf(1) / 2, 0, v / (v + t * t), regularized=True) / 2
    return num(half if t >= 0 else 1 - half)


def special_functions():
    out = {}
    out["chi2_sf"] = [
        [x, k, chi2_sf(x, k)]
        for k in (1, 2, 3, 5, 10, 25, 100, 999)
        for x in (1e-6, 0.1, 0.5, 1, 2, 5, 10, 30, 100, 300, 1000, 1380)
    ]
    out["chi2_cdf"] = [[x, k, chi2_cdf(x, k)] for k in (1, 3, 10, 100, 999) for x in (1e-3, 0.5, 3, 50, 700)]
    out["normal_sf"] = [[z, normal_sf(z)] for z in (-8, -3, -1, -0.1, 0, 1e-9, 0.5, 1, 1.9999, 2, 3, 5, 10, 20, 30, 37)]
    out["normal_ppf"] = [[p, num(stats.norm.ppf(p))] for p in (1e-300, 1e-100, 1e-20, 1e-5, 0.025, 0.3, 0.5, 0.6, 0.975, 0.99999)]
    out["student_sf"] = [[t, v, student_sf(t, v)] for v in (1, 2, 3, 6, 30, 200, 5000) for t in (-4, -0.5, 0, 0.01, 0.5, 1, 2, 5, 20, 1000)]
    out["student_ppf"] = [[p, v, num(stats.t.ppf(p, v))] for v in (1, 2, 5, 8, 12, 28, 500) for p in (0.00135, 0.025, 0.3, 0.7, 0.99865)]
    out["chi2_isf"] = [[p, k, num(stats.chi2.isf(p, k))] for k in (1, 2, 9, 99) for p in (0.95, 0.5, 0.05, 1e-10)]
    out["log_gamma"] = [[x, num(mpmath.loggamma(x))] for x in (1e-5, 0.1, 0.5, 0.9, 1, 1.1, 1.5, 2, 3, 7.25, 12, 100.5, 1e6)]
    out["beta_i"] = [
        [a, b, x, num(mpmath.betainc(a, b, 0, x, regularized=True))]
        for a, b in ((0.5, 0.5), (2, 3), (10, 0.5), (50, 60), (1000, 900))
        for x in (0.001, 0.2, 0.5, 0.6, 0.95)
    ]
    out["gamma_p"] = [[a, x, num(mpmath.gammainc(a, 0, x, regularized=True))] for a in (0.5, 1, 7.3, 200) for x in (0.01, 1, 8, 190, 260)]
    out["kolmogorov_limit_sf"] = [[x, num(special.kolmogorov(x))] for x in (0.2, 0.5, 0.8, 0.83, 1, 1.36, 2, 5, 10)]
    return out


def kolmogorov():
    cases = []
    for n in (1, 2, 4, 10, 50, 140, 141, 500, 1000, 5000, 50000, 200000):
        for z in (0.3, 0.5, 0.8, 1.0, 1.358, 1.49, 2.1, 3.0, 5.0, 12.0):
            x = z / math.sqrt(n)
            if x < 1:
                cases.append([n, x, num(stats.kstwo.sf(x, n))])
    for n, x in ((4, 0.625), (8, 0.25), (10, 0.06), (10, 0.95), (1000, 0.6)):
        cases.append([n, x, num(stats.kstwo.sf(x, n))])
    smirnov = [[n, x, num(special.smirnov(n, x))] for n in (3, 20, 300, 10000) for x in (0.005, 0.02, 0.1, 0.2)]
    return {"kstwo_sf": cases, "smirnov_sf": smirnov}


def rounded(x, digits):
    return [num(v) for v in np.round(x, digits)]


def two_samples():
    rng = np.random.default_rng(20240501)
    cases = []
    shapes = [(8, 8, 2), (5, 6, 1), (30, 40, 6), (100, 100, 6), (97, 61, 1), (200, 1000, 2), (3, 500, 6), (1, 7, 6)]
    for n, m, digits in shapes:
        for shift in (0.0, 0.4, 2.0):
            a = rounded(rng.normal(0, 1, n), digits)
            b = rounded(rng.normal(shift, 1.1, m), digits)
            auto, asymptotic = stats.ks_2samp(a, b), stats.ks_2samp(a, b, method="asymp")
            cases.append({
                "a": a, "b": b,
                "ks": [num(auto.statistic), num(auto.pvalue)],
                "asymptotic": num(asymptotic.pvalue),
                "wasserstein": num(stats.wasserstein_distance(a, b)),
                "energy": num(stats.energy_distance(a, b)),
            })
    # Samples too long to store: both sides rebuild them from the formula.
    large = []
    for n, m, shift in ((9000, 10000, 0), (10000, 10000, 150), (4001, 9999, 90), (12000, 9000, 120), (30000, 20000, 700), (100000, 50000, 1500)):
        a = (np.arange(n) * 7919 % 100003).astype(float)
        b = (np.arange(m) * 104729 % 100003 + shift).astype(float)
        r = stats.ks_2samp(a, b)
        large.append([n, m, shift, num(r.statistic), num(r.pvalue)])
    return {"cases": cases, "large": large}


def tables():
    rng = np.random.default_rng(7)
    cases = [[[10, 20], [20, 20]], [[10, 10, 20], [20, 20, 20]], [[16, 18, 16, 14, 12, 12], [16, 16, 16, 16, 16, 8]],
             [[500, 300, 200, 0], [400, 300, 200, 100]], [[1, 0], [0, 1]], [[100000, 5], [90000, 400]]]
    for k in (2, 3, 10, 60):
        cases.append([rng.integers(0, 50, k).tolist(), (rng.integers(0, 50, k) + 1).tolist()])
    out = []
    for a, b in cases:
        plain, default = stats.chi2_contingency([a, b], correction=False), stats.chi2_contingency([a, b])
        p, q = np.array(a) / sum(a), np.array(b) / sum(b)
        out.append({
            "a": a, "b": b,
            "plain": [num(plain.statistic), num(plain.pvalue), int(plain.dof)],
            "default": [num(default.statistic), num(default.pvalue)],
            "jensen_shannon": num(jensenshannon(p, q, base=2)),
            "cramers_v": num(stats.contingency.association([a, b], method="cramer")),
        })
    return out


def adjusted():
    mcdonald = [.001, .008, .039, .041, .042, .06, .074, .205, .212, .216, .222, .251, .269, .275, .34, .341, .384, .569, .594, .696, .762, .94, .942, .975, .986]
    rng = np.random.default_rng(3)
    lists = [mcdonald, mcdonald[::-1], rounded(rng.random(40) ** 3, 4), [0.5], [0.01, 0.01, 0.01, 1.0], []]
    return [[p, [num(x) for x in multipletests(p, method="fdr_bh")[1]] if p else []] for p in lists]


def profiles():
    rng = np.random.default_rng(11)
    out = []
    for values in ([1.0, 2, 3, 4, 10], [5.0], rounded(rng.lognormal(0, 2, 57), 3), [3.0] * 9, [1e15 + i for i in range(20)]):
        out.append({
            "values": values, "mean": num(math.fsum(values) / len(values)),
            "std": num(np.std(values, ddof=1)) if len(values) > 1 else None,
            "quantiles": {q: num(np.quantile(values, float(q))) for q in ("0", "0.1", "0.25", "0.5", "0.75", "0.9", "1")},
        })
    return out


def ece(y, p, w, bins):
    """Through sklearn's own bins: the weighted gap of every bin, (lower, upper]."""
    edges = np.linspace(0.0, 1.0, bins + 1)
    ids = np.searchsorted(edges[1:-1], p)
    total = 0.0
    for b in range(bins):
        k = ids == b
        if k.any():
            total += abs(np.sum(w[k] * (y[k] - p[k])))
    return total / w.sum()


def delong_error(y, s):
    pos, neg = s[y == 1], s[y == 0]
    psi = (pos[:, None] > neg[None, :]) + 0.5 * (pos[:, None] == neg[None, :])
    return num(np.sqrt(psi.mean(1).var(ddof=1) / len(pos) + psi.mean(0).var(ddof=1) / len(neg)))


def binary():
    rng = np.random.default_rng(5)
    out = []
    for n, digits in ((6, 3), (40, 1), (150, 2), (150, 6)):
        p = np.round(rng.beta(1, 2, n), digits)
        y = (rng.random(n) < p).astype(int)
        y[:2] = [0, 1]
        w = np.round(rng.gamma(2, 1, n), 3) + 0.001
        case = {"labels": y.tolist(), "scores": p.tolist(), "weights": w.tolist(), "error": delong_error(y, p)}
        for name, weight in (("plain", np.ones(n)), ("weighted", w)):
            hat = (p >= 0.5).astype(int)
            k = {"sample_weight": weight}
            tn, fp, fn, tp = metrics.confusion_matrix(y, hat, labels=[0, 1], **k).ravel()
            case[name] = {
                "auc": num(metrics.roc_auc_score(y, p, **k)),
                "average_precision": num(metrics.average_precision_score(y, p, **k)),
                "log_loss": num(metrics.log_loss(y, p, **k)),
                "brier": num(metrics.brier_score_loss(y, p, **k)),
                "ece": num(ece(y, p, weight, 10)),
                "accuracy": num(metrics.accuracy_score(y, hat, **k)),
                "precision": num(metrics.precision_score(y, hat, zero_division=np.nan, **k)) if tp + fp else None,
                "recall": num(metrics.recall_score(y, hat, **k)),
                "specificity": num(tn / (tn + fp)),
                "f1": num(metrics.f1_score(y, hat, **k)),
            }
        rate, mean = calibration_curve(y, p, n_bins=10)
        case["calibration"] = [[num(a), num(b)] for a, b in zip(mean, rate)]
        out.append(case)
    return out


def multiclass():
    rng = np.random.default_rng(9)
    out = []
    for n, k in ((30, 3), (120, 5)):
        z = rng.normal(0, 1, (n, k))
        p = np.round(np.exp(z) / np.exp(z).sum(1, keepdims=True), 4)
        p[:, -1] = 1 - p[:, :-1].sum(1)
        y = np.array([rng.choice(k, p=r / r.sum()) for r in np.abs(p)])
        y[:k] = range(k)
        hat = p.argmax(1)
        out.append({
            "classes": k, "labels": y.tolist(), "probabilities": p.ravel().tolist(),
            "log_loss": num(metrics.log_loss(y, p)), "accuracy": num(metrics.accuracy_score(y, hat)),
            "macro_f1": num(metrics.f1_score(y, hat, average="macro")),
            "macro_auc": num(np.mean([metrics.roc_auc_score(y == c, p[:, c]) for c in range(k)])),
        })
    return out


def regression():
    rng = np.random.default_rng(13)
    out = []
    for n in (2, 25, 100):
        y = np.round(rng.normal(10, 4, n), 3)
        f = np.round(y + rng.normal(0.3, 1, n), 3)
        w = np.round(rng.gamma(2, 1, n), 3) + 0.001
        case = {"truth": y.tolist(), "predicted": f.tolist(), "weights": w.tolist(), "median_absolute_error": num(metrics.median_absolute_error(y, f))}
        for name, weight in (("plain", None), ("weighted", w)):
            k = {"sample_weight": weight}
            case[name] = {
                "rmse": num(metrics.root_mean_squared_error(y, f, **k)), "mse": num(metrics.mean_squared_error(y, f, **k)),
                "mae": num(metrics.mean_absolute_error(y, f, **k)), "r2": num(metrics.r2_score(y, f, **k)),
                "mape": num(metrics.mean_absolute_percentage_error(y, f, **k)),
            }
        out.append(case)
    return out


def write(name, content):
    content["made_with"] = {"scipy": scipy.__version__, "scikit-learn": sklearn.__version__, "statsmodels": statsmodels.__version__, "numpy": np.__version__}
    (HERE / name).write_text(json.dumps(content, separators=(",", ":")) + "\n")


write("statistics.json", {
    "special": special_functions(), "kolmogorov": kolmogorov(), "samples": two_samples(), "tables": tables(),
    "adjusted": adjusted(), "profiles": profiles(),
})
write("metrics.json", {"binary": binary(), "multiclass": multiclass(), "regression": regression()})
