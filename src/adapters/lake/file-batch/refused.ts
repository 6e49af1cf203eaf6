/** The refused rows as the ledger keeps them. */
import { join } from 'node:path';
import { invariant } from '../../../core/base/error.js';
import { decodeValue, repairRules, typeOfField } from '../../../core/quality/index.js';
import type { QuarantinedRow, RefusedRow } from '../../../ports/record-log.js';
import { explainer } from '../explain.js';
import type { NewQuarantinedRow } from '../ledger.js';
import { contentDigests, copyDigest, renamedColumns } from '../refused-digest.js';
import { inputFields } from '../shape.js';
import { wideSource } from '../stage.js';
import type { FileBatch } from './batch.js';
import { judgedTable } from './judged-rows.js';
import { rawRow } from './raw-row.js';
import { RefusedRows } from './refused-rows.js';

/** A refused row, and the digests under which the ledger may hold it. */
type Entry = Omit<NewQuarantinedRow, 'digest'> & { readonly digests: readonly string[] };

/** The first refused rows. Those that the ledger holds from an earlier reading become duplicates. */
export async function firstRefused(batch: FileBatch, show: number): Promise<readonly RefusedRow[]> {
  const first = batch.context.ledger.quarantineCount({ source: batch.source.name }) === 0;
  const found = await refusedRows(batch, first ? show : undefined);
  const out: RefusedRow[] = [];
  for (const { file, line, reasonsText } of found.rows(false)) {
    if (out.length >= show) break;
    out.push({ file, line, reasons: JSON.parse(reasonsText) as RefusedRow['reasons'] });
  }
  return out;
}

/**
 * Ledger entries of every refused row, or of the first `most` of each input: what stood in the file and what is wrong
 * with it.
 */
export async function refusedRows(batch: FileBatch, most?: number): Promise<RefusedRows> {
  const { db, ledger, temporaryFolder } = batch.context;
  const out = new RefusedRows(join(temporaryFolder, `refused-${batch.id}`));
  batch.refused = out;
  const none = ledger.quarantineCount({ source: batch.source.name }) === 0;
  /** Refused rows that the ledger has from an earlier reading are duplicates, as accepted ones are. */
  const settle = (entries: readonly Entry[]): void => {
    const held = none
      ? new Set<string>()
      : ledger.held(
          batch.source.name,
          entries.flatMap(({ digests }) => digests),
        );
    for (const { digests, ...row } of entries) {
      const known = digests.find((digest) => held.has(digest));
      const again = known !== undefined;
      out.add({ ...row, digest: known ?? digests[0]! }, again);
      if (!again) continue;
      batch.counts.quarantined--;
      batch.counts.duplicates++;
      for (const rule of new Set(row.reasons.map((reason) => reason.rule))) {
        batch.reasons[rule]!--;
        if (batch.reasons[rule] === 0) delete batch.reasons[rule];
      }
    }
  };
  const copies = new Map<string, number>();
  const wide = wideSource(batch.source);
  const repairing = repairRules(wide).fields;
  for (const [index, input] of batch.inputs.entries()) {
    const explain = explainer(input.source, batch.errors);
    const columns = new Map(inputFields(input.source).map(({ name, from = name }) => [name, from]));
    const renamed = renamedColumns(inputFields(batch.source), (name) => columns.get(name));
    const declared = new Set(columns.values());
    const entry = (
      file: number,
      line: number,
      row: Readonly<Record<string, unknown>>,
      reasons: QuarantinedRow['reasons'],
    ): Entry => {
      const contents = contentDigests(row, renamed, declared);
      const copy = (copies.get(contents[0]) ?? 0) + 1;
      copies.set(contents[0], copy);
      const digests = contents.map((content) => copyDigest(content, copy));
      return { file: batch.files[file]!.path, line, row, reasons, digests };
    };
    const unreadable = input.unreadable.slice(0, most);
    let told = 0;
    /** Of each file what could not be split comes before what breaks a rule. */
    const unreadableUpTo = (last: number): readonly Entry[] => {
      const from = told;
      while (told < unreadable.length && unreadable[told]!.file <= last) told++;
      return unreadable
        .slice(from, told)
        .map(({ file, line, rule, text, message }) =>
          entry(file, line, { _text: text, _columns: input.header }, [
            { rule, field: null, value: text, message },
          ]),
        );
    };
    const names = input.header;
    const json = input.format === 'json' || input.format === 'ndjson';
    await db.stream(
      `SELECT "_line", "_file", array_to_string("_reasons", chr(1)) AS ids, "_repaired", ${rawRow(input).json} AS raw FROM ${judgedTable(index)}` +
        ` WHERE "_reasons" IS NOT NULL ORDER BY "_file", "_line"${most === undefined ? '' : ` LIMIT ${most}`}`,
      ({ rows, columns }) => {
        const entries: Entry[] = [];
        for (let i = 0; i < rows; i++) {
          const line = Number(columns[0]!.data[i]);
          const file = Number(columns[1]!.data[i]);
          const raw: unknown = JSON.parse(columns[4]!.data[i] as string);
          const row = json
            ? (raw as Record<string, unknown>)
            : Object.fromEntries(names.map((name, c) => [name, (raw as (string | null)[])[c]]));
          const rules = (columns[2]!.data[i] as string).split('\u0001');
          const repaired =
            columns[3]!.valid?.[i] === 0 ? null : (columns[3]!.data[i] as (string | null)[] | null);
          const values = new Map(
            (repaired ?? []).map((text, index) => [
              repairing[index]!,
              decodeValue(typeOfField(wide.fields, repairing[index]!), text),
            ]),
          );
          entries.push(...unreadableUpTo(file), entry(file, line, row, explain(row, rules, json, values)));
        }
        settle(entries);
      },
    );
    settle(unreadableUpTo(input.last));
  }
  invariant(
    most !== undefined || out.fresh === batch.counts.quarantined,
    `${out.fresh} rows reach the ledger for ${batch.counts.quarantined} quarantined in ${wide.name}`,
  );
  return out;
}
