import { expect } from 'vitest';
import type { Diagnostic } from '../../src/core/base/error.js';
import { type DefineResult, define, readYaml } from '../../src/core/define/index.js';

export const ENVIRONMENT = { root: '/project', memoryLimitBytes: 1e9, threads: 2 };

/** Definitions of one YAML text, as if it were definitions/a.yaml. */
export function fromYaml(text: string, settings = false): DefineResult {
  const parsed = readYaml(text, 'a.yaml');
  const inputs = parsed.documents.map((root) => ({ root, settings, typescript: false }));
  return define(inputs, ENVIRONMENT, parsed.diagnostics);
}

/** `DEF_TYPE message (nearest)`; warnings begin with `warning`. */
export const show = ({ code, message, nearest, severity }: Diagnostic): string =>
  `${severity === 'warning' ? 'warning ' : ''}${code} ${message}${nearest === undefined ? '' : ` (${nearest})`}`;

/** Two entities, a source of events and one of states, for cases that need something to stand on. */
export const BASE = `entities:
  - { name: user, join_key: user_id }
  - { name: product, join_key: product_id }
sources:
  - name: orders
    read: { files: orders.csv }
    record_key: order_id
    event_time: at
    fields: { order_id: string, user_id: int64, product_id: string, total: decimal(2), paid: boolean, status: string, at: timestamp }
  - name: users
    kind: states
    read: { files: users.csv }
    event_time: since
    fields: { user_id: int64, city: string, since: timestamp }
`;

/** `text` gives exactly these diagnostics, each at the next `»` of the text. */
export function check(text: string, expected: readonly string[]): void {
  const places: string[] = [];
  const lines = text.split('\n').map((marked, index) => {
    let line = marked;
    for (let at = line.indexOf('»'); at >= 0; at = line.indexOf('»')) {
      places.push(`${index + 1}:${at + 1}`);
      line = line.slice(0, at) + line.slice(at + 1);
    }
    return line;
  });
  const found = fromYaml(lines.join('\n')).diagnostics;
  expect(found.map((diagnostic) => show(diagnostic))).toEqual(expected);
  expect(found.map(({ place }) => `${place?.line}:${place?.column}`)).toEqual(places);
}
