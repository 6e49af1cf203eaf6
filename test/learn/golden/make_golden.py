"""Writes golden.json: small data sets and what scikit-learn makes of them.

    python3 -m venv /tmp/skl && /tmp/skl/bin/pip install scikit-learn pandas
    /tmp/skl/bin/python test/learn/golden/make_golden.py
"""

import json
import pathlib

import numpy as np
import sklearn
from sklearn import datasets
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import Lasso, LogisticRegression, Ridge
from sklearn.metrics import log_loss, mean_squared_error, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

OUT = pathlib.Path(__file__).with_name('golden.json')


def split(x, y, stratify):
    index = np.arange(len(y))
    train, test = train_test_split(index, test_size=0.3, random_state=0, stratify=y if stratify else None)
    return sorted(train.tolist()), sorted(test.tolist())


def plain(array):
    return np.asarray(array).tolist()


def logistic(x, y, train, c, **extra):
    scaled = StandardScaler().fit_transform(x[train])
    options = {'solver': 'newton-cholesky', **extra}
    model = LogisticRegression(C=c, tol=1e-13, max_iter=200_000, **options).fit(scaled, y[train])
    return {'l2': 1 / c, 'coefficients': plain(model.coef_), 'intercepts': plain(model.intercept_)}


def boosted(x, y, train, test, task, categorical=None):
    options = dict(max_iter=100, learning_rate=0.1, max_leaf_nodes=31, min_samples_leaf=20, l2_regularization=1.0,
                   early_stopping=False, random_state=0, categorical_features=categorical)
    if task == 'regression':
        model = HistGradientBoostingRegressor(**options).fit(x[train], y[train])
        return {'rmse': float(np.sqrt(mean_squared_error(y[test], model.predict(x[test]))))}
    model = HistGradientBoostingClassifier(**options).fit(x[train], y[train])
    p = model.predict_proba(x[test])
    result = {'log_loss': float(log_loss(y[test], p)), 'accuracy': float((p.argmax(1) == y[test]).mean())}
    if task == 'binary':
        result['auc'] = float(roc_auc_score(y[test], p[:, 1]))
    return result


def numeric(name, task, x, y):
    train, test = split(x, y, task != 'regression')
    entry = {'name': name, 'task': task, 'rows': plain(x), 'target': plain(y), 'test': test,
             'boosting': boosted(x, y, train, test, task)}
    if task == 'regression':
        scaled = StandardScaler().fit_transform(x[train])
        ridge = Ridge(alpha=1.0, solver='cholesky', tol=1e-14).fit(scaled, y[train])
        lasso = Lasso(alpha=1.5, tol=1e-14, max_iter=1_000_000).fit(scaled, y[train])
        entry['ridge'] = {'l2': 1.0, 'coefficients': plain(ridge.coef_), 'intercept': float(ridge.intercept_)}
        entry['lasso'] = {'l1': 1.5 * len(train), 'coefficients': plain(lasso.coef_),
                          'intercept': float(lasso.intercept_)}
    else:
        entry['logistic'] = logistic(x, y, train, 1.0)
        if task == 'binary':
            sparse = logistic(x, y, train, 0.1, solver='saga', l1_ratio=1.0)
            entry['logistic_l1'] = {'l1': 10.0, **{k: v for k, v in sparse.items() if k != 'l2'}}
    return entry


def mixed(task):
    """Numbers with holes, a category of 30 values with skewed frequencies, and one of three values with holes."""
    rng = np.random.default_rng(11)
    n = 3000
    number = np.round(rng.normal(size=(n, 3)), 3)
    city = np.minimum(rng.geometric(0.12, n) - 1, 29)
    effect = rng.normal(size=30)
    plan = rng.integers(0, 3, n).astype(float)
    signal = (1.2 * number[:, 0] - number[:, 1] ** 2 + 1.5 * effect[city] + np.where(plan == 1, 0.8, 0)
              + number[:, 2] * (plan == 2))
    hole = rng.random((n, 3)) < 0.15
    signal = signal + np.where(hole[:, 0], 1.0, 0)
    number[hole] = np.nan
    plan[rng.random(n) < 0.1] = np.nan
    y = ((signal + rng.logistic(size=n)) > 0).astype(int) if task == 'binary' else np.round(
        signal + rng.normal(size=n) * 0.5, 4)
    x = np.column_stack([number, city, plan])
    train, test = split(x, y, task == 'binary')
    return {'name': f'mixed_{task}', 'task': task,
            'numbers': [[None if np.isnan(v) else v for v in row] for row in number.tolist()],
            'city': city.tolist(), 'plan': [None if np.isnan(v) else int(v) for v in plan.tolist()],
            'target': plain(y), 'test': test,
            'boosting': boosted(x, y, train, test, task, categorical=[False, False, False, True, True])}


cancer = datasets.load_breast_cancer()
diabetes = datasets.load_diabetes(scaled=False)
iris = datasets.load_iris()
wine = datasets.load_wine()
digits = datasets.load_digits()
keep = np.random.default_rng(3).choice(len(digits.target), 700, replace=False)
sets = [
    numeric('breast_cancer', 'binary', cancer.data, cancer.target),
    numeric('diabetes', 'regression', diabetes.data, diabetes.target),
    numeric('iris', 'multiclass', iris.data, iris.target),
    numeric('wine', 'multiclass', wine.data, wine.target),
    numeric('digits', 'multiclass', digits.data[keep].astype(int), digits.target[keep]),
    mixed('binary'),
    mixed('regression'),
]
OUT.write_text(json.dumps({'scikit_learn': sklearn.__version__, 'sets': sets}, separators=(',', ':')) + '\n')
print(OUT.name, OUT.stat().st_size)
