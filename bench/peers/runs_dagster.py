"""Dagster in process: 1,000 assets with nothing to do, a chain of 40 ops. runs_dagster.py ASSETS CHAIN RUNS"""
import json, logging, os, statistics, subprocess, sys, tempfile, time

import dagster as dg
from dagster_shared.serdes import deserialize_value, serialize_value

logging.disable(logging.CRITICAL)
assets, chain, runs = (int(text) for text in sys.argv[1:4])


def graph():
    made = []
    for i in range(assets):
        @dg.asset(name=f"a{i}", deps=[f"a{i - 400}"] if i >= 400 else [], automation_condition=dg.AutomationCondition.eager())
        def one() -> None:
            pass
        made.append(one)
    return dg.Definitions(assets=made)


def instance():
    return dg.DagsterInstance.get()


if os.environ.get("RUNS_CHILD"):
    with instance() as known:
        with open(os.environ["RUNS_CHILD"]) as kept:
            cursor = deserialize_value(kept.read())
        asked = dg.evaluate_automation_conditions(defs=graph(), instance=known, cursor=cursor)
        assert asked.total_requested == 0
    sys.exit(0)

home = tempfile.mkdtemp()
os.environ["DAGSTER_HOME"] = home
open(os.path.join(home, "dagster.yaml"), "w").write("telemetry:\n  enabled: false\n")
with instance() as known:
    for i in range(assets):
        known.report_runless_asset_event(dg.AssetMaterialization(f"a{i}"))
    # What its daemon keeps from one look to the next.
    cursor = dg.evaluate_automation_conditions(defs=graph(), instance=known).cursor
kept = os.path.join(home, "cursor")
with open(kept, "w") as file:
    file.write(serialize_value(cursor))
walls = []
for i in range(min(runs, 3)):
    began = time.perf_counter()
    subprocess.run([sys.executable, *sys.argv], env={**os.environ, "RUNS_CHILD": kept}, check=True, capture_output=True)
    walls.append(time.perf_counter() - began)

@dg.op(ins={"before": dg.In(dg.Nothing)})
def tiny() -> None:
    pass

@dg.op
def first() -> None:
    pass

@dg.job
def line():
    done = first()
    for i in range(chain - 1):
        done = tiny.alias(f"s{i}")(done)

times = []
with instance() as known:
    for i in range(runs + 1):
        began = time.perf_counter()
        assert line.execute_in_process(instance=known).success
        times.append(time.perf_counter() - began)
print(json.dumps({"noop": {"wall": statistics.median(walls)}, "chain": statistics.median(times[1:])}))
