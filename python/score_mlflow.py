"""Scores an MLflow model for millrace, one JSON value a line."""
import json
import sys

answers = sys.stdout
sys.stdout = sys.stderr

import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow.models import Model

about = json.loads(sys.stdin.readline())
names = [each["name"] for each in about["features"]]
meta = Model.load("model")
types = {each.name: each.type.name for each in (meta.signature.inputs if meta.signature else []) if each.name}
inner = None
if "sklearn" in meta.flavors and about["task"] != "regression":
    import mlflow.sklearn
    inner = mlflow.sklearn.load_model("model")
    inner = inner if hasattr(inner, "predict_proba") else None
model = None if inner is not None else mlflow.pyfunc.load_model("model")
WHOLE = {"integer": "int32", "long": "int64"}


def frame(rows):
    columns = {}
    for i, name in enumerate(names):
        values = [row[i] for row in rows]
        kind = types.get(name, "string" if any(isinstance(value, str) for value in values) else "double")
        if kind == "string":
            columns[name] = pd.Series(values, dtype=object)
        elif kind == "boolean":
            columns[name] = pd.Series([bool(value) for value in values], dtype=bool)
        elif kind in WHOLE:
            columns[name] = pd.Series(values, dtype=WHOLE[kind])
        else:
            numbers = [np.nan if value is None else value for value in values]
            columns[name] = pd.Series(numbers, dtype="float32" if kind == "float" else "float64")
    return pd.DataFrame(columns)


def scores(rows):
    data = frame(rows)
    if inner is not None:
        given = np.asarray(inner.predict_proba(data), dtype=np.float64)
        held = [str(each) for each in inner.classes_]
        if about["task"] == "multiclass":
            given = given[:, [held.index(name) for name in about["classes"]]]
    else:
        given = np.asarray(model.predict(data), dtype=np.float64)
        given = given.reshape(len(rows), -1)
    if about["task"] == "multiclass":
        return given.tolist()
    return given[:, -1].tolist()


print(json.dumps({"ready": True}), file=answers, flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    try:
        answer = {"id": asked["id"], "scores": scores(asked["rows"])}
    except Exception as error:
        answer = {"id": asked["id"], "error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), file=answers, flush=True)
