"""LightGBM with its own categories, scored by a command of its own: no ONNX, every number in double."""
import json
import os
import shutil
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pyarrow.parquet as pq

source = Path(os.environ["MILLRACE_INPUT"])
target = Path(os.environ["MILLRACE_OUTPUT"])
schema = json.loads((source / "schema.json").read_text())
parameters = json.loads((source / "parameters.json").read_text())
features = schema["features"]


def table(part):
    return pq.read_table(source / schema["parts"][part]["file"])


train, validation = table("train"), table("validation")
# Categories by name, so that the codes do not depend on the order of rows; what training did not see is missing.
codes = {
    each["name"]: {value: i for i, value in enumerate(sorted(set(train[each["name"]].drop_null().to_pylist())))}
    for each in features if each["input"] == "text"
}


def matrix(rows):
    columns = []
    for each in features:
        column = rows[each["name"]]
        if each["name"] in codes:
            known = codes[each["name"]]
            columns.append(np.array([known.get(value, np.nan) for value in column.to_pylist()], dtype=np.float64))
        else:
            columns.append(column.to_numpy(zero_copy_only=False).astype(np.float64))
    return np.column_stack(columns)


def label(rows):
    return rows[schema["label"]["name"]].to_numpy(zero_copy_only=False).astype(int)


options = {"free_raw_data": False, "categorical_feature": [i for i, each in enumerate(features) if each["name"] in codes]}
learnt = lgb.Dataset(matrix(train), label(train), **options)
held = lgb.Dataset(matrix(validation), label(validation), reference=learnt, **options)
model = lgb.train(
    {
        "objective": "binary",
        "metric": "auc",
        "learning_rate": parameters["learning_rate"],
        "num_leaves": int(parameters["num_leaves"]),
        "seed": parameters["seed"],
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    },
    learnt,
    num_boost_round=int(parameters["rounds"]),
    valid_sets=[held],
    callbacks=[lgb.early_stopping(20, verbose=False)],
)
print(f"{train.num_rows} rows, {model.best_iteration} rounds")

(target / "model.txt").write_text(model.model_to_string(num_iteration=model.best_iteration))
(target / "codes.json").write_text(json.dumps(codes))
shutil.copy(Path(__file__).parent / "score.py", target / "score.py")
(target / "scoring.json").write_text(json.dumps({"command": ["python3", "score.py"], "rows_at_once": 1000}))
(target / "metrics.json").write_text(json.dumps({"validation_auc": model.best_score["valid_0"]["auc"]}))
