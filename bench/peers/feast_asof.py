"""Latest attributes before each observation with Feast's historical retrieval (DuckDB offline store)."""
import os
import shutil
import sys

os.environ["FEAST_USAGE"] = "False"
import pandas as pd
from feast_repo import store_for
from usage import report

attributes_file, observations_file, out, folder = sys.argv[1:5]
shutil.rmtree(folder, ignore_errors=True)
store = store_for(folder, attributes_file, {"level": "string", "score": "double"})
entities = pd.read_parquet(observations_file).rename(columns={"at": "event_timestamp"})
job = store.get_historical_features(entity_df=entities, features=["features:level", "features:score"])
job.to_df().to_parquet(out)
report()
