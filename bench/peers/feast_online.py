"""Feast's feature server over SQLite, or the online store given: 1,000 users with 12 precomputed features; prints one line, then serves."""
import json
import shutil
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pandas as pd
from feast_repo import store_for

folder, port, users = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
online = json.loads(sys.argv[4]) if len(sys.argv) > 4 else None
shutil.rmtree(folder, ignore_errors=True)
folder.mkdir(parents=True)
names = [f"f{i}" for i in range(12)]
now = datetime.now(timezone.utc)
frame = pd.DataFrame({"user": range(users), "ts": [now - timedelta(hours=1)] * users})
for i, name in enumerate(names):
    frame[name] = (frame["user"] * 0.37 + i) % 101
frame.to_parquet(folder / "features.parquet", coerce_timestamps="us")
store = store_for(folder, folder / "features.parquet", {name: "double" for name in names}, online)
store.materialize(start_date=now - timedelta(days=2), end_date=now)
print("ready", flush=True)
store.serve(
    host="127.0.0.1",
    port=port,
    type_="http",
    no_access_log=True,
    workers=1,
    metrics=False,
    worker_connections=1000,
    max_requests=1000000,
    max_requests_jitter=0,
    keep_alive_timeout=60,
    registry_ttl_sec=60,
    tls_key_path="",
    tls_cert_path="",
)
