"""Scores a model exported by millrace."""
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd

NUMBERS = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64,
           "tensor(int32)": np.int32, "tensor(bool)": np.bool_}


class Model:
    def __init__(self, folder):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, ["CPUExecutionProvider"])
        self.about = json.loads((folder / "millrace.json").read_text(encoding="utf-8"))

    def column(self, data, name, kind):
        if kind == "tensor(string)":
            values = ["" if value is None or value != value else str(value) for value in data[name]]
            return np.array(values, dtype=object).reshape(-1, 1)
        return data[name].to_numpy(dtype=np.float64, na_value=np.nan).astype(NUMBERS[kind]).reshape(-1, 1)

    def predict(self, data, params=None):
        names = [each["name"] for each in self.about["features"]]
        inputs = self.session.get_inputs()
        if len(inputs) == 1 and inputs[0].name not in names:
            feeds = {inputs[0].name: np.hstack([self.column(data, name, inputs[0].type) for name in names])}
        else:
            feeds = {each.name: self.column(data, each.name, each.type) for each in inputs}
        floats = [each.name for each in self.session.get_outputs() if each.type in ("tensor(float)", "tensor(double)")]
        output = next((name for name in floats if "probabilit" in name.lower()), floats[-1])
        scores = self.session.run([output], feeds)[0].reshape(len(data), -1).astype(np.float64)
        if self.about["task"] == "regression":
            return pd.DataFrame({"prediction": scores[:, 0]}, index=data.index)
        if self.about["task"] == "binary":
            return pd.DataFrame({"probability": scores[:, -1]}, index=data.index)
        return pd.DataFrame({"probability_" + name: scores[:, k] for k, name in enumerate(self.about["classes"])},
                            index=data.index)


def _load_pyfunc(path):
    return Model(Path(path))
