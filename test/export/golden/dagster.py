# Written by `millrace export dagster`; do not edit. The same command with --check says whether it is current.
# graph: sha256:8cec0eb91771e73b9aa41da553016896baccc92f5d2888198c859c4792eed23f
import json
import os
import shlex
import subprocess

import dagster as dg

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


DATA_VERSION = "dagster/data_version"
KEYS = {asset: dg.AssetKey(["orders_late", *asset.split(".", 1)]) for asset in ASSETS}


def known(context, key):
    """The data version that Dagster holds of an asset."""
    event = context.instance.get_latest_materialization_event(key)
    return event.asset_materialization.tags.get(DATA_VERSION) if event else None


def news(context, result):
    """Materializations of the assets that have a data version which Dagster does not know."""
    status, state = call("assets", *ASSETS)
    if status != 0:
        raise dg.Failure(f"millrace assets: {why(status, state)}")
    steps = {step["asset"]: step for step in result.get("steps", []) if "outcome" in step}
    for item in state["assets"]:
        asset, version = item["asset"], item["data_version"]
        if asset not in KEYS or version is None or version == known(context, KEYS[asset]):
            continue
        metadata = {
            f"millrace/{name}": value
            for name, value in {**item, **steps.get(asset, {})}.items()
            if isinstance(value, (str, int, float)) and name not in ("asset", "kind", "data_version")
        }
        if KEYS[asset] in context.selected_asset_keys:
            yield dg.MaterializeResult(
                asset_key=KEYS[asset], data_version=dg.DataVersion(version), metadata=metadata
            )
        else:  # a parent that was stale
            context.log_event(
                dg.AssetMaterialization(KEYS[asset], tags={DATA_VERSION: version}, metadata=metadata)
            )


@dg.multi_asset(
    name="orders_late_run",
    specs=[
        dg.AssetSpec(
            KEYS[asset],
            deps=[KEYS[parent] for parent in parents],
            skippable=True,
            group_name="orders_late",
            kinds={"millrace", asset.split(".", 1)[0]},
        )
        for asset, parents in ASSETS.items()
    ],
    can_subset=True,
    retry_policy=dg.RetryPolicy(max_retries=3, delay=90),
    pool="writers",
)
def millrace_assets(context: dg.AssetExecutionContext):
    selected = [asset for asset, key in KEYS.items() if key in context.selected_asset_keys]
    status, result = call("run", *([] if len(selected) == len(ASSETS) else selected))
    if status == 75:
        context.log.warning(why(status, result))
        raise dg.RetryRequested(max_retries=3, seconds_to_wait=90)
    yield from news(context, result)
    if status not in (0, 99):
        # 2: definitions or usage, 3: a gate refused: the same again would end the same.
        raise dg.Failure(why(status, result), allow_retries=status not in (2, 3))


job = dg.define_asset_job("orders_late", selection=dg.AssetSelection.assets(*KEYS.values()))
defs = dg.Definitions(
    assets=[millrace_assets],
    jobs=[job],
    schedules=[
        dg.ScheduleDefinition(
            job=job, cron_schedule="0 6 * * *", execution_timezone="Europe/Vienna"
        )
    ],
)
