"""The rules of bench/quality.mjs with Pandera over pandas or Polars: failing rows by rule."""
import os
import sys
from datetime import datetime

os.environ["DISABLE_PANDERA_IMPORT_WARNING"] = "True"
from rules import RULES, load_pandas, load_polars
from usage import report

file, engine = sys.argv[1:3]
if engine == "polars":
    import pandera.polars as pa
    import polars as pl

    frame = load_polars(file)
else:
    import pandera.pandas as pa

    frame = load_pandas(file)


def instant(text):
    return datetime.fromisoformat(text)


def check(rule):
    kind = rule["kind"]
    if kind == "range" and "max" not in rule:
        return pa.Check.ge(rule["min"], name=rule["id"])
    if kind == "range":
        return pa.Check.in_range(rule["min"], rule["max"], name=rule["id"])
    if kind == "instant":
        return pa.Check.in_range(instant(rule["min"]), instant(rule["max"]), name=rule["id"])
    return pa.Check.str_matches(rule["pattern"], name=rule["id"])


def pair(rule):
    if engine == "polars":
        return pa.Check(
            lambda data: data.lazyframe.select(~pl.col(rule["when"]) | (pl.col(rule["column"]) <= rule["max"])),
            name=rule["id"],
        )
    return pa.Check(lambda data: ~data[rule["when"]] | (data[rule["column"]] <= rule["max"]), name=rule["id"])


required = {rule["column"] for rule in RULES if rule["kind"] == "not_null"}
columns = {}
for name in dict.fromkeys(rule["column"] for rule in RULES):
    checks = [check(rule) for rule in RULES if rule["column"] == name and rule["kind"] not in ("not_null", "when")]
    columns[name] = pa.Column(None, checks, nullable=name not in required)
schema = pa.DataFrameSchema(columns, checks=[pair(rule) for rule in RULES if rule["kind"] == "when"])
counts = {rule["id"]: 0 for rule in RULES}
errors = pa.errors.SchemaErrors
try:
    schema.validate(frame, lazy=True)
except errors as error:
    for item in error.schema_errors:
        given = item.check
        identifier = getattr(given, "name", None)
        if identifier not in counts:
            identifier = f"{item.schema.name}.not_null"
        cases = item.failure_cases
        if identifier == "gifts_are_small" and engine == "pandas":
            counts[identifier] = int((~item.check_output).sum())
        else:
            counts[identifier] = len(cases)
report(counts=counts)
