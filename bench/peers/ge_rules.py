"""The rules of bench/quality.mjs with Great Expectations over pandas: failing rows by rule."""
import os
import sys

os.environ["GX_ANALYTICS_ENABLED"] = "false"
import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
from rules import RULES, load_pandas
from usage import report

frame = load_pandas(sys.argv[1])


def expectation(rule):
    kind, column, meta = rule["kind"], rule["column"], {"rule": rule["id"]}
    if kind == "range":
        return gxe.ExpectColumnValuesToBeBetween(column=column, meta=meta, min_value=rule.get("min"), max_value=rule.get("max"))
    if kind == "instant":
        return gxe.ExpectColumnValuesToBeBetween(
            column=column, meta=meta, min_value=pd.Timestamp(rule["min"]), max_value=pd.Timestamp(rule["max"])
        )
    if kind == "pattern":
        return gxe.ExpectColumnValuesToMatchRegex(column=column, meta=meta, regex=rule["pattern"])
    if kind == "not_null":
        return gxe.ExpectColumnValuesToNotBeNull(column=column, meta=meta)
    return gxe.ExpectColumnValuesToBeBetween(
        column=column, meta=meta, max_value=rule["max"], row_condition=f"{rule['when']} == True", condition_parser="pandas"
    )


context = gx.get_context(mode="ephemeral")
context.variables.progress_bars = {"globally": False, "metric_calculations": False}
batch = context.data_sources.add_pandas("p").add_dataframe_asset("a").add_batch_definition_whole_dataframe("b")
suite = gx.ExpectationSuite(name="s", expectations=[expectation(rule) for rule in RULES])
found = batch.get_batch({"dataframe": frame}).validate(suite, result_format="BASIC")
counts = {}
for result in found.results:
    if result.exception_info.get("raised_exception"):
        raise RuntimeError(str(result.exception_info))
    counts[result.expectation_config.meta["rule"]] = int(result.result["unexpected_count"])
report(counts=counts)
