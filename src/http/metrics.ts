/** What Prometheus reads. Names follow its conventions: seconds, `_total`, no labels without a bound. */

import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, Gauge, Registry } from 'prom-client';
import type { IngestResult } from '../ports/record-log.js';
import type { ProjectStatus } from '../services/status.js';
import { createDurations } from './durations.js';

export interface Metrics {
  /** Times the requests of a route: to be called with the status and the seconds each took. */
  timer(route: string, method: string): (status: number, seconds: number) => void;
  aborted(): void;
  predicted(service: string, model: string, rows: number): void;
  pushed(result: IngestResult): void;
  refused(reason: 'in_flight' | 'locked'): void;
  print(status: ProjectStatus, inFlight: number): Promise<string>;
  readonly contentType: string;
  close(): void;
}

/** The delay is measured by a timer of this period, which is part of what it measures. */
const RESOLUTION_MS = 10;
const OUTCOMES = ['accepted', 'quarantined', 'duplicates', 'dropped'] as const;

export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const aborted = new Counter({
    name: 'millrace_http_requests_aborted_total',
    help: 'Requests whose client went away',
    registers,
  });
  const predictions = new Counter({
    name: 'millrace_predictions_total',
    help: 'Predictions answered',
    labelNames: ['service', 'model'],
    registers,
  });
  const ingested = new Counter({
    name: 'millrace_ingest_rows_total',
    help: 'Pushed rows by what became of them',
    labelNames: ['source', 'outcome'],
    registers,
  });
  const refused = new Counter({
    name: 'millrace_push_refused_total',
    help: 'Pushes turned away before they were read',
    labelNames: ['reason'],
    registers,
  });
  const sourceSeq = new Gauge({
    name: 'millrace_source_seq',
    help: 'Last position of the log',
    labelNames: ['source'],
    registers,
  });
  const groupSeq = new Gauge({
    name: 'millrace_applied_seq',
    help: 'Position of the log that a group of the online store has applied',
    labelNames: ['group'],
    registers,
  });
  const behind = new Gauge({
    name: 'millrace_apply_lag_records',
    help: 'Log positions that a group has yet to apply',
    labelNames: ['group'],
    registers,
  });
  const age = new Gauge({
    name: 'millrace_data_age_seconds',
    help: 'Now minus the newest available_at of a source',
    labelNames: ['source'],
    registers,
  });
  const kept = new Gauge({
    name: 'millrace_service_level_ratio',
    help: 'Share of records, time or days for which a service level was kept over its period',
    labelNames: ['source', 'level'],
    registers,
  });
  const promised = new Gauge({
    name: 'millrace_service_level_objective_ratio',
    help: 'Share that a service level promises',
    labelNames: ['source', 'level'],
    registers,
  });
  const budget = new Gauge({
    name: 'millrace_error_budget_remaining_ratio',
    help: 'Share of the error budget that is left; negative when overspent',
    labelNames: ['source', 'level'],
    registers,
  });
  const burn = new Gauge({
    name: 'millrace_error_budget_burn_rate',
    help: 'How many times faster than allowed the error budget is spent',
    labelNames: ['source', 'level', 'window'],
    registers,
  });
  const available = new Gauge({
    name: 'millrace_source_available',
    help: '1 when a source has now what the level promises to those who depend on it',
    labelNames: ['source', 'level'],
    registers,
  });
  const waiting = new Gauge({
    name: 'millrace_quarantine_open_rows',
    help: 'Rows that wait in quarantine',
    labelNames: ['source'],
    registers,
  });
  const ready = new Gauge({
    name: 'millrace_service_ready',
    help: '1 when the champion of a service is loaded',
    labelNames: ['service'],
    registers,
  });
  const running = new Gauge({
    name: 'millrace_http_requests_in_flight',
    help: 'Requests under way',
    registers,
  });
  const lag = new Gauge({
    name: 'millrace_event_loop_lag_seconds',
    help: 'Delay of the event loop since the last scrape',
    labelNames: ['quantile'],
    registers,
  });
  const memory = new Gauge({
    name: 'millrace_resident_memory_bytes',
    help: 'Resident memory of the process',
    registers,
  });
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  const durations = createDurations();
  const pushedTo = new Map<string, readonly { inc(by: number): void }[]>();

  return {
    timer: (route, method) => durations.timer(route, method),
    aborted: () => aborted.inc(),
    predicted: (service, model, rows) => predictions.inc({ service, model }, rows),
    pushed: (result) => {
      const { source } = result;
      let counters = pushedTo.get(source);
      if (!counters) {
        counters = OUTCOMES.map((outcome) => ingested.labels({ source, outcome }));
        pushedTo.set(source, counters);
      }
      for (let i = 0; i < OUTCOMES.length; i++) counters[i]!.inc(result[OUTCOMES[i]!]);
    },
    refused: (reason) => refused.inc({ reason }),
    print: async (status, inFlight) => {
      for (const item of status.sources) {
        sourceSeq.set({ source: item.source }, item.seq);
        if (item.age_seconds !== null) age.set({ source: item.source }, item.age_seconds);
        waiting.set({ source: item.source }, item.quarantine_open);
        for (const level of item.levels) {
          const labels = { source: item.source, level: level.level };
          promised.set(labels, level.target);
          if (level.share !== null) kept.set(labels, level.share);
          if (level.budget !== null) budget.set(labels, level.budget);
          if (level.available !== null) available.set(labels, level.available ? 1 : 0);
          for (const { window, rate } of level.burn) burn.set({ ...labels, window }, rate);
        }
      }
      for (const item of status.groups) {
        groupSeq.set({ group: item.group }, item.seq ?? 0);
        if (item.behind !== null) behind.set({ group: item.group }, item.behind);
      }
      for (const item of status.services) ready.set({ service: item.service }, item.model === null ? 0 : 1);
      running.set(inFlight);
      for (const [name, percent] of [
        ['0.5', 50],
        ['0.99', 99],
      ] as const)
        lag.set({ quantile: name }, Math.max(0, delay.percentile(percent) / 1e9 - RESOLUTION_MS / 1e3));
      delay.reset();
      memory.set(process.memoryUsage.rss());
      return `${durations.print()}\n${await registry.metrics()}`;
    },
    contentType: registry.contentType,
    close: () => {
      delay.disable();
      registry.clear();
    },
  };
}
