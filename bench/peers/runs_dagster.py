"""Dagster in process: 1,000 assets with nothing to do, a chain of 40 ops. runs_dagster.py ASSETS CHAIN RUNS"""
import json, logging, os, statistics, subprocess, sys, tempfile, time

import dagster as dg

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
        asked = dg.evaluate_automation_conditions(defs=graph(), instance=known)
        print(asked.total_requested)
    sys.exit(0)

home = tempfile.mkdtemp()
os.environ["DAGSTER_HOME"] = home
open(os.path.join(home, "dagster.yaml"), "w").write("telemetry:\n  enabled: false\n")
with instance() as known:
    for i in range(assets):
        known.report_runless_asset_event(dg.AssetMaterialization(f"a{i}"))
walls = []
for i in range(runs):
    began = time.perf_counter()
    subprocess.run([sys.executable, *sys.argv], env={**os.environ, "RUNS_CHILD": "1"}, check=True, capture_output=True)
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
