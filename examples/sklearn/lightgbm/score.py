"""Scores rows by the model beside this file: one JSON value a line in, one a line out."""
import json
import sys

import lightgbm as lgb
import numpy as np

about = json.loads(sys.stdin.readline())
names = [each["name"] for each in about["features"]]
codes = json.load(open("codes.json"))
model = lgb.Booster(model_file="model.txt")


def cell(name, value):
    if name in codes:
        return codes[name].get(value, np.nan)
    return np.nan if value is None else float(value)


print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    rows = np.array([[cell(name, value) for name, value in zip(names, row)] for row in asked["rows"]])
    print(json.dumps({"id": asked["id"], "scores": model.predict(rows, num_threads=1).tolist()}), flush=True)
