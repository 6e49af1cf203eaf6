/** A project as Dagster assets, in one Python file. */
import { type ExportGraph, pythonHead, pythonString, wholeSeconds } from './export-graph.js';

/**
 * One multi-asset that can be subset: a project has one writer, and a skipped step would skip what comes after it.
 * The op calls `run` once and then tells Dagster of every asset whose data version it does not have yet.
 */
export function printDagster(graph: ExportGraph): string {
  const job = pythonString(graph.name);
  const lines = pythonHead('dagster', graph, [
    'import json',
    'import os',
    'import shlex',
    'import subprocess',
    '',
    'import dagster as dg',
  ]);
  lines.push(
    'DATA_VERSION = "dagster/data_version"',
    `KEYS = {asset: dg.AssetKey([${job}, *asset.split(".", 1)]) for asset in ASSETS}`,
    '',
    '',
    'def known(context, key):',
    '    """The data version that Dagster holds of an asset."""',
    '    event = context.instance.get_latest_materialization_event(key)',
    '    return event.asset_materialization.tags.get(DATA_VERSION) if event else None',
    '',
    '',
    'def news(context, result):',
    '    """Materializations of the assets that have a data version which Dagster does not know."""',
    '    status, state = call("assets", *ASSETS)',
    '    if status != 0:',
    '        raise dg.Failure(f"millrace assets: {why(status, state)}")',
    '    steps = {step["asset"]: step for step in result.get("steps", []) if "outcome" in step}',
    '    for item in state["assets"]:',
    '        asset, version = item["asset"], item["data_version"]',
    '        if asset not in KEYS or version is None or version == known(context, KEYS[asset]):',
    '            continue',
    '        metadata = {',
    '            f"millrace/{name}": value',
    '            for name, value in {**item, **steps.get(asset, {})}.items()',
    '            if isinstance(value, (str, int, float)) and name not in ("asset", "kind", "data_version")',
    '        }',
    '        if KEYS[asset] in context.selected_asset_keys:',
    '            yield dg.MaterializeResult(',
    '                asset_key=KEYS[asset], data_version=dg.DataVersion(version), metadata=metadata',
    '            )',
    '        else:  # a parent that was stale',
    '            context.log_event(',
    '                dg.AssetMaterialization(KEYS[asset], tags={DATA_VERSION: version}, metadata=metadata)',
    '            )',
    '',
    '',
    '@dg.multi_asset(',
    `    name=${pythonString(`${graph.name}_run`)},`,
    '    specs=[',
    '        dg.AssetSpec(',
    '            KEYS[asset],',
    '            deps=[KEYS[parent] for parent in parents],',
    '            skippable=True,',
    `            group_name=${job},`,
    '            kinds={"millrace", asset.split(".", 1)[0]},',
    '        )',
    '        for asset, parents in ASSETS.items()',
    '    ],',
    '    can_subset=True,',
    `    retry_policy=dg.RetryPolicy(max_retries=${graph.retries}, delay=${wholeSeconds(graph.retryDelay)}),`,
    ...(graph.pool === null ? [] : [`    pool=${pythonString(graph.pool)},`]),
    ')',
    'def millrace_assets(context: dg.AssetExecutionContext):',
    '    selected = [asset for asset, key in KEYS.items() if key in context.selected_asset_keys]',
    graph.select.length === 0
      ? '    status, result = call("run", *([] if len(selected) == len(ASSETS) else selected))'
      : '    status, result = call("run", *selected)',
    '    if status == 75:',
    '        context.log.warning(why(status, result))',
    `        raise dg.RetryRequested(max_retries=${graph.retries}, seconds_to_wait=${wholeSeconds(graph.retryDelay)})`,
    '    yield from news(context, result)',
    '    if status not in (0, 99):',
    '        # 2: definitions or usage, 3: a gate refused: the same again would end the same.',
    '        raise dg.Failure(why(status, result), allow_retries=status not in (2, 3))',
    '',
    '',
    `job = dg.define_asset_job(${job}, selection=dg.AssetSelection.assets(*KEYS.values()))`,
    'defs = dg.Definitions(',
    '    assets=[millrace_assets],',
    '    jobs=[job],',
    ...(graph.schedule === null
      ? []
      : [
          '    schedules=[',
          '        dg.ScheduleDefinition(',
          `            job=job, cron_schedule=${pythonString(graph.schedule)}, execution_timezone=${pythonString(graph.timezone)}`,
          '        )',
          '    ],',
        ]),
    ')',
  );
  return `${lines.join('\n')}\n`;
}
