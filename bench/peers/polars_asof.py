"""Latest attributes before each observation with Polars join_asof, in the order of the observations."""
import sys

import polars as pl
from usage import report

attributes_file, observations_file, out = sys.argv[1:4]
attributes = pl.read_parquet(attributes_file).sort("ts")
observations = pl.read_parquet(observations_file).sort("at")
joined = observations.join_asof(attributes, left_on="at", right_on="ts", by="user", strategy="backward")
joined.sort("oid").select("oid", "user", "at", "level", "score").write_parquet(out)
report()
