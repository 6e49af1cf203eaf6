"""The rules of bench/quality.mjs as data, and the file as the peers read it."""
RULES = [
    {"id": "customer.range", "kind": "range", "column": "customer", "min": 0, "max": 499_999},
    {
        "id": "ordered_at.range",
        "kind": "instant",
        "column": "ordered_at",
        "min": "2024-01-01T00:00:00",
        "max": "2025-01-02T00:00:00",
    },
    {"id": "quantity.range", "kind": "range", "column": "quantity", "min": 1, "max": 100},
    {"id": "price.range", "kind": "range", "column": "price", "min": 0},
    {"id": "weight.range", "kind": "range", "column": "weight", "min": 0, "max": 10_000},
    {"id": "score.range", "kind": "range", "column": "score", "min": 0, "max": 1},
    {"id": "country.pattern", "kind": "pattern", "column": "country", "pattern": "^[A-Z]{2}$"},
    {"id": "sku.not_null", "kind": "not_null", "column": "sku"},
    {"id": "sku.pattern", "kind": "pattern", "column": "sku", "pattern": "^SKU-[0-9]{6}$"},
    {"id": "gifts_are_small", "kind": "when", "column": "quantity", "when": "gift", "max": 18},
]


def load_pandas(file):
    import pandas as pd

    if file.endswith(".parquet"):
        frame = pd.read_parquet(file)
        frame["price"] = frame["price"].astype(float)
        return frame
    frame = pd.read_csv(file)
    # A whole second has no fraction: one inferred format would leave all of them texts.
    frame["ordered_at"] = pd.to_datetime(frame["ordered_at"], format="ISO8601")
    return frame


def load_polars(file):
    import polars as pl

    frame = pl.read_parquet(file) if file.endswith(".parquet") else pl.read_csv(file, try_parse_dates=True)
    return frame.with_columns(pl.col("price").cast(pl.Float64))
