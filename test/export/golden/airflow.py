# Written by `millrace export airflow`; do not edit. The same command with --check says whether it is current.
# graph: sha256:8cec0eb91771e73b9aa41da553016896baccc92f5d2888198c859c4792eed23f
import datetime
import json
import os
import shlex
import subprocess
import zoneinfo

try:
    from airflow.sdk import DAG, Asset, task
    from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.datasets import Dataset as Asset
    from airflow.decorators import task
    from airflow.exceptions import AirflowException, AirflowFailException, AirflowSkipException

# Both can be set where this runs: the folder of the project, and the words that call the CLI.
PROJECT = os.environ.get(
    "MILLRACE_PROJECT",
    os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")),
)
COMMAND = shlex.split(os.environ.get("MILLRACE_COMMAND", "millrace"))

# Asset: parents. Parents first.
ASSETS = {
    "source.orders": [],
    "online.store": ["source.orders"],
    "dataset.orders_train": ["source.orders"],
    "model.order_late": ["dataset.orders_train"],
}


def call(*words):
    """Exit status, and the JSON object of the last line. Progress goes to this task's log."""
    command = [*COMMAND, *words, "--project", PROJECT, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            out, _ = child.communicate()
        except BaseException:
            child.terminate()  # it finishes what must not be left half done
            raise
    lines = out.strip().splitlines()
    try:
        result = json.loads(lines[-1]) if lines else {}
    except ValueError:
        result = {}
    return child.returncode, result


def why(status, result):
    error = result.get("error", {})
    return f"exit {status}: {error.get('code', 'no code')}: {error.get('message', 'see the log')}"


def run(asset):
    """What the CLI says of the run, for XCom."""
    status, result = call("run", asset)
    if status == 0:
        return result
    if status == 99:
        raise AirflowSkipException("nothing to do")
    if status in (2, 3):  # definitions or usage, a gate refused: the same again would end the same
        raise AirflowFailException(why(status, result))
    raise AirflowException(why(status, result))  # 75 above all: tried again later


with DAG(
    dag_id="orders_late",
    schedule="0 6 * * *",
    start_date=datetime.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Vienna")),
    catchup=False,
    max_active_runs=1,
    max_active_tasks=1,
    tags=["millrace"],
    default_args={
        "retries": 3,
        "retry_delay": datetime.timedelta(seconds=90),
        "trigger_rule": "none_failed",
        "pool": "writers",
    },
) as dag:
    tasks = {
        asset: task(
            run, task_id=asset, outlets=[Asset(f"millrace://orders_late/{asset}")], multiple_outputs=False
        )(asset)
        for asset in ASSETS
    }
    for asset, parents in ASSETS.items():
        for parent in parents:
            tasks[parent] >> tasks[asset]
