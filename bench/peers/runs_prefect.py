"""Prefect in process: 1,000 tasks whose results are cached, a chain of 40 tasks. runs_prefect.py ASSETS CHAIN RUNS"""
import json, os, statistics, subprocess, sys, tempfile, time

assets, chain, runs = (int(text) for text in sys.argv[1:4])
os.environ.setdefault("PREFECT_HOME", tempfile.mkdtemp())
os.environ.update(PREFECT_LOGGING_LEVEL="CRITICAL", PREFECT_SERVER_ANALYTICS_ENABLED="false", DO_NOT_TRACK="1")

from prefect import flow, task
from prefect.cache_policies import INPUTS


@task(cache_policy=INPUTS, persist_result=True)
def one(name):
    return name


@flow
def thousand():
    for i in range(assets):
        one(f"a{i}")


@task
def tiny(before):
    return 0


@flow
def line():
    done = 0
    for i in range(chain):
        done = tiny(done)


if os.environ.get("RUNS_CHILD"):
    thousand()
    sys.exit(0)
walls = []
for i in range(min(runs, 2) + 1):
    began = time.perf_counter()
    subprocess.run([sys.executable, *sys.argv], env={**os.environ, "RUNS_CHILD": "1"}, check=True, capture_output=True)
    walls.append(time.perf_counter() - began)
times = []
for i in range(runs + 1):
    began = time.perf_counter()
    line()
    times.append(time.perf_counter() - began)
print(json.dumps({"noop": {"wall": statistics.median(walls[1:])}, "chain": statistics.median(times[1:])}))
