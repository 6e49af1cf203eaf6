"""Loads an exported file in Airflow; for every line of stdin runs its DAG once and says what became of the tasks."""
import json
import logging
import os
import subprocess
import sys

path, home = sys.argv[1:]
os.environ.update(
    AIRFLOW_HOME=home,
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__DAGS_FOLDER=os.path.dirname(path),
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
)
subprocess.run(
    [sys.executable, "-m", "airflow", "db", "migrate"], check=True, stdout=subprocess.DEVNULL, stderr=sys.stderr
)

from airflow.dag_processing.dagbag import DagBag  # noqa: E402

logging.disable(logging.INFO)


def say(value):
    print("@" + json.dumps(value), flush=True)


bag = DagBag(path)
if bag.import_errors:
    sys.exit(str(bag.import_errors))
(dag,) = bag.dags.values()
say(
    {
        "dag": dag.dag_id,
        "edges": {task.task_id: sorted(task.upstream_task_ids) for task in dag.tasks},
        "schedule": dag.schedule,
        "timezone": str(dag.timezone),
        "pools": sorted({task.pool for task in dag.tasks}),
        "outlets": {task.task_id: [asset.uri for asset in task.outlets] for task in dag.tasks},
    }
)
for line in sys.stdin:
    run = dag.test()
    tasks = run.get_task_instances()
    say(
        {
            "state": str(run.state),
            "tasks": {task.task_id: str(task.state) for task in tasks},
            "tries": {task.task_id: task.try_number for task in tasks},
            "xcom": {task.task_id: task.xcom_pull(task_ids=task.task_id) for task in tasks},
        }
    )
