"""A Feast project over one Parquet file: prints nothing, leaves the store in the folder."""
from datetime import timedelta
from pathlib import Path

from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.repo_config import RepoConfig
from feast.types import Float64, Int64, String

TYPES = {"double": Float64, "int64": Int64, "string": String}


def store_for(folder, file, features, online=None):
    """`features`: name -> one of TYPES. The file has `user`, `ts` and the features."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "project": "bench",
        "provider": "local",
        "registry": str(folder / "registry.db"),
        "offline_store": {"type": "duckdb"},
        "online_store": online or {"type": "sqlite", "path": str(folder / "online.db")},
        "entity_key_serialization_version": 3,
    }
    store = FeatureStore(config=RepoConfig(**config, repo_path=folder))
    person = Entity(name="person", join_keys=["user"], value_type=ValueType.INT64)
    view = FeatureView(
        name="features",
        entities=[person],
        ttl=timedelta(days=3650),
        schema=[Field(name=name, dtype=TYPES[kind]) for name, kind in features.items()],
        source=FileSource(path=str(file), timestamp_field="ts"),
    )
    store.apply([person, view])
    return store
