"""INV12 with Polars: events and observations in one frame, rolling sums by time over each user."""
import sys

import polars as pl
from usage import report

events_file, observations_file, out = sys.argv[1:4]
events = pl.scan_parquet(events_file).select("user", "ts", "amount", pl.lit(1, pl.Int64).alias("one"))
events = events.with_columns(pl.lit(None, pl.Int64).alias("oid"))
observations = pl.scan_parquet(observations_file).select(
    "user",
    pl.col("at").alias("ts"),
    pl.lit(0.0).alias("amount"),
    pl.lit(0, pl.Int64).alias("one"),
    "oid",
)
wanted = observations.select("user").unique()
frame = pl.concat([events.join(wanted, on="user", how="semi"), observations]).sort("user", "ts").collect()
features = []
for window in ["1h", "6h", "1d", "3d", "7d", "30d"]:
    for name, column in [("count", "one"), ("sum", "amount")]:
        rolled = pl.col(column).rolling_sum_by("ts", window_size=window, closed="left").over("user")
        features.append(rolled.alias(f"{name}_{window}"))
frame = frame.with_columns(features).filter(pl.col("oid").is_not_null())
frame.drop("one", "amount").sort("oid").write_parquet(out)
report()
