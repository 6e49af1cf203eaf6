"""Loads an exported file in Dagster; for every line of stdin, a list of assets or null, runs it and says what happened."""
import importlib.util
import json
import os
import sys

import dagster as dg

path, home = sys.argv[1:]
spec = importlib.util.spec_from_file_location("exported", path)
exported = importlib.util.module_from_spec(spec)
spec.loader.exec_module(exported)


def say(value):
    print("@" + json.dumps(value), flush=True)


def name(key):
    return "/".join(key.path)


def ran(result):
    events = result.all_events
    return {
        "success": result.success,
        "materialized": {
            name(event.asset_key): {
                "data_version": event.materialization.tags["dagster/data_version"],
                "metadata": {key: value.value for key, value in event.materialization.metadata.items()},
            }
            for event in events
            if event.event_type_value == "ASSET_MATERIALIZATION"
        },
        "retried": sum(event.event_type_value == "STEP_RESTARTED" for event in events),
        "failures": [
            event.step_failure_data.user_failure_data.description
            if event.step_failure_data.user_failure_data
            else event.step_failure_data.error.message
            for event in events
            if event.event_type_value == "STEP_FAILURE"
        ],
    }


dg.Definitions.validate_loadable(exported.defs)
job = exported.defs.resolve_job_def(exported.job.name)
graph = exported.defs.resolve_asset_graph()
say(
    {
        "edges": {name(key): sorted(map(name, graph.get(key).parent_keys)) for key in graph.get_all_asset_keys()},
        "schedules": [
            [schedule.cron_schedule, schedule.execution_timezone] for schedule in exported.defs.schedules or []
        ],
        "pool": sorted({pool for key in graph.get_all_asset_keys() for pool in graph.get(key).pools or ()}),
    }
)
os.makedirs(home)
with dg.DagsterInstance.local_temp(home) as instance:
    for line in sys.stdin:
        wanted = json.loads(line)
        selection = None if wanted is None else [exported.KEYS[asset] for asset in wanted]
        say(ran(job.execute_in_process(instance=instance, asset_selection=selection, raise_on_error=False)))
