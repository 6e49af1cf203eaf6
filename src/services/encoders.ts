/** Fitted encoders as they are kept beside a model version, and models that are asked in encoded columns. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { MillraceError } from '../core/base/error.js';
import {
  compileEncoder,
  type Encoder,
  encodedColumns,
  encodedNames,
  encoderFingerprint,
} from '../core/learn/encode.js';
import type { FeatureTable } from '../core/learn/matrix.js';
import { FLOAT64, printType } from '../core/schema/types.js';
import type { ModelRuntime } from '../ports/model-runtime.js';

export const ENCODERS_FILE = 'encoders.json';

/** What a manifest says of the encoders; its `dataset` names the version that they were fitted on. */
export interface EncodersEntry {
  readonly sha256: string;
  readonly form: Encoder['form'];
  /** Rows of the training part, the only ones that were looked at. */
  readonly rows: number;
  readonly columns: number;
}

export const encodersEntry = (encoder: Encoder, rows: number): EncodersEntry => ({
  sha256: encoderFingerprint(encoder),
  form: encoder.form,
  rows,
  columns: encoder.width,
});

/** The file: the entry, the names of the encoded columns in their order, and how each feature becomes them. */
export const encodersText = (encoder: Encoder, rows: number): string =>
  `${JSON.stringify({ format: 1, fitted_on: 'train', ...encodersEntry(encoder, rows), names: encodedNames(encoder), encoder }, null, 2)}\n`;

/** @throws STORE_CORRUPT where the file is gone, or not what the manifest names. */
export async function readEncoder(folder: string, name: string, entry: EncodersEntry): Promise<Encoder> {
  const text = await readFile(path.join(folder, ENCODERS_FILE), 'utf8').catch((cause: unknown) => {
    throw new MillraceError('STORE_CORRUPT', `model ${name} has lost its encoders`, {
      cause,
      hint: 'Train it again, or roll back.',
    });
  });
  const { encoder } = JSON.parse(text) as { readonly encoder: Encoder };
  if (encoderFingerprint(encoder) === entry.sha256) return encoder;
  throw new MillraceError(
    'STORE_CORRUPT',
    `the encoders of model ${name} are not those that were registered`,
    {
      hint: 'Train it again, or roll back.',
    },
  );
}

/** What a model over encoded columns sees as its features. */
export const encodedFeatures = (
  encoder: Encoder,
): readonly { readonly name: string; readonly type: string }[] =>
  encodedNames(encoder).map((name) => ({ name, type: printType(FLOAT64) }));

/** A model over encoded columns, asked in features: a row alone and a table are encoded by the same code. */
export function encodedRuntime(inner: ModelRuntime, encoder: Encoder): ModelRuntime {
  const { encodeRow, width } = compileEncoder(encoder);
  const names = encodedNames(encoder);
  return {
    predictRows: (rows) =>
      inner.predictRows(
        rows.map((values) => {
          const out = new Float64Array(width);
          encodeRow(values, out);
          return Array.from(out);
        }),
      ),
    predictTable: (table) => {
      const columns = [...encodedColumns(encoder, table)].map((values, i) => ({
        kind: 'numeric' as const,
        name: names[i]!,
        type: FLOAT64,
        width: 1,
        values,
      }));
      return inner.predictTable({ rows: table.rows, columns });
    },
    ...(inner.close ? { close: () => inner.close!() } : {}),
  };
}

/** Encoded rows as a NumPy file (format 1.0): float64, little endian, C order, [rows, columns]. */
export function encodedMatrix(encoder: Encoder, table: FeatureTable): Buffer {
  const { width } = encoder;
  const head = `{'descr': '<f8', 'fortran_order': False, 'shape': (${table.rows}, ${width}), }`;
  const padded = `${head.padEnd(Math.ceil((head.length + 11) / 64) * 64 - 11)}\n`;
  const file = Buffer.alloc(10 + padded.length + table.rows * width * 8);
  file.write('\x93NUMPY\x01\x00', 'latin1');
  file.writeUInt16LE(padded.length, 8);
  file.write(padded, 10, 'latin1');
  const write = compileEncoder(encoder).bindTable(table);
  const row = new Float64Array(width);
  for (let r = 0, at = 10 + padded.length; r < table.rows; r++) {
    write(r, row);
    for (let c = 0; c < width; c++, at += 8) file.writeDoubleLE(row[c]!, at);
  }
  return file;
}
