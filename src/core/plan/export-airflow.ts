/** A project as a DAG of Airflow 3, in one Python file. */
import { type ExportGraph, pythonHead, pythonString, wholeSeconds } from './export-graph.js';

/**
 * One task an asset. `none_failed`: what has nothing to do is skipped, and what comes after it still looks for itself.
 * One task at a time, since a project has one writer.
 */
export function printAirflow(graph: ExportGraph): string {
  const name = pythonString(graph.name);
  const lines = pythonHead('airflow', graph, [
    'import datetime',
    'import json',
    'import os',
    'import shlex',
    'import subprocess',
    'import zoneinfo',
    '',
    'try:',
    '    from airflow.sdk import DAG, Asset, task',
    '    from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException',
    'except ImportError:  # Airflow 2',
    '    from airflow import DAG',
    '    from airflow.datasets import Dataset as Asset',
    '    from airflow.decorators import task',
    '    from airflow.exceptions import AirflowException, AirflowFailException, AirflowSkipException',
  ]);
  lines.push(
    'def run(asset):',
    '    """What the CLI says of the run, for XCom."""',
    '    status, result = call("run", asset)',
    '    if status == 0:',
    '        return result',
    '    if status == 99:',
    '        raise AirflowSkipException("nothing to do")',
    '    if status in (2, 3):  # definitions or usage, a gate refused: the same again would end the same',
    '        raise AirflowFailException(why(status, result))',
    '    raise AirflowException(why(status, result))  # 75 above all: tried again later',
    '',
    '',
    'with DAG(',
    `    dag_id=${name},`,
    `    schedule=${graph.schedule === null ? 'None' : pythonString(graph.schedule)},`,
    `    start_date=datetime.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo(${pythonString(graph.timezone)})),`,
    '    catchup=False,',
    '    max_active_runs=1,',
    '    max_active_tasks=1,',
    '    tags=["millrace"],',
    '    default_args={',
    `        "retries": ${graph.retries},`,
    `        "retry_delay": datetime.timedelta(seconds=${wholeSeconds(graph.retryDelay)}),`,
    '        "trigger_rule": "none_failed",',
    ...(graph.pool === null ? [] : [`        "pool": ${pythonString(graph.pool)},`]),
    '    },',
    ') as dag:',
    '    tasks = {',
    '        asset: task(',
    `            run, task_id=asset, outlets=[Asset(f"millrace://${graph.name}/{asset}")], multiple_outputs=False`,
    '        )(asset)',
    '        for asset in ASSETS',
    '    }',
    '    for asset, parents in ASSETS.items():',
    '        for parent in parents:',
    '            tasks[parent] >> tasks[asset]',
  );
  return `${lines.join('\n')}\n`;
}
