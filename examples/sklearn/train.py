"""Histogram gradient boosting of scikit-learn, handed back as ONNX: one input a feature, named like it."""
import json
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

source = Path(os.environ["MILLRACE_INPUT"])
target = Path(os.environ["MILLRACE_OUTPUT"])
schema = json.loads((source / "schema.json").read_text())
parameters = json.loads((source / "parameters.json").read_text())
text = [each["name"] for each in schema["features"] if each["input"] == "text"]
number = [each["name"] for each in schema["features"] if each["input"] == "number"]
names = text + number


def read(part):
    """Columns as the model will get them when it serves: float32 with NaN for missing, "" for missing text."""
    table = pq.read_table(source / schema["parts"][part]["file"])
    columns = [np.array([value or "" for value in table[name].to_pylist()], dtype=object) for name in text]
    columns += [table[name].to_numpy().astype(np.float32) for name in number]
    return np.stack([column.astype(object) for column in columns], axis=1), table


x, table = read("train")
y = table[schema["label"]["name"]].to_numpy(zero_copy_only=False).astype(int)
model = Pipeline([
    ("columns", ColumnTransformer([
        ("text", OneHotEncoder(handle_unknown="ignore", sparse_output=False), list(range(len(text)))),
        ("number", "passthrough", list(range(len(text), len(names)))),
    ])),
    ("trees", HistGradientBoostingClassifier(
        max_iter=int(parameters["max_iter"]),
        learning_rate=parameters["learning_rate"],
        early_stopping=False,
        random_state=parameters["seed"],
    )),
])
model.fit(x, y)
validation, table = read("validation")
held = table[schema["label"]["name"]].to_numpy(zero_copy_only=False).astype(int)
auc = roc_auc_score(held, model.predict_proba(validation)[:, 1])
print(f"{len(y)} rows, validation AUC {auc:.4f}")

inputs = [(name, StringTensorType([None, 1])) for name in text]
inputs += [(name, FloatTensorType([None, 1])) for name in number]
onnx = to_onnx(model, initial_types=inputs, name="stops", options={"zipmap": False}, target_opset=17)
(target / "model.onnx").write_bytes(onnx.SerializeToString())
(target / "metrics.json").write_text(json.dumps({"validation_auc": float(auc)}))
