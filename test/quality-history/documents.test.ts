import { describe, expect, it } from 'vitest';
import type { Source } from '../../src/core/define/types.js';
import { type SourceForm, sourceForm } from '../../src/core/quality/contract-form.js';
import type { Form } from '../../src/core/quality/form.js';
import { toOdcs } from '../../src/core/quality/odcs.js';
import { fromOdcs } from '../../src/core/quality/odcs-import.js';
import { odcsValidator } from '../contract/odcs-schema.js';
import { yamlOf } from '../contract/support.js';
import { fromYaml } from '../define/check.js';

const validate = odcsValidator();

function sourceOf(text: string): Source {
  const { definitions, diagnostics } = fromYaml(text);
  expect(diagnostics.filter((item) => item.severity === 'error').map((item) => item.message)).toEqual([]);
  return [...definitions.sources.values()][0]!;
}

const written = (promises: string): Source =>
  sourceOf(`
sources:
  - name: orders
    read: push
    record_key: id
    event_time: at
    timezone: Europe/Berlin
    fields: { id: int64, at: timestamp, price: float64 }
${promises}`);

const exported = (source: Source, base?: Form): Form => {
  const document = toOdcs(sourceForm(source), { id: 'x', ...(base ? { base } : {}) });
  validate?.(document);
  expect(validate?.errors ?? []).toEqual([]);
  return document;
};

const PROMISES = [
  '    rename: { cost: price }',
  '    schema_changes: { added: refuse, renamed: adapt }',
  '    history: false',
  '    history: { row_count: fail, null_rate: { action: ignore, severity: critical }, minimum_batches: 10 }',
  '    service_levels: { passing: 0.99, freshness: 2h }',
  "    service_levels: { passing: { share: 0.995, over: 7d }, completeness: { by: '06:00', rows: 500, share: 0.9 } }",
  "    service_levels: { freshness: { within: 90m, over: all }, completeness: { by: '23:30', timezone: UTC } }",
];

describe('what a source promises', () => {
  it.each(PROMISES)('goes out as a valid document and comes back: %s', (text) => {
    const source = written(text);
    const [imported] = fromOdcs(exported(source));
    const again = sourceOf(yamlOf({ sources: [imported!.form] }));
    expect(again.serviceLevels).toEqual(source.serviceLevels);
    expect(again.history).toEqual(source.history);
    expect(again.schemaChanges).toEqual(source.schemaChanges);
    expect(again.fields).toEqual(source.fields);
    expect(imported!.notes.map(({ message }) => message)).toEqual([]);
    expect(exported(again, exported(source))).toEqual(exported(source));
  });

  it('is said in the words of the standard, so that others measure it too', () => {
    const { slaProperties } = exported(
      written("    service_levels: { passing: 0.99, freshness: 2h, completeness: { by: '06:00' } }"),
    );
    expect(slaProperties).toEqual([
      { property: 'latency', value: 2, unit: 'h', element: 'orders.at' },
      { property: 'errorRate', value: 1, unit: 'percent', element: 'orders' },
      { property: 'timeOfAvailability', value: '06:00', element: 'orders' },
    ]);
  });

  it('comes from documents of others, and what is not measured stays in them', () => {
    const base: Form = {
      ...exported(written('')),
      slaProperties: [
        { property: 'ly', value: 4, unit: 'hours', element: 'orders.at', driver: 'operational' },
        { property: 'retention', value: 3, unit: 'y', element: 'orders' },
        { property: 'errorRate', value: 0.5, unit: 'percent', element: 'elsewhere' },
      ],
    };
    const [imported] = fromOdcs(base);
    expect(imported!.form.service_levels).toEqual({ freshness: '4h' });
    expect(imported!.notes.map(({ message }) => message)).toEqual([
      'service level retention 3y is not measured from the contract',
    ]);
    const form: SourceForm = { ...imported!.form, service_levels: { freshness: '1h' } };
    expect(toOdcs(form, { id: 'x', base })['slaProperties']).toEqual([
      { property: 'latency', value: 1, unit: 'h', element: 'orders.at', driver: 'operational' },
      (base['slaProperties'] as Form[])[1],
      (base['slaProperties'] as Form[])[2],
    ]);
  });
});
