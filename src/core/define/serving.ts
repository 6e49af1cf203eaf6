import { fingerprint } from '../base/fingerprint.js';
import { MICROS_PER_DAY } from '../base/time.js';
import { documentationOf } from './collect.js';
import type { Resolved } from './context.js';
import { readRequirement } from './models.js';
import type { MetricRequirement, Model, Monitor, Service } from './types.js';

export function resolveServices(
  context: Resolved,
  models: ReadonlyMap<string, Model>,
): ReadonlyMap<string, Service> {
  const { raw, report } = context;
  const services = new Map<string, Service>();
  for (const [name, service] of raw.services) {
    if (!service.model) continue;
    const model = models.get(service.model.value);
    if (!raw.models.has(service.model.value))
      report.unknown(`service \`${name}\``, 'model', service.model, raw.models.keys());
    if (!model || (service.$.keys.has('log') && !service.log)) continue;
    const written = service.log;
    if (written && !('value' in written) && !written.sample) continue;
    const log = !written ? 'all' : 'value' in written ? written.value : { sample: written.sample!.value };
    const backtest = service.backtest?.map((part) => part.value) ?? [];
    const print = fingerprint({ kind: 'service', name, model: model.fingerprint, log, backtest });
    services.set(name, {
      ...documentationOf(service),
      name,
      model: model.name,
      log,
      backtest,
      fingerprint: print,
    });
  }
  return services;
}

export function resolveMonitors(
  context: Resolved,
  services: ReadonlyMap<string, Service>,
  models: ReadonlyMap<string, Model>,
): ReadonlyMap<string, Monitor> {
  const { raw, report } = context;
  const monitors = new Map<string, Monitor>();
  for (const [name, monitor] of raw.monitors) {
    if (!monitor.service) continue;
    const subject = `monitor \`${name}\``;
    if (!raw.services.has(monitor.service.value))
      report.unknown(subject, 'service', monitor.service, raw.services.keys());
    const service = services.get(monitor.service.value);
    if (!service) continue;
    const task = models.get(service.model)!.task;
    const performance: MetricRequirement[] = [];
    for (const written of monitor.performance ?? []) {
      const found = readRequirement(context, subject, written, task, null);
      if (found) performance.push(found);
    }
    const window = monitor.window?.value ?? 7 * MICROS_PER_DAY;
    const features = {
      test: monitor.features?.test?.value ?? ('auto' as const),
      ...(monitor.features?.threshold ? { threshold: monitor.features.threshold.value } : {}),
    };
    const minimumRows = monitor.minimum_rows?.value ?? 100;
    const alert = monitor.alert?.map((target) => target.value) ?? ['log'];
    const print = fingerprint({
      kind: 'monitor',
      name,
      service: service.fingerprint,
      window,
      features,
      performance,
      minimumRows,
      alert,
    });
    monitors.set(name, {
      ...documentationOf(monitor),
      name,
      service: service.name,
      window,
      features,
      performance,
      minimumRows,
      alert,
      fingerprint: print,
    });
  }
  return monitors;
}
